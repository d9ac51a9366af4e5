"""tfd as the unit of a booted Debian that has this machine's network, and a location beside it."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.echo import EchoServer
from tests.support.location_program import location_program
from tests.support.machine import Machine, booted
from tests.support.product import free_port
from tests.support.waiting import wait_for

LIMIT = 60.0
UNIT = "tfd.service"


@dataclass(frozen=True)
class Served:
    """A machine whose tfd leads a port to an echo server."""

    machine: Machine
    port: int

    def connect(self) -> socket.socket:
        """Give a connection over which a word has gone there and back."""
        connection = socket.create_connection(("127.0.0.1", self.port), LIMIT)
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        return connection

    def command(self, *words: str) -> None:
        """Run a command on the machine, which must succeed."""
        done = self.machine.run(*words)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{self.machine.journal(UNIT)}"


@contextmanager
def served(root: Path) -> Iterator[Served]:
    """Boot the tree and have its tfd serve, more connections than a listener has by default."""
    with ExitStack() as stack:
        invite = stack.enter_context(location_program())
        echo = stack.enter_context(EchoServer())
        port = free_port()
        (root / "etc/tfd.toml").write_text(
            '[container.web]\nimage = "nginx"\n'
            f'[[listener]]\nbind = "127.0.0.1:{port}"\ncontainer = "web"\nport = {echo.port}\n'
            "max_connections = 100000\n"
        )
        machine = stack.enter_context(booted(root, ()))
        made = Served(machine, port)
        made.command("tfd", "join", invite)
        made.command("systemctl", "start", UNIT)
        wait_for(lambda: _accepts(port), LIMIT, "tfd to serve")
        yield made


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), LIMIT) as connection:
            connection.sendall(b"x")
            return connection.recv(1) == b"x"
    except OSError:
        return False
