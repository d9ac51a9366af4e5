"""The small box of the page that started the project: a booted Debian with the user ubuntu and an account."""

import os
import shlex
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.cable import cable
from tests.support.machine import Machine, booted
from tests.support.waiting import wait_for

_NUMBER = os.getpid() % 250
OUTSIDE, INSIDE = f"10.214.{_NUMBER}.1", f"10.214.{_NUMBER}.2"
LIMIT = 60.0


@dataclass(frozen=True)
class Row:
    """What `tf ps` says of one container."""

    uuid: str
    image: str
    state: str
    ip: str


@dataclass(frozen=True)
class Box:
    """A machine with the user ubuntu, who has an account at a location."""

    machine: Machine

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file there."""
        file = self.machine.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def root(self, line: str) -> str:
        """Run a shell line as root in a login shell, which must succeed; give its output."""
        done = self.machine.run("sh", "-lc", line)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    def user(self, line: str) -> str:
        """Run a shell line as ubuntu in a login shell that ends with it."""
        return self.root(f"su - ubuntu -c {shlex.quote(line)}")

    def begin(self, line: str) -> None:
        """Begin a shell line as ubuntu, whose output goes to ~/nohup.out, and end the login."""
        self.user(f"{line.removesuffix('&')} </dev/null >>nohup.out 2>&1 &")

    def said(self) -> str:
        """Give what programs that were begun said."""
        return self.user("cat nohup.out")

    def containers(self) -> list[Row]:
        """Give what `tf ps` lists."""
        rows = (line.split() for line in self.user("tf ps").splitlines()[1:])
        return [Row(words[0], words[1], words[2], words[4]) for words in rows]

    def empty(self) -> bool:
        """Whether no container is left at the location."""
        return self.containers() == []

    def exec(self, container: Row, line: str) -> str:
        """Run a shell line in a container; give its output and what it complains of."""
        return self.user(f"tf exec {container.uuid} sh -c {shlex.quote(line)} 2>&1 || true")

    def clean(self) -> None:
        """End what ubuntu runs, with SIGTERM, and wait until the location has nothing of it any more."""
        self.root("pkill -TERM -u ubuntu || true")
        wait_for(self.empty, LIMIT, "the location to be empty")


@contextmanager
def up(root: Path) -> Iterator[Box]:
    """Boot the box with its cable."""
    with booted(root, network=_cable) as machine:
        yield Box(machine)


def _cable(leader: int) -> AbstractContextManager[None]:
    return cable(leader, f"tfd-box{_NUMBER}", OUTSIDE, INSIDE)


def page_at(port: int) -> bytes:
    """Fetch what the box serves on a port; empty while it serves nothing."""
    try:
        with urllib.request.urlopen(f"http://{INSIDE}:{port}/", timeout=10) as answer:
            content: bytes = answer.read()
            return content
    except OSError:
        return b""


def serves(port: int) -> Callable[[], bool]:
    """Give the condition that nginx's page is served on a port."""
    return lambda: b"nginx" in page_at(port)
