"""What declared containers write is in the box's journal: each line once, under its container's name."""

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from tests.support.client import Client
from tests.support.location import DIGEST, MemoryLocation
from tests.support.loops import run_until
from tfd.config.model import Config, Container
from tfd.lines import BURST
from tfd.locations.location import Location
from tfd.log import Log
from tfd.outputs import Outputs
from tfd.protocol.address import Address
from tfd.protocol.drivers.journal import JournalSink
from tfd.protocol.drivers.link import Link
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.drivers.transport import Keys
from tfd.protocol.logged import OUTPUT_DROPPED
from tflocation.engines.interface import State

LIMIT = 20.0
WIRE_NAME = "prod/web/0"
KEY = "1"


class Journal:
    """A journal of the test's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def read(self) -> None:
        """Take what is there."""
        with contextlib.suppress(BlockingIOError):
            while True:
                lines = self._socket.recv(1 << 16).decode().splitlines()
                self.entries.append(dict(line.split("=", 1) for line in lines))

    def of(self, identifier: str) -> list[str]:
        """Give the messages that bear a name."""
        self.read()
        return [entry["MESSAGE"] for entry in self.entries if entry["SYSLOG_IDENTIFIER"] == identifier]

    def close(self) -> None:
        """Be gone."""
        self._socket.close()


class Box:
    """A tfd's share of this: a location, and the follower of its containers' output."""

    def __init__(self, home: MemoryLocation, member: Client, journal: Journal) -> None:
        self.log = Log(JournalSink(str(journal.path)))
        self.loop = Loop(self.log)
        self.log.attend(self.loop)
        self.outputs = Outputs(self.loop, self.log)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

        def make_link(owner: Location) -> Link:
            return Link(
                self.loop,
                self._context,
                self.log,
                name="home",
                keys=Keys(home.public, member.pair.public, member.pair.secret),
                addresses=(Address(host="127.0.0.1", port=home.port),),
                ciphers=("chacha20poly1305",),
                program="test",
                heartbeat=1.0,
                owner=owner,
            )

        self.location = Location(self.loop, self.log, "home", make_link, self.follow, lambda: None)

    def follow(self) -> None:
        """Follow what is there, as the conductor does after each decision."""
        self.outputs.follow({"home": self.location})

    def until(self, condition: Any, what: str) -> None:
        """Run until the condition holds."""
        run_until(self.loop, condition, LIMIT, what)

    def close(self) -> None:
        """End everything."""
        self.outputs.close()
        self.location.close()
        self.log.close()
        self.loop.close()
        self._context.destroy(0)


class Site:
    """A location with the container `web`, and a journal."""

    def __init__(self, home: MemoryLocation, member: Client, journal: Journal) -> None:
        self.home, self.member, self.journal = home, member, journal
        answer = member.call("container.create", name=WIRE_NAME, key=KEY, image=DIGEST, config={})
        self.id: str = answer["container"]["id"]

    @contextmanager
    def box(self, *, new: bool = False, log: bool = True) -> Iterator[Box]:
        """Run a tfd's share, which has just asked for the container or not."""
        box = Box(self.home, self.member, self.journal)
        try:
            container = Container(name="web", image="web", log=log)
            box.outputs.configure(Config(containers={"web": container}))
            if new:
                box.outputs.creating("home", WIRE_NAME, KEY)
            yield box
        finally:
            box.close()

    def attached(self) -> bool:
        """Whether somebody reads the container's console."""
        return self.id in self.home.engine.consoles

    def say(self, data: bytes | None) -> None:
        """Let the container write, or end."""
        self.home.call(self.home.engine.consoles[self.id].show, data)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Give a location with a container, and a journal."""
    journal = Journal(tmp_path / "journal")
    with MemoryLocation(tmp_path / "home") as home, home.member("box") as member:
        yield Site(home, member, journal)
    journal.close()


def test_a_new_containers_output_is_all_there(site: Site) -> None:
    """From its first line on, with its names beside it."""
    with site.box(new=True) as box:
        box.until(lambda: site.journal.of("web"), "the first line")
        site.say(b"one\r\ntw")
        site.say(b"o\r\n")
        box.until(lambda: len(site.journal.of("web")) == 3, "the others")

    entry = next(each for each in site.journal.entries if each["MESSAGE"] == "two")
    assert site.journal.of("web") == [f"output of {site.id}", "one", "two"]
    assert entry["PRIORITY"] == "6"
    assert (entry["TFD_CONTAINER"], entry["TFD_LOCATION"], entry["TFD_NODE"]) == ("web", "home", "one")


def test_one_that_was_not_made_yet_is_new(site: Site) -> None:
    """A tfd that comes back while its container is being made misses nothing of it."""
    site.home.call(site.home.engine.change, site.id, State.CREATED)
    with site.box() as box:
        box.until(lambda: site.journal.of("web"), "the first line")

    assert site.journal.of("web") == [f"output of {site.id}"]


def test_one_asked_for_is_new_once(site: Site) -> None:
    """Whose output was in the journal already does not come again with the next location that tells of it."""
    with site.box(new=True) as box:
        box.until(lambda: site.journal.of("web"), "the first line")
        box.outputs.follow({})
        site.say(b"meanwhile\n")
        box.follow()
        box.until(lambda: "meanwhile" in site.journal.of("web"), "what came meanwhile")

    assert site.journal.of("web") == [f"output of {site.id}", "meanwhile"]


def test_a_restart_of_tfd_neither_loses_nor_doubles(site: Site) -> None:
    """An adopted container's old output is left alone; what came while nobody listened is not."""

    def knocked() -> bool:
        if site.attached():
            site.say(b"knock\n")
        return bool(site.journal.of("web"))

    with site.box() as box:
        box.until(knocked, "somebody to listen")
        for line in (b"one\n", b"two\n"):
            site.say(line)
            box.until(lambda line=line: line.decode().strip() in site.journal.of("web"), "the line")
    site.say(b"three\n")
    with site.box() as box:
        box.until(lambda: "three" in site.journal.of("web"), "the line from between")

    lines = site.journal.of("web")
    assert set(lines) == {"knock", "one", "two", "three"}
    assert (lines.count("one"), lines.count("three")) == (1, 1)


