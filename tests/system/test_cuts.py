"""Cables that are pulled: what tfd notices, what heals by itself, and what goes on meanwhile."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import engine_view, peer
from tests.support.namespace import Direction, Namespace, namespace
from tests.support.product import Daemon, Location, serving
from tests.support.waiting import wait_for
from tflocation.development import PrivateEngine

pytestmark = [pytest.mark.engine, pytest.mark.root, pytest.mark.slow]

LIMIT = 60.0
CUTS = int(os.environ.get("TFD_TEST_CUTS", "1"))
"""How often each direction is cut."""


@pytest.fixture(scope="module")
def cable() -> Iterator[Namespace]:
    """The namespace in which tfd runs."""
    with namespace() as one:
        yield one


@pytest.fixture(scope="module")
def far_location(
    tmp_path_factory: pytest.TempPathFactory, engine: PrivateEngine, peer_archive: Path, cable: Namespace
) -> Iterator[Location]:
    """A tflocation at the other end of the cable."""
    location = Location(tmp_path_factory.mktemp("far"), engine, address=cable.outside)
    with serving(location, {"peer": peer_archive}):
        yield location


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, far_location: Location, cable: Namespace
) -> Iterator[tuple[Daemon, Path]]:
    """A tfd behind the cable, and the Unix socket on which it serves an echo."""
    directory = tmp_path_factory.mktemp("served")
    path = directory / "echo.sock"
    daemon = Daemon(directory / "tfd", cable.name)
    daemon.join(far_location.invite("served"))
    daemon.configure(
        '[container.echo]\nimage = "peer"\n'
        f'[[listener]]\nbind = "unix:{path}"\ncontainer = "echo"\nport = {peer.ECHO}\n'
    )
    daemon.start()
    try:
        daemon.wait_ready()
        yield daemon, path
    finally:
        daemon.stop()


def connect(path: Path) -> socket.socket:
    """Connect to the served socket."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(os.fspath(path))
    return connection


def say(connection: socket.socket, message: bytes) -> None:
    """Send a message and see it come back."""
    connection.sendall(message)
    answer = b""
    while len(answer) < len(message):
        data = connection.recv(len(message) - len(answer))
        assert data, "the connection ended"
        answer += data
    assert answer == message


def connected(daemon: Daemon) -> bool:
    """Whether tfd says that it has its location."""
    status = daemon.status()
    assert status is not None
    return bool(status["locations"][0]["connected"])


@pytest.mark.parametrize("direction", ["both", "in", "out"] * CUTS)
def test_black_hole(
    served: tuple[Daemon, Path], cable: Namespace, engine: PrivateEngine, direction: Direction
) -> None:
    """Packets dropped in silence are noticed and healed from; connections and containers live on."""
    daemon, path = served
    before = set(engine_view.instances(engine, "prod/echo/"))
    wait_for(lambda: connected(daemon), LIMIT, "the session")
    with connect(path) as old:
        say(old, b"before")
        cable.cut(direction)
        try:
            wait_for(lambda: not connected(daemon), LIMIT, f"the cut of {direction} to be noticed")
        finally:
            cable.heal()
        wait_for(lambda: connected(daemon), LIMIT, "the session to be back")
        say(old, b"after")
    with connect(path) as new:
        say(new, b"new")
    assert set(engine_view.instances(engine, "prod/echo/")) == before


def test_connection_made_during_a_cut_is_served_after_it(
    served: tuple[Daemon, Path], cable: Namespace
) -> None:
    """A client that comes while the location cannot be reached waits, and is served once it can."""
    daemon, path = served
    wait_for(lambda: connected(daemon), LIMIT, "the session")
    cable.cut("both")
    try:
        wait_for(lambda: not connected(daemon), LIMIT, "the cut to be noticed")
        waiting = connect(path)
        waiting.sendall(b"patience")
    finally:
        cable.heal()
    with waiting:
        waiting.shutdown(socket.SHUT_WR)
        answer = b""
        while data := waiting.recv(100):
            answer += data
    assert answer == b"patience"
