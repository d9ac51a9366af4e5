"""`tfd logs`, typed beside a running daemon without a journal, with a location whose engine is in memory."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.location import MemoryLocation
from tests.support.product import Daemon
from tests.support.waiting import wait_for
from tfd.protocol.invite import Invite, format_invite

LIMIT = 30.0
CONFIG = '[container.web]\nimage = "web"\n[container.lost]\nimage = "nowhere"\n'


class Site:
    """A daemon whose container `web` runs."""

    def __init__(self, home: MemoryLocation, daemon: Daemon) -> None:
        self.home, self.daemon = home, daemon
        daemon.configure(CONFIG)
        daemon.start()
        wait_for(daemon.status, LIMIT, "the daemon")
        expires = int(time.time()) + 60
        daemon.join(
            format_invite(Invite("home", "127.0.0.1", home.port, home.public, home.invite("box"), expires))
        )
        wait_for(lambda: self.state("web") == "good", LIMIT, "the container")
        self.id = str(self.container("web")["id"])

    def container(self, name: str) -> dict[str, object]:
        """Give what the daemon says of a container."""
        return next(each for each in (self.daemon.status() or {})["containers"] if each["name"] == name)

    def state(self, name: str) -> object:
        """Give how the daemon says that a container fares."""
        return self.container(name)["state"]

    def say(self, data: bytes) -> None:
        """Let the container write, once somebody listens."""
        wait_for(lambda: self.id in self.home.engine.consoles, LIMIT, "somebody to listen")
        self.home.call(self.home.engine.consoles[self.id].show, data)

    @property
    def record(self) -> str:
        """What the container wrote before anybody listened."""
        return f"output of {self.id}\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a daemon and its location."""
    directory: Path = tmp_path_factory.mktemp("logs")
    daemon = Daemon(directory / "tfd")
    with MemoryLocation(directory / "home") as home:
        try:
            yield Site(home, daemon)
        finally:
            daemon.stop()


def test_the_output_is_printed_as_it_is(site: Site) -> None:
    """All that the location keeps, byte for byte, and code 0."""
    done = site.daemon.command("logs", "web")

    assert (done.returncode, done.stdout, done.stderr) == (0, site.record, "")


def test_a_follower_gets_what_comes(site: Site) -> None:
    """First what there is, then each line once, also bytes that are no text, until Ctrl-C."""
    with subprocess.Popen(
        [sys.executable, "-m", "tfd", "logs", "-f", "web"],
        stdout=subprocess.PIPE,
        env=site.daemon.environment,
    ) as follower:
        assert follower.stdout is not None
        try:
            first = follower.stdout.readline()
            site.say(b"one\n")
            site.say(b"\xff\xfe two\n")
            then = [follower.stdout.readline(), follower.stdout.readline()]
        finally:
            follower.terminate()

    assert first.decode() == site.record
    assert then == [b"one\n", b"\xff\xfe two\n"]
    assert site.daemon.command("logs", "web", "-n", "0").stdout == ""


def test_the_last_lines_alone(site: Site) -> None:
    """-n counts them."""
    with subprocess.Popen(
        [sys.executable, "-m", "tfd", "logs", "-n", "1", "-f", "web"],
        stdout=subprocess.PIPE,
        env=site.daemon.environment,
    ) as follower:
        assert follower.stdout is not None
        try:
            follower.stdout.readline()
            site.say(b"three\nfour\n")
            follower.stdout.readline()
        finally:
            follower.terminate()

    assert site.daemon.command("logs", "web", "-n", "1").stdout == "four\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nobody",), "no container nobody is declared; declared: lost, web"),
        (("-f", "nobody"), "no container nobody is declared; declared: lost, web"),
        (("lost",), "container lost is nowhere yet: "),
        (("a b",), "logs wants NAME"),
    ],
)
def test_what_cannot_be_shown_is_one_clear_line(site: Site, arguments: tuple[str, ...], words: str) -> None:
    """On standard error, with code 1."""
    done = site.daemon.command("logs", *arguments)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"tfd: {words}")
    assert len(done.stderr.splitlines()) == 1


def test_without_a_daemon_it_says_so(tmp_path: Path) -> None:
    """One line, and code 1."""
    done = Daemon(tmp_path / "tfd").command("logs", "web")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tfd: no tfd runs here")