def test_a_flood_is_cut_and_counted(site: Site) -> None:
    """The journal gets what it can stand, and one line that says how much was left out."""
    with site.box(new=True) as box:
        box.until(lambda: site.journal.of("web"), "the first line")
        for number in range(50):
            site.say(b"".join(b"line %d\n" % (100 * number + each) for each in range(100)))
        box.until(lambda: dropped(site), "the count")

    (line,) = dropped(site)
    assert int(line["TFD_LINES"]) > 0
    assert line["TFD_CONTAINER"] == "web"
    assert len(site.journal.of("web")) < BURST + 2000


def dropped(site: Site) -> list[dict[str, str]]:
    """Give the lines that tell of output which was left out."""
    site.journal.read()
    return [entry for entry in site.journal.entries if entry.get("MESSAGE_ID") == OUTPUT_DROPPED.id]


def test_log_false_keeps_it_out(site: Site) -> None:
    """The location is not asked, so it attaches to nothing."""
    with site.box(new=True, log=False) as box:
        box.until(lambda: box.location.view.containers, "the location's containers")

    assert not site.attached()
    assert site.journal.of("web") == []


def test_the_next_run_of_a_container_is_heard_too(site: Site) -> None:
    """Its process ends and is started again: what it writes then follows."""
    with site.box(new=True) as box:
        box.until(lambda: site.journal.of("web"), "the first line")
        site.home.call(site.home.engine.change, site.id, State.STOPPED)
        site.say(b"dying")
        site.say(None)
        box.until(lambda: "dying" in site.journal.of("web"), "its last words, which had no end")
        site.member.call("container.start", id=site.id)
        first = f"output of {site.id}"
        box.until(lambda: site.journal.of("web").count(first) == 2, "the output of the second run")

    assert site.journal.of("web") == [first, "dying", first]
