"""Strangers and faulty clients against a real tflocation, while tfd serves a page through it."""

import contextlib
import os
import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.support import peer
from tests.support.client import Client
from tests.support.product import Daemon, Location, free_port
from tests.support.waiting import wait_for
from tfd.protocol.channel import Channel, Frame, FrameType, Role, opening
from tfd.protocol.invite import parse_invite

pytestmark = [pytest.mark.engine, pytest.mark.slow]

NAME = "page"
LIMIT = 30.0
SILENT = 5000
GROWTH = 128 << 20
"""Bytes by which the service's memory may grow under any of this."""
LINES = 60
"""Warnings that all of this may cause: some kinds, each at most once in ten seconds."""

ZMTP = b"\xff" + bytes(8) + b"\x7f\x03"
CURVE = ZMTP + b"\0CURVE" + bytes(15) + bytes(32)

OPENINGS = (
    os.urandom(1 << 16).lstrip(b"\xff"),
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ZMTP + b"\0NULL" + bytes(16) + bytes(32) + b"\x04\x19\x05READY" + bytes(19),
    CURVE + b"\x04\xff" + b"x" * 255,
    CURVE + b"\x06" + struct.pack(">Q", 1 << 32) + bytes(1 << 16),
)
TIMES = 100


class Served:
    """A tfd with one container and a client that asks for its page again and again."""

    def __init__(self, location: Location, daemon: Daemon) -> None:
        """Configure and start tfd, then the client."""
        self.location, self.daemon = location, daemon
        self.port = free_port()
        self.pages = 0
        self.over = threading.Event()
        daemon.configure(
            f'[container.web]\nimage = "peer"\nenvironment = {{ NAME = "{NAME}" }}\n'
            f'[[listener]]\nbind = "127.0.0.1:{self.port}"\ncontainer = "web"\nport = {peer.NAME}\n'
        )
        daemon.start()
        daemon.wait_ready()
        self.client = threading.Thread(target=self._ask)
        self.client.start()

    def _ask(self) -> None:
        while not self.over.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT) as connection,
            ):
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                if connection.makefile("rb").read().endswith(NAME.encode()):
                    self.pages += 1
            self.over.wait(0.02)

    def go_on(self, pages: int = 3) -> None:
        """Wait until some more pages were served."""
        before = self.pages
        wait_for(lambda: self.pages >= before + pages, LIMIT, "pages to be served")

    def end(self) -> None:
        """Stop the client and tfd."""
        self.over.set()
        self.client.join(LIMIT)
        self.daemon.stop()


