"""The Debian packages on booted machines: installed from nothing, upgraded, and purged."""

import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.debian import DEPENDENCIES, NEWER, TREE, layered
from tests.support.machine import Machine, booted
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.slow]

LIMIT = 30.0
APT_LIMIT = 240.0
SMALL = ("tfd",)
ALL = (*SMALL, "python3-tfd-protocol", "tflocation", "python3-tfnz")
IDLE = """
[container.web]
image = "nginx"
enabled = false
[[listener]]
bind = "127.0.0.1:8080"
container = "web"
port = 80
"""
STATE = r"""
find / -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /run -o -path /root -o -path /var/log \
    -o -path /var/cache/apt -o -path /var/cache/ldconfig -o -path /var/lib/apt \
    -o -path /var/lib/systemd/timers \) -prune -o -print
find /run -name '*tfd*' -o -name '*tflocation*'
getent passwd
getent group
systemctl list-unit-files --plain --no-legend
ps -eo args= | grep -E '/usr/bin/t[f](d|location)'
"""


@dataclass(frozen=True)
class Box:
    """A booted machine with our packages in its directories /root/first and /root/second."""

    machine: Machine

    def run(self, line: str, limit: float = LIMIT) -> str:
        """What a line of shell prints; it must succeed."""
        done = self.machine.run("sh", "-c", line, limit=limit)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def apt(self, line: str) -> None:
        """Have apt do something without a question."""
        options = "--yes --no-install-recommends -o Dpkg::Options::=--force-unsafe-io"
        self.run(f"DEBIAN_FRONTEND=noninteractive apt-get {options} {line}", APT_LIMIT)

    def install(self, directory: str, *names: str) -> None:
        """Install packages from their files."""
        self.apt("install " + " ".join(f"/root/{directory}/{name}_*.deb" for name in names))

    def state(self) -> set[str]:
        """What is there: files, users and groups, units, processes of ours."""
        return set(self.run(f"{STATE.strip()} || true").splitlines())

    def active(self, unit: str) -> str:
        """Whether a unit runs, as systemctl says it."""
        return self.machine.property(unit, "ActiveState")


@pytest.fixture
def box(request: pytest.FixtureRequest, tmp_path: Path, packages: Path, newer: Path) -> Iterator[Box]:
    """A bare machine of the release that the test names."""
    bare: Path = request.getfixturevalue(request.param)
    with layered((bare,), tmp_path / "machine") as root:
        for name, source in (("first", packages), ("second", newer)):
            shutil.copytree(source, root / "root" / name, ignore=shutil.ignore_patterns("*.tar.xz"))
        with booted(root) as machine:
            yield Box(machine)


@pytest.mark.parametrize("box", ["bookworm", "trixie"], indirect=True)
def test_install_upgrade_and_purge(box: Box) -> None:
    """The small box gets the small part; an upgrade keeps what was set and what runs; all of it can go."""
    box.apt(f"install {' '.join(DEPENDENCIES)}")
    before = box.state()
    box.install("first", *SMALL)
    assert not {"tfd", "tfnz", "tflocation"} & set(box.run("ls /usr/lib/python3/dist-packages").split())
    assert box.machine.property("tfd.service", "UnitFileState") == "disabled"
    assert box.active("tfd") == "inactive"
    assert "fine" in box.run("tfd --check")
    assert "man:tfd(1)" in box.run("journalctl --dump-catalog")

    box.run(f"printf %s {shlex.quote(IDLE)} >/etc/tfd.toml; systemctl enable --now tfd")
    box.install("first", *ALL[1:])
    box.run("tf --version; tflocation --version")
    assert "127.0.0.1:8080" in box.run("tfd status")
    box.run("mkdir -p /etc/tfd; cp /etc/tfd.toml /etc/tfd/blue.toml; sed -i s/8080/8081/ /etc/tfd/blue.toml")
    box.run("systemctl enable --now tfd@blue")
    box.run("mkdir -p /var/lib/tfd/accounts; echo secret >/var/lib/tfd/accounts/home.key")

    units = ("tfd.service", "tfd@blue.service")
    running = [box.machine.property(unit, "MainPID") for unit in units]
    box.install("second", *ALL)
    assert not {box.machine.property(unit, "MainPID") for unit in units} & {"0", *running}
    for instance in ("", "--instance blue "):
        assert box.run(f"tfd {instance}status").startswith(f"tfd {NEWER}")
    assert box.run("cat /etc/tfd.toml") == IDLE.strip()
    assert box.run("cat /var/lib/tfd/accounts/home.key") == "secret"
    assert (box.active("tfd"), box.active("tflocation")) == ("active", "inactive")
    assert box.machine.property("tfd.service", "UnitFileState") == "enabled"

    box.run("systemctl enable --now tflocation")
    box.apt(f"remove {' '.join(ALL)}")
    assert box.run("cat /etc/tfd.toml /var/lib/tfd/accounts/home.key") == f"{IDLE}secret".strip()
    assert box.run("ps -eo args= | grep -E '/usr/bin/t[f](d|location)' || true") == ""

    box.install("second", *SMALL)
    assert "127.0.0.1:8080" in wait_for(
        lambda: box.run("systemctl start tfd; tfd status"), LIMIT, "tfd to run again"
    )
    box.apt(f"purge {' '.join(SMALL)} tflocation")
    assert box.state() - before == set()


@pytest.mark.parametrize("box", ["bookworm"], indirect=True)
def test_the_packages_own_tests_pass(box: Box) -> None:
    """Those of packaging/debian/tests, with every package there."""
    box.install("first", *ALL)
    box.apt("install man-db")
    tests = TREE / "packaging/debian/tests"
    for name in ("programs", "services"):
        shutil.copy(tests / name, box.machine.root / "root" / name)
        box.run(f"/root/{name}", APT_LIMIT)
