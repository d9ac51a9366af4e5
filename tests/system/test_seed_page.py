"""Each program of the page that started the project, as printed, by a user of a booted Debian."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support import page
from tests.support.small_box import LIMIT, Box, Row, page_at, serves, up
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SERVER = "/home/ubuntu/tf-server.py"
UNIT = "/etc/systemd/user/tf-server.service"
PROMISED = 17_000_000
"""Bytes: what the page says of its second program."""

BOUND = 20_000_000
"""Bytes that it must not grow beyond once its start is over; an interpreter with pyzmq alone has 17.2 MB."""

CONNECT = "timeout 5 nc -w 2 %s 5432 </dev/null >/dev/null 2>&1 && echo open || echo closed"


def test_the_better_way_as_a_service(small_box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The program runs under the page's unit as ubuntu, is restarted after a crash, and after a reboot."""
    with up(small_box) as box:
        box.write(SERVER, page.block_with("attach_tunnel"))
        box.write(UNIT, page.block_with("[Unit]"))
        box.user(page.command(f"sudo systemctl enable {UNIT}"))
        box.user(page.command("sudo systemctl start tf-server.service"))
        wait_for(serves(8080), LIMIT, "port 8080")
        assert "active (running)" in box.user(page.command("systemctl status tf-server"))
        assert "tf-server" in box.root(page.command("journalctl -n 50"))
        pid = int(box.machine.property("tf-server.service", "MainPID"))
        assert box.root(f"stat -c %U /proc/{pid}").strip() == "ubuntu"
        box.root(f"kill -9 {pid}")
        wait_for(
            lambda: int(box.machine.property("tf-server.service", "MainPID")) not in (0, pid),
            LIMIT,
            "a restart",
        )
        wait_for(serves(8080), LIMIT, "port 8080 again")
        wait_for(lambda: len(box.containers()) == 1, LIMIT, "the first one's container to be gone")
        # The second one has served for a whole lease by now: what only its start needed is long given back.
        resident = (
            int(box.root(f"ps -o rss= -p {box.machine.property('tf-server.service', 'MainPID')}")) * 1024
        )
        with capsys.disabled():
            print(f"\nthe second program's resident memory: {resident / 1e6:.1f} MB of {PROMISED / 1e6:.1f}")
        assert resident <= BOUND
        # The page's unit has no [Install] section, so nothing pulls it in at boot: systemd.unit(5).
        box.write(UNIT, page.block_with("[Unit]") + "\n[Install]\nWantedBy=multi-user.target\n")
        box.root(f"systemctl disable tf-server.service; systemctl enable {UNIT}")
    with up(small_box) as box:
        wait_for(serves(8080), LIMIT, "port 8080 by itself after a reboot")
        box.root("systemctl disable --now tf-server.service")
        wait_for(box.empty, LIMIT, "the location to be empty")


@pytest.fixture(scope="module")
def one_boot(small_box: Path) -> Iterator[Box]:
    """The box, booted for all tests that need no boot of their own."""
    with up(small_box) as running:
        yield running


@pytest.fixture
def box(one_boot: Box) -> Iterator[Box]:
    """The box; at the end nothing runs for it any more."""
    yield one_boot
    one_boot.clean()


def test_the_quick_way_outlives_its_login(box: Box) -> None:
    """`sudo nohup tf image &` serves the image's port 80 after the login is over."""
    box.root("cp -r ~ubuntu/.20ft /root/ && chown -R root /root/.20ft")
    box.begin(page.command("sudo nohup tf image &"))
    wait_for(serves(80), LIMIT, "port 80")
    assert box.root("pgrep -u ubuntu -x bash || true") == ""
    box.root("pkill -TERM -x tf")
    wait_for(box.empty, LIMIT, "the location to be empty")
    box.root("rm -r /root/.20ft")


def test_the_quick_way_without_sudo(box: Box) -> None:
    """`nohup tf --offset 8000 image &` serves the image's port 80 on 8080."""
    box.begin(page.command("nohup tf --offset 8000 image &"))
    wait_for(serves(8080), LIMIT, "port 8080")
    assert page_at(80) == b""


def test_man_tf(box: Box) -> None:
    """The manual page that the page refers to is there."""
    assert "--offset" in box.user(page.command("man tf") + " | cat")


def test_the_best_way_runs_two_environments(box: Box) -> None:
    """Production and development run side by side, each with a volume that a later run finds."""
    box.root("ln -sf /usr/bin/python3 /usr/local/bin/python3")
    box.write("/usr/local/bin/our-tf-service", page.block_with("our-tf-service"), 0o755)
    development = page.command("our-tf-service dev1mageuu1d")
    box.begin(f"nohup {development}")
    box.begin(f"nohup {page.command('our-tf-service --prod prod1mageuu1d')}")
    databases, applications = environments(box, 2)
    said = {app.uuid: box.exec(app, "cat /etc/webapp.cfg").strip() for app in applications}
    assert sorted(said.values()) == sorted(f"db={database.ip}" for database in databases)
    for app in applications:
        own = said[app.uuid].removeprefix("db=")
        wait_for(partial(connects, box, app, own), LIMIT, "the database")
        assert not any(connects(box, app, row.ip) for row in databases if row.ip != own)
    volumes = json.loads(box.user("tf kv list --json"))
    assert set(volumes) == {"dev/db", "prod/db"}
    assert volumes["dev/db"] != volumes["prod/db"]
    box.clean()
    box.begin(f"nohup {development}")
    (database,), _ = environments(box, 1)
    assert json.loads(box.user("tf kv list --json")) == volumes
    assert len(json.loads(box.user("tf volume list --json"))) == 2
    wait_for(lambda: "PG_VERSION" in box.exec(database, "ls /db"), LIMIT, "the database on its volume")


def test_snapshots_and_rollbacks(box: Box) -> None:
    """The program prints the file as it was changed, then as it was, and leaves nothing behind."""
    box.write("/home/ubuntu/rollback.py", page.block_with("I am a carrot"))
    before = box.user("tf volume list")
    printed = box.user("python3 rollback.py 2>/dev/null").splitlines()
    assert printed == ["b'I am a carrot'", "b'I am a test'"]
    wait_for(box.empty, LIMIT, "the location to be empty")
    assert box.user("tf volume list") == before


def test_reboot_as_shipped(box: Box) -> None:
    """The program's own assertions hold: what a test spoilt is as shipped again."""
    box.write("/home/ubuntu/reset.py", page.block_with("reset_filesystem"))
    box.user("python3 reset.py 2>/dev/null")


def environments(box: Box, count: int) -> tuple[list[Row], list[Row]]:
    """Wait until so many databases and as many applications run, and give them."""
    found: list[Row] = []

    def all_run() -> bool:
        found[:] = box.containers()
        databases = [row for row in found if row.image.startswith("postgres")]
        running = all(row.state == "running" for row in found)
        return running and (len(found), len(databases)) == (count * 2, count)

    try:
        wait_for(all_run, LIMIT, f"{count} databases and {count} applications")
    except AssertionError as error:
        error.add_note(box.said())
        raise
    return (
        [row for row in found if row.image.startswith("postgres")],
        [row for row in found if not row.image.startswith("postgres")],
    )


def connects(box: Box, app: Row, address: str) -> bool:
    """Whether PostgreSQL's port at an address is open for a container."""
    return box.exec(app, CONNECT % address).strip() == "open"
