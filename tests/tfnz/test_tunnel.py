"""Tunnels onto containers: where they listen, what they carry, how they end."""

import errno
import hashlib
import os
import socket
import struct
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.peer import DIGEST, ECHO, RESET
from tests.support.product import Location as Service
from tests.support.user import User
from tests.support.waiting import wait_for
from tfnz.container import Container
from tfnz.location import Location
from tfnz.tunnel import Tunnel

pytestmark = [pytest.mark.engine, pytest.mark.root]

LIMIT = 30.0
MIB = 1 << 20


@pytest.fixture(scope="module")
def peer(module_session: Location) -> Container:
    """A container that echoes, digests and resets."""
    container = module_session.node().spawn_container("peer")
    container.wait_tcp(ECHO)
    return container


@pytest.fixture
def echo(peer: Container) -> Iterator[Tunnel]:
    """A tunnel to its echo, on loopback."""
    with peer.attach_tunnel(ECHO, localport=0, bind="127.0.0.1") as tunnel:
        yield tunnel


def connect(tunnel: Tunnel, host: str = "127.0.0.1") -> socket.socket:
    """Connect to a tunnel."""
    return socket.create_connection((host, tunnel.localport()), LIMIT)


def read_all(connection: socket.socket) -> bytes:
    """Read to the end."""
    got = bytearray()
    while data := connection.recv(1 << 16):
        got += data
    return bytes(got)


@pytest.mark.covers("tfnz.tunnel.Tunnel")
@pytest.mark.covers("Container.attach_tunnel", "Tunnel.localport", "Tunnel.port", "Tunnel.lp", "Tunnel.bind")
def test_a_tunnel_carries_both_ways(echo: Tunnel) -> None:
    """What goes in comes back; the local port is a number that may also be called."""
    with connect(echo) as connection:
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"

    assert echo.localport() == echo.localport == echo.lp
    assert (echo.port, echo.bind, echo.timeout) == (ECHO, "127.0.0.1", 30)


def test_half_close(peer: Container) -> None:
    """A client that ends its direction still gets the whole answer."""
    data = os.urandom(8 * MIB)
    with peer.attach_tunnel(DIGEST, localport=0) as tunnel, connect(tunnel) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

        assert read_all(connection) == f"{len(data)} {hashlib.sha256(data).hexdigest()}\n".encode()


def test_the_end_of_the_container_side(peer: Container) -> None:
    """A connection that the container resets is reset here; the tunnel goes on."""
    with peer.attach_tunnel(RESET, localport=0) as tunnel:
        for _ in range(2):
            with connect(tunnel) as connection:
                connection.sendall(b"x")
                with pytest.raises(ConnectionResetError):
                    read_all(connection)


def test_all_addresses_without_bind(peer: Container) -> None:
    """Without an address a tunnel serves IPv4 and IPv6 on one port."""
    with peer.attach_tunnel(ECHO, 0) as tunnel:
        for host in ("127.0.0.1", "::1"):
            with connect(tunnel, host) as connection:
                connection.sendall(b"hi")
                assert connection.recv(2) == b"hi"


