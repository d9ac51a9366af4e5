"""The path that cuts its connections."""

import socket
from collections.abc import Iterator

import pytest

from bench.footprint.cutting import Cutting

LIMIT = 10.0
LIFE = 0.1


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """What listens at the far end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(LIMIT)
        yield listening


def connected(path: Cutting, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Give both ends of a connection over the path."""
    near = socket.create_connection(("127.0.0.1", path.port), LIMIT)
    far, _ = server.accept()
    far.settimeout(LIMIT)
    return near, far


def test_each_connection_is_cut_at_both_ends_and_the_next_one_too(server: socket.socket) -> None:
    """Where it does not hold."""
    with Cutting(server.getsockname(), LIFE, 1) as path:
        for _ in range(2):
            near, far = connected(path, server)
            with near, far:
                assert (near.recv(1), far.recv(1)) == (b"", b"")


def test_what_is_held_is_passed_on_and_cut_when_it_goes_on(server: socket.socket) -> None:
    """A connection that is made while the path holds has all of its time left."""
    with Cutting(server.getsockname(), LIFE, 1) as path:
        path.hold()
        near, far = connected(path, server)
        with near, far:
            for _ in range(20):
                near.sendall(b"a")
                assert far.recv(1) == b"a"
                far.sendall(b"b")
                assert near.recv(1) == b"b"
            path.go_on()
            assert (near.recv(1), far.recv(1)) == (b"", b"")
