"""Local sockets, and what the connections that they accept are like."""

import socket
from collections.abc import Iterator

import pytest

from tests.support.recording import RecordingLog
from tfd.protocol.address import Address
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.drivers.relaying.listener import BoundAddress
from tfd.protocol.drivers.relaying.sockets import CLIENT_OPTIONS, ENDS_IN_ORDER, Option

LIMIT = 10.0


class Served:
    """An address on a loop that runs only until a number of connections was accepted."""

    def __init__(self) -> None:
        self.loop = Loop(RecordingLog())
        self.bound = BoundAddress(self.loop, RecordingLog(), Address("127.0.0.1", 0))
        self.accepted: list[socket.socket] = []
        self.clients: list[socket.socket] = []

    def connect(self) -> None:
        """Connect one more client."""
        self.clients.append(socket.create_connection(self.bound.sockets[0].getsockname(), LIMIT))

    def take(self, count: int) -> None:
        """Run until so many connections were accepted."""
        limit = self.loop.call_later(LIMIT, self.loop.stop)
        while len(self.accepted) < count and limit.active:
            self.loop.turn()
        limit.cancel()
        assert len(self.accepted) == count

    def serve(self, *options: Option) -> None:
        """Serve with these options."""
        self.bound.serve(lambda client, _peer: self.accepted.append(client), options)

    def close(self) -> None:
        """Close everything."""
        self.bound.close()
        self.loop.close()
        for each in (*self.accepted, *self.clients):
            each.close()


@pytest.fixture
def served() -> Iterator[Served]:
    """A bound address that is not served yet."""
    made = Served()
    yield made
    made.close()


def has(connection: socket.socket, options: tuple[Option, ...]) -> bool:
    """Whether a connection has these options."""
    for level, name, value in options:
        if isinstance(value, bytes):
            found: int | bytes = connection.getsockopt(level, name, len(value))
        else:
            found = connection.getsockopt(level, name)
        if found != value:
            return False
    return True


def test_a_client_has_the_options(served: Served) -> None:
    """Also one that connected before the address was served, as systemd's sockets have it."""
    served.connect()
    served.serve(*CLIENT_OPTIONS)
    served.take(1)
    served.connect()
    served.take(2)

    assert all(has(client, CLIENT_OPTIONS) for client in served.accepted)


def test_options_change_with_whoever_serves(served: Served) -> None:
    """An address that moves to another owner gives connections as that one wants them."""
    served.serve(*CLIENT_OPTIONS)
    served.connect()
    served.take(1)
    served.connect()
    served.serve(ENDS_IN_ORDER)
    served.connect()
    served.take(3)

    assert has(served.accepted[0], CLIENT_OPTIONS)
    assert all(has(client, (ENDS_IN_ORDER,)) for client in served.accepted[1:])