@pytest.fixture(scope="module", autouse=True)
def descriptors() -> Iterator[None]:
    """Thousands of sockets in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * SILENT:
        pytest.skip(f"needs {2 * SILENT} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, location: Location) -> Iterator[Served]:
    """One running chain for all strangers."""
    daemon = Daemon(tmp_path_factory.mktemp("served"))
    daemon.join(location.invite("served"))
    chain = Served(location, daemon)
    try:
        yield chain
    finally:
        chain.end()


@pytest.fixture
def member(location: Location) -> Iterator[tuple[Client, str]]:
    """A client with an account and a container of its own, by its id."""
    invite = parse_invite(location.invite(f"member-{os.urandom(4).hex()}"))
    with Client(invite.port, invite.public).open() as client:
        client.call("join", token=invite.token)
        asked: dict[str, Any] = {"name": "prod/own/0", "key": "k", "image": "peer", "config": {}}
        container = client.call("container.create", limit=60, **asked)["container"]["id"]
        probe = {"kind": "tcp", "port": peer.ECHO, "interval": 0.2, "timeout": 1.0, "rise": 1, "fall": 9}
        client.call("health.watch", id=container, probe=probe)
        client.wait_event("container.health", lambda body: body["good"])
        client.call("health.forget", id=container)
        yield client, container
        if client.refused is None:
            client.connect()
            client.open().call("container.destroy", id=container, limit=60)


@pytest.fixture(autouse=True)
def bounded(served: Served) -> Iterator[None]:
    """Whatever a test does: pages are served meanwhile and afterwards, memory and log stay bounded."""
    served.go_on()
    before, lines = _memory(served.location), len(_warnings(served.location))
    yield
    served.go_on()
    assert _memory(served.location) - before < GROWTH
    assert len(_warnings(served.location)) - lines < LINES


def connect(port: int) -> socket.socket:
    """Connect as anybody may."""
    return socket.create_connection(("127.0.0.1", port), timeout=LIMIT)


def counters(location: Location) -> dict[str, int]:
    """Give the counters that `tflocation status` shows."""
    status = location.status()
    assert status is not None
    found: dict[str, int] = status["counters"]
    return found


def counted(location: Location, names: set[str], strike: Callable[[], None]) -> None:
    """Strike, and wait until each of these counters has gone up."""
    before = counters(location)
    strike()

    def all_up() -> bool:
        now = counters(location)
        return all(now.get(name, 0) > before.get(name, 0) for name in names)

    wait_for(all_up, LIMIT, f"{', '.join(sorted(names))} to be counted")


def test_bytes_of_strangers(served: Served) -> None:
    """Bytes that are no handshake and no ticket, on both ports, are dropped and counted, each of them."""
    location = served.location
    before = counters(location)

    for _ in range(TIMES):
        for sent in OPENINGS:
            for port in (location.port, location.channel_port):
                with contextlib.suppress(OSError), connect(port) as connection:
                    connection.sendall(sent)
    served.go_on()

    def all_counted() -> bool:
        now = counters(location)
        return all(
            now.get(name, 0) - before.get(name, 0) >= TIMES * len(OPENINGS)
            for name in ("handshakes failed", "strangers-dropped")
        )

    wait_for(all_counted, LIMIT, "all of them to be counted")


def test_half_open_connections(served: Served) -> None:
    """Those that begin and say no more are given up, those that reset disturb nobody."""
    location = served.location

    def strike() -> None:
        begun = [
            (port, half) for port in (location.port, location.channel_port) for half in (b"\xff\0", b"TFC1")
        ]
        waiting = [connect(port) for port, _ in begun * 50]
        for connection, (_, half) in zip(waiting, begun * 50, strict=True):
            connection.sendall(half)
        served.go_on()
        for connection in waiting[::2]:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        served.go_on()
        for connection in waiting[1::2]:
            if connection.getpeername()[1] == location.port:
                assert _closed(connection)
            connection.close()

    counted(location, {"handshakes failed"}, strike)


def test_thousands_that_send_nothing(served: Served) -> None:
    """Silent connections on both ports: the oldest are dropped, who has something to say is served."""
    location = served.location
    silent: list[socket.socket] = []

    def strike() -> None:
        ports = (location.port, location.channel_port)
        silent.extend(connect(port) for _ in range(SILENT // 2) for port in ports)
        served.go_on(20)

    try:
        counted(location, {"handshakes failed", "strangers-dropped"}, strike)
        invite = parse_invite(location.invite("late"))
        with Client(invite.port, invite.public).open() as client:
            assert client.call("join", token=invite.token)["account"] == "late"
    finally:
        for connection in silent:
            connection.close()


def test_replayed_and_unknown_tickets(served: Served, member: tuple[Client, str]) -> None:
    """A ticket opens one channel; presented again, or made up, it opens nothing and is counted."""
    client, container = member
    location = served.location
    answer = client.call("ticket.take", id=container, port=peer.ECHO, count=1)
    ticket = answer["tickets"][0]
    with connect(location.channel_port) as first:
        channel = Channel(Role.OPENER, ticket["key"], answer["cipher"])
        sealed = channel.seal(FrameType.DATA, b"once")
        first.sendall(opening(ticket["id"]) + sealed)
        frames: list[Frame] = []
        while FrameType.DATA not in [frame.type for frame in frames]:
            data = first.recv(1 << 16)
            assert data, f"the channel ended after {frames}"
            frames += channel.receive(data)
        assert frames[-1].payload == b"once"

        def strike() -> None:
            for _ in range(100):
                for presented in (ticket["id"], os.urandom(16)):
                    with connect(location.channel_port) as again:
                        again.sendall(opening(presented) + sealed)
                        assert _closed(again)

        counted(location, {"tickets-used", "tickets-unknown"}, strike)


@pytest.mark.parametrize(
    "header", [b"\0\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\1\1\0\x10", b"\3\0\0\x10"]
)
def test_frames_that_cannot_be(served: Served, member: tuple[Client, str], header: bytes) -> None:
    """After a good ticket, a frame of 2^24 bytes, of no type or out of place closes the channel at once."""
    client, container = member
    location = served.location

    def strike() -> None:
        for ticket in client.call("ticket.take", id=container, port=peer.ECHO, count=20)["tickets"]:
            with connect(location.channel_port) as channel:
                channel.sendall(opening(ticket["id"]) + header + bytes(64))
                assert _closed(channel)

    counted(location, {"channels-lost"}, strike)


def test_messages_of_an_account_that_make_no_sense(served: Served, member: tuple[Client, str]) -> None:
    """Deep nesting, wrong types, lengths of 2^32 and frames too many are refused; the others go on."""
    client, _ = member
    messages = [
        b"\x91" * 500_000,
        b"\x81\xa1a" * 300_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        msgpack.packb([1, 1, 9, "container.create", [[[]]] * 1000]),
        msgpack.packb([1, 1, 10, "container.create", {"name": {"a": 1}, "key": 1.5, "config": None}]),
        msgpack.packb([1, "1", None, 7, b""]),
        msgpack.packb([99, 1, 11, "hello", {}]),
        msgpack.packb([1, 5, 2**64 - 1, "data", b"x" * 60_000]),
        os.urandom(1 << 19),
    ]

    def strike() -> None:
        for _ in range(10):
            for message in messages:
                client.send_raw(message)
            client.step(0)
        served.go_on()
        client.send_raw(bytes((1 << 20) + 1))
        served.go_on()

    counted(served.location, {"messages malformed"}, strike)


def test_revoked_account_loses_its_channels_at_once(served: Served, tmp_path: Path) -> None:
    """An open connection through tfd is reset as soon as `tflocation revoke` returns; others stay."""
    location, port = served.location, free_port()
    daemon = Daemon(tmp_path / "tfd")
    daemon.join(location.invite("doomed"))
    daemon.configure(
        f'[container.echo]\nimage = "peer"\n'
        f'[[listener]]\nbind = "127.0.0.1:{port}"\ncontainer = "echo"\nport = {peer.ECHO}\n'
    )
    daemon.start()
    try:
        daemon.wait_ready()
        with connect(port) as connection:
            connection.sendall(b"before")
            assert connection.recv(16) == b"before"
            connection.settimeout(5)

            assert location.command("--config", location.config, "revoke", "doomed").returncode == 0

            with pytest.raises(ConnectionResetError):
                connection.recv(1)

        def told() -> bool:
            return any("the account doomed was revoked" in line for line in daemon.lines())

        wait_for(told, LIMIT, "tfd to say that its account was revoked")
        status = daemon.status()
        assert status is not None
        assert [place["connected"] for place in status["locations"]] == [False]
    finally:
        daemon.stop()


def _closed(connection: socket.socket) -> bool:
    """Whether the peer has ended the connection, waiting for it."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        return True
    return True


def _memory(location: Location) -> int:
    status = Path(f"/proc/{location.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def _warnings(location: Location) -> list[str]:
    return [line for line in location.lines() if line.startswith(("WARNING", "ERROR"))]
