"""A location whose address changes in DNS: the name is resolved anew, and all goes on."""

import os
import socket
from pathlib import Path

import pytest

from tests.support import engine_view, peer
from tests.support.namespace import namespace
from tests.support.product import Daemon, Location
from tests.support.waiting import wait_for
from tflocation.development import PrivateEngine

pytestmark = [pytest.mark.engine, pytest.mark.root, pytest.mark.slow]

HOST = "home.test"
LIMIT = 60.0


def echoes(path: Path) -> bool:
    """Whether the served container answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LIMIT)
        connection.connect(os.fspath(path))
        connection.sendall(b"here?")
        return connection.recv(5) == b"here?"


def connected(daemon: Daemon) -> bool:
    """Whether the daemon says that it has its location."""
    status = daemon.status()
    assert status is not None
    return bool(status["locations"][0]["connected"])


def test_address_that_changes_in_dns(tmp_path: Path, engine: PrivateEngine, peer_archive: Path) -> None:
    """The location is found at its new address, and the same container serves on."""
    with namespace() as cable:
        cable.name_host(HOST, cable.outside)
        location = Location(tmp_path / "home", engine, address=HOST, listen="*")
        daemon = Daemon(tmp_path / "tfd", cable.name)
        path = tmp_path / "echo.sock"
        try:
            location.start()
            location.add_image(peer_archive, "peer")
            daemon.join(location.invite("moved"))
            daemon.configure(
                '[container.moved]\nimage = "peer"\n'
                f'[[listener]]\nbind = "unix:{path}"\ncontainer = "moved"\nport = {peer.ECHO}\n'
            )
            daemon.start()
            daemon.wait_ready()
            before = set(engine_view.instances(engine, "prod/moved/"))
            assert echoes(path)

            moved = cable.outside.rsplit(".", 1)[0] + ".3"
            cable.renumber(cable.outside, moved)
            cable.name_host(HOST, moved)

            wait_for(lambda: not connected(daemon), LIMIT, "the silence of the old address to be noticed")
            wait_for(lambda: connected(daemon), LIMIT, f"tfd to find {HOST} at {moved}")
            assert echoes(path)
            assert set(engine_view.instances(engine, "prod/moved/")) == before
        finally:
            daemon.stop()
            location.stop()
