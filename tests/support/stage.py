"""A restart of tfd on one machine: the daemon under a service manager, a location, and clients."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.dataplane import Location, backend, echo, receive_exactly
from tests.support.location_peer import LocationPeer
from tests.support.product import Daemon, free_port
from tests.support.service_manager import ServiceManager, service_manager
from tests.support.waiting import wait_for

Serve = Callable[[socket.socket], None]
WAIT = 30.0


@dataclass
class Stage:
    """A daemon under a service manager, a location, and the backends of its containers."""

    daemon: Daemon
    manager: ServiceManager
    peer: LocationPeer
    stack: ExitStack

    def backend(self, serve: Serve) -> int:
        """Start what runs behind a container's port, and give the port."""
        return self.stack.enter_context(backend(serve))[1]

    def configure(self, *listeners: str, container: str = '[container.web]\nimage = "nginx"\n') -> None:
        """Write a file with these listeners."""
        self.daemon.configure(container + "".join(listeners))

    def start(self) -> None:
        """Start the daemon and wait until it serves."""
        self.daemon.start()
        self.daemon.wait_ready()

    def serve_echo(self) -> int:
        """Start the daemon with one listener, behind which an echo answers, and give its port."""
        port = free_port()
        self.configure(table(port, self.backend(echo)))
        self.start()
        return port

    def leave(self) -> None:
        """End the daemon as `systemctl restart` does, and wait until it has ended."""
        assert self.daemon.process is not None
        self.daemon.signal(signal.SIGUSR2)
        assert self.daemon.process.wait(WAIT) == 0

    def restart(self) -> None:
        """Have another process in its place."""
        self.leave()
        self.daemon.start()

    def lines(self, text: str) -> list[str]:
        """Give the log lines that have a text."""
        return [line for line in self.daemon.lines() if text in line]

    def listener(self, name: str = "") -> dict[str, Any]:
        """Give the status of a listener, the first one without a name."""

        def find() -> dict[str, Any] | None:
            listeners: list[dict[str, Any]] = (self.daemon.status() or {"listeners": []})["listeners"]
            return next((entry for entry in listeners if name in ("", entry["name"])), None)

        found = wait_for(find, WAIT, f"listener {name}")
        assert found is not None
        return found


def table(port: int, to: int, more: str = "") -> str:
    """Give the lines of a listener."""
    return f'[[listener]]\nbind = "127.0.0.1:{port}"\ncontainer = "web"\nport = {to}\n{more}'


def connect(port: int) -> socket.socket:
    """Connect to a listener."""
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT)


@contextmanager
def staged(directory: Path, *variables: str) -> Iterator[Stage]:
    """Make everything but the daemon's start; `variables` are NAME=value of its environment."""
    with ExitStack() as stack:
        manager = stack.enter_context(service_manager(directory))
        location = Location()
        location.start()
        stack.callback(location.stop)
        peer = stack.enter_context(LocationPeer(channels=location))
        daemon = Daemon(directory / "tfd")
        daemon.prefix = manager.prefix(*variables)
        stack.callback(daemon.stop)
        daemon.join(peer.invite())
        yield Stage(daemon, manager, peer, stack)


def opened(stage: Stage, port: int, count: int) -> list[socket.socket]:
    """Give connections on which an answer has come."""
    connections = [stage.stack.enter_context(connect(port)) for _ in range(count)]
    for connection in connections:
        connection.sendall(b"hello")
    for connection in connections:
        assert receive_exactly(connection, 5) == b"hello"
    return connections