@pytest.mark.parametrize(("bind", "other"), [("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
def test_a_bind_address_is_the_only_one(peer: Container, bind: str, other: str) -> None:
    """A tunnel with an address listens there alone."""
    with peer.attach_tunnel(ECHO, localport=0, bind=bind) as tunnel:
        with connect(tunnel, bind) as connection:
            connection.sendall(b"hi")
            assert connection.recv(2) == b"hi"
        with pytest.raises(ConnectionRefusedError):
            connect(tunnel, other)


@pytest.mark.parametrize("bind", [None, "127.0.0.1"])
def test_a_port_that_is_taken(peer: Container, module_session: Location, bind: str | None) -> None:
    """A taken port is an OSError that names it, and leaves no tunnel behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        before = dict(module_session.tunnels)
        with pytest.raises(OSError, match=str(port)) as raised:
            peer.attach_tunnel(ECHO, localport=port, bind=bind)

    assert raised.value.errno == errno.EADDRINUSE
    assert module_session.tunnels == before


@pytest.mark.parametrize("port", [0, -1, 65536, "http", None, 2.5, True])
def test_what_is_no_port(peer: Container, port: object) -> None:
    """A port that is none is a ValueError."""
    with pytest.raises(ValueError, match="is not a TCP port"):
        peer.attach_tunnel(port, localport=0)  # type: ignore[arg-type]


def test_ports_as_text(peer: Container) -> None:
    """Ports may be given as text."""
    with peer.attach_tunnel(str(ECHO), "0") as tunnel:
        assert tunnel.localport > 0


@pytest.mark.covers("Container.destroy_tunnel", "Container.all_tunnels", "Tunnel.destroy", "Location.tunnels")
def test_destroying_a_tunnel(peer: Container, module_session: Location) -> None:
    """A destroyed tunnel listens no more, resets its connections, and has no port."""
    tunnel = peer.attach_tunnel(ECHO, localport=0)
    port = int(tunnel.localport)
    assert module_session.tunnels[tunnel.uuid] is tunnel
    assert tunnel in peer.all_tunnels()
    with connect(tunnel) as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        assert len(tunnel.proxies) == 1
        peer.destroy_tunnel(tunnel)
        with pytest.raises(ConnectionResetError):
            read_all(connection)

    assert tunnel.uuid not in module_session.tunnels
    with pytest.raises(ValueError, match="dead"):
        tunnel.localport()
    with pytest.raises(KeyError):
        peer.destroy_tunnel(tunnel)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), LIMIT)
    tunnel.destroy()


def test_a_service_that_is_not_there_yet(box: Container) -> None:
    """A connection waits for a service that begins to listen; the tunnel outlives a refusal."""
    with box.attach_tunnel(8080, localport=0) as tunnel:
        tunnel.timeout = 0.5
        with connect(tunnel) as refused, pytest.raises(ConnectionResetError):
            read_all(refused)
        tunnel.timeout = LIMIT
        with connect(tunnel) as waiting, box.spawn_process("echo served | nc -l -p 8080"):
            assert read_all(waiting) == b"served\n"


def test_many_connections_at_once(echo: Tunnel) -> None:
    """200 connections at a time each get their own bytes back."""
    connections = [connect(echo) for _ in range(200)]
    try:
        for number, connection in enumerate(connections):
            connection.sendall(struct.pack(">I", number) * 1000)
        for number, connection in enumerate(connections):
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection) == struct.pack(">I", number) * 1000
    finally:
        for connection in connections:
            connection.close()

    wait_for(lambda: not echo.proxies, LIMIT, "the connections to be forgotten")


def test_a_client_that_does_not_read(echo: Tunnel) -> None:
    """A client that reads nothing holds up neither the others nor the session."""
    with connect(echo) as stalled:
        stalled.settimeout(1.0)

        def fill() -> None:
            try:
                while True:
                    stalled.sendall(bytes(MIB))
            except OSError:
                return

        filling = threading.Thread(target=fill)
        filling.start()
        filling.join(LIMIT)
        with connect(echo) as other:
            other.sendall(b"alive")
            assert other.recv(5) == b"alive"


@pytest.mark.covers("Container.wait_http_200", "Container.wait_tcp")
def test_waiting_for_http(module_session: Location) -> None:
    """The tunnel that is given leads to the page; it is on loopback and stays."""
    container = module_session.node().spawn_container("web")
    tunnel = container.wait_http_200(path="index.html")

    with urllib.request.urlopen(f"http://127.0.0.1:{tunnel.localport}/index.html", timeout=LIMIT) as page:
        assert page.status == 200
    assert tunnel.bind == "127.0.0.1"
    module_session.node().destroy_container(container)
    assert tunnel.dead


def test_waiting_for_http_at_another_host(box: Container, module_session: Location) -> None:
    """A name that is not this machine is a ValueError, one that is no name an OSError; no tunnel stays."""
    before = dict(module_session.tunnels)
    with pytest.raises(ValueError, match=r"is not 127\.0\.0\.1"):
        box.wait_http_200(fqdn="192.0.2.1")
    with pytest.raises(socket.gaierror):
        box.wait_http_200(fqdn="no-such-host.invalid")

    assert module_session.tunnels == before


@pytest.mark.slow
def test_waiting_for_a_page_that_is_not_there(module_session: Location) -> None:
    """Another answer than 200 is a ValueError that tells it, after the limit; the tunnel is removed."""
    container = module_session.node().spawn_container("web")
    with pytest.raises(ValueError, match="404"):
        container.wait_http_200(path="missing.html")

    assert container.all_tunnels() == []


@pytest.mark.covers("Tunnel.uuid", "Tunnel.container", "Tunnel.node", "Tunnel.timeout", "Tunnel.proxies")
@pytest.mark.covers("Tunnel.connect", "Tunnel.wait_until_ready")
def test_what_a_tunnel_knows(echo: Tunnel, peer: Container) -> None:
    """A tunnel knows its container and node; what is done already may be asked for again."""
    assert (echo.container(), echo.node, len(echo.uuid)) == (peer, peer.node(), 22)
    assert echo.wait_until_ready() is echo
    echo.connect()
    assert f"port={ECHO}" in repr(echo)


@pytest.mark.covers("Container.attach_browser")
def test_a_browser(user: User, sdk_location: Service, tmp_path: Path) -> None:  # noqa: ARG001 - it is there
    """The desktop's browser is opened at the page; a browser that fails is no error."""
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >{seen}\nexit 1\n')
    browser.chmod(0o755)
    program = f"""
import os
os.environ["BROWSER"] = {str(browser)!r}
from tfnz.location import Location
with Location(quiet=True) as location:
    print(location.node().spawn_container("web").attach_browser(path="index.html").localport)
"""
    done = user.python(program)

    assert done.returncode == 0, done.stderr
    assert seen.read_text() == f"http://localhost:{done.stdout.strip()}/index.html\n"
