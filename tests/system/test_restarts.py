"""Restarts, upgrades and crashes on booted Debians under load; bench/restarts.py does more of each."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.debian import NEWER
from tests.support.engine_view import instances
from tests.support.house import House, house, loaded, under
from tests.support.load import Load
from tests.support.load_generator import Report
from tests.support.waiting import wait_for
from tflocation.development import PrivateEngine

pytestmark = [pytest.mark.engine, pytest.mark.slow]

CONNECTIONS = 40
NEW_RATE = 20.0
LIMIT = 90.0


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
    engine: PrivateEngine,
    peer_archive: Path,
    packaged: tuple[Path, ...],
) -> Iterator[House]:
    """A tfd and a tflocation from our packages, on a booted Debian each."""
    with house(packaged, tmp_path_factory.mktemp("house"), engine, peer_archive) as both:
        yield both


@pytest.fixture
def under_load(running: House) -> Iterator[Load]:
    """The load on it; at its end every connection that is left has come to its end with the right hash."""
    running.wait_ready()
    with loaded(CONNECTIONS, NEW_RATE) as load:
        yield load
        last = load.end()
        assert (last.refused, last.broken, last.wrong) == (0, 0, 0), last


def undisturbed(seen: Report, capsys: pytest.CaptureFixture[str], what: str) -> None:
    """Nobody noticed but by a gap."""
    tell(seen, capsys, what)
    assert (seen.refused, seen.broken, seen.wrong) == (0, 0, 0), seen


def tell(seen: Report, capsys: pytest.CaptureFixture[str], what: str) -> None:
    """Print the gaps."""
    with capsys.disabled():
        print(f"\n{what}: longest gap {seen.gap:.2f} s, of a new connection {seen.new_gap:.2f} s")


def test_restart_of_tfd(running: House, under_load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    """`systemctl restart tfd` refuses no connection and breaks none, and no byte is lost or doubled."""
    undisturbed(under(under_load, running.restart, 3), capsys, "restarts of tfd")


def test_reload_of_tfd(running: House, under_load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    """`systemctl reload tfd` likewise."""
    undisturbed(under(under_load, running.reload, 2), capsys, "reloads of tfd")


def test_restart_in_the_middle_of_a_start(
    running: House, under_load: Load, engine: PrivateEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    """A container that a reload asked for is made once, whatever moment of its start the restart hits."""
    file = running.box.machine.root / "etc/tfd.toml"
    before = file.read_text()
    name = "late"

    def begin_and_restart() -> None:
        file.write_text(f'{before}\n[container.{name}]\nimage = "peer"\n')
        running.box.root("systemctl reload --no-block tfd")
        running.restart()

    def states() -> dict[str, str]:
        containers = json.loads(running.box.root("tfd status --json"))["containers"]
        return {one["name"]: one["state"] for one in containers}

    try:
        others = set(instances(engine))
        seen = under(under_load, begin_and_restart)
        wait_for(lambda: states() == {"peer": "good", name: "good"}, LIMIT, "both to be good")
        assert len(instances(engine).keys() - others) == 1
    finally:
        file.write_text(before)
        running.reload()
        wait_for(lambda: states() == {"peer": "good"}, LIMIT, f"{name} to go")
    undisturbed(seen, capsys, "a restart in the middle of a start")


def test_upgrade_and_downgrade(
    running: House,
    under_load: Load,
    packages: Path,
    newer: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A newer package, and then the older one again, likewise."""
    seen = under(under_load, partial(running.install, newer))
    assert NEWER in running.box.root("tfd status")
    seen.add(under(under_load, partial(running.install, packages, "--allow-downgrades")))
    assert NEWER not in running.box.root("tfd status")
    undisturbed(seen, capsys, "an upgrade and a downgrade")


def test_restart_of_tflocation(running: House, under_load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    """`systemctl restart tflocation` likewise."""
    undisturbed(under(under_load, running.restart_location, 2), capsys, "restarts of tflocation")


@pytest.mark.parametrize("crash", [House.kill, House.freeze], ids=["kill -9", "hang"])
def test_crash_of_tfd(
    running: House, under_load: Load, crash: "partial[None]", capsys: pytest.CaptureFixture[str]
) -> None:
    """After `kill -9`, and after the watchdog ended a tfd that hung, nobody was refused."""
    seen = under(under_load, partial(crash, running))
    tell(seen, capsys, "a crash of tfd")
    assert (seen.refused, seen.wrong) == (0, 0), seen


FULL = """
set -e
cp -a /var/lib/tfd /tmp/kept
mount -t tmpfs -o size=256k,mode=0700 none /var/lib/tfd
cp -a /tmp/kept/. /var/lib/tfd
chown --reference=/tmp/kept /var/lib/tfd
dd if=/dev/zero of=/var/lib/tfd/filling bs=4k 2>/dev/null || true
"""
READ_ONLY = """
set -e
for directory in /etc /usr /var; do
    mount --bind $directory $directory
    mount -o remount,bind,ro $directory
done
"""


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        pytest.param(FULL, "umount --lazy /var/lib/tfd; rm -rf /tmp/kept", id="full disk"),
        pytest.param(READ_ONLY, "umount --lazy /etc /usr /var", id="read-only root"),
    ],
)
def test_nothing_can_be_written(
    running: House, under_load: Load, spoil: str, mend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its disk full, or its root read-only, tfd reloads and restarts as ever, and serves on."""
    running.box.root(spoil)
    try:
        seen = under(under_load, running.reload)
        seen.add(under(under_load, running.restart))
    finally:
        running.box.root(mend)
    undisturbed(seen, capsys, "a reload and a restart")


def test_wrong_file(running: House, under_load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    """A reload with a wrong file returns, the old state stays in force, and what is wrong is told."""
    right = (running.box.machine.root / "etc/tfd.toml").read_text()
    running.box.write("/etc/tfd.toml", right.replace("image", "imgae"))
    try:
        seen = under(under_load, running.reload)
        assert "last reload refused" in running.box.machine.property("tfd.service", "StatusText")
        assert "did you mean 'image'" in running.box.machine.journalctl("--unit=tfd", "--output=cat")
    finally:
        running.box.write("/etc/tfd.toml", right)
    seen.add(under(under_load, running.reload))
    undisturbed(seen, capsys, "a wrong file, and the right one again")
