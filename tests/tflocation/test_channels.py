"""The channel port and what strangers do to it."""

import contextlib
import os
import random
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dataplane import LIMIT, Location, backend, echo
from tests.support.waiting import wait_for
from tfd.protocol.relay import Relay, State
from tflocation.channels import UNTICKETED_MOST
from tflocation.tickets import Grant, PortTarget, Tickets

CIPHER = "chacha20poly1305"


@pytest.fixture
def location() -> Iterator[Location]:
    """A running channel server."""
    running = Location()
    running.start()
    yield running
    running.stop()


def mint(location: Location, target: tuple[str, int]) -> Grant:
    """A ticket for a backend."""
    return location.call(
        lambda: location.tickets.mint("ann", "web", PortTarget(*target), location.loop.time(), CIPHER)
    )


def connect(location: Location) -> socket.socket:
    """A connection to the channel port."""
    return socket.create_connection((location.host, location.port), LIMIT)


def exchange(location: Location, grant: Grant, request: bytes) -> Relay:
    """Open a channel, send a request and its end, and read to the channel's end."""
    relay = Relay.open(grant.id, grant.key, grant.cipher)
    relay.plain_received(request)
    relay.plain_ended()
    with connect(location) as connection:
        connection.sendall(b"".join(relay.to_channel))
        relay.to_channel.clear()
        while relay.state is not State.FINISHED:
            data = connection.recv(65536)
            if not data:
                relay.channel_lost("it ended")
                break
            relay.channel_received(data)
    return relay


def serves(location: Location) -> bool:
    """Whether a ticket holder is served."""
    with backend(echo) as target:
        relay = exchange(location, mint(location, target), b"hello")
        return b"".join(relay.to_plain) == b"hello"


def is_closed(connection: socket.socket) -> bool:
    """Whether the location closes the connection, in order or not."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def receive_until_closed(connection: socket.socket) -> bytes:
    """What the location sends before it closes the connection, in order or not."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            received += data
    return received


def test_a_ticket_opens_one_channel(location: Location) -> None:
    """The second presentation of a ticket is closed, counted, and does no harm to anybody."""
    with backend(echo) as target:
        grant = mint(location, target)
        assert b"".join(exchange(location, grant, b"hello").to_plain) == b"hello"
        with connect(location) as again:
            again.sendall(b"TFC1" + grant.id)
            assert is_closed(again)
    assert location.counters["tickets-used"] == 1
    assert serves(location)


def test_unknown_tickets_and_other_protocols_are_closed(location: Location) -> None:
    """Neither a ticket nobody gave out nor somebody's HTTP request is answered."""
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    for greeting in (b"TFC1" + bytes(16), request, os.urandom(4096), b"\xff" + bytes(63)):
        with connect(location) as stranger:
            stranger.sendall(greeting)
            assert is_closed(stranger)
    assert location.counters["tickets-unknown"] == 1
    assert location.counters["strangers-dropped"] == 3
    assert serves(location)


def test_a_frame_of_16_megabytes_is_closed_at_its_header(location: Location) -> None:
    """A ticket holder who announces 2^24 bytes is cut off; the container's side is reset."""
    seen: list[bool] = []

    def serve(connection: socket.socket) -> None:
        try:
            connection.recv(1)
        except ConnectionResetError:
            seen.append(True)

    with backend(serve) as target:
        grant = mint(location, target)
        with connect(location) as holder:
            holder.sendall(b"TFC1" + grant.id)
            wait_for(lambda: location.server.open_channels, LIMIT, "the channel")
            holder.sendall(b"\0\xff\xff\xff" + bytes(100))
            assert len(receive_until_closed(holder)) <= 20  # the answer, and nothing else
    assert seen == [True]
    wait_for(lambda: location.server.open_channels == 0, LIMIT, "the channel to end")


def test_a_refused_connection_gives_its_reason(location: Location) -> None:
    """A port that nobody listens on is told to the opener as text."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        dead = reserved.getsockname()
    relay = exchange_refused(location, mint(location, dead))

    assert relay.state is State.REFUSED
    assert relay.reason == f"port {dead[1]} of web: Connection refused"
    wait_for(lambda: location.counters["channels-refused"] == 1, LIMIT, "the count")


def exchange_refused(location: Location, grant: Grant) -> Relay:
    """Open a channel with much sent ahead, and read until it is refused."""
    relay = Relay.open(grant.id, grant.key, grant.cipher)
    relay.plain_received(bytes(65536))
    with connect(location) as connection:
        connection.sendall(b"".join(relay.to_channel))
        relay.to_channel.clear()
        while relay.is_opening:
            data = connection.recv(65536)
            assert data, "the channel ended without an answer"
            relay.channel_received(data)
    return relay


def test_a_revoked_accounts_channels_end_at_once(location: Location) -> None:
    """Its open channels are reset and its tickets are worth nothing; another account's are untouched."""
    with backend(echo) as target:
        grant, unused = mint(location, target), mint(location, target)
        with connect(location) as holder:
            holder.sendall(b"TFC1" + grant.id)
            wait_for(lambda: location.server.open_channels == 1, LIMIT, "the channel")
            assert location.call(lambda: location.server.close_account("bob")) == 0
            assert location.call(lambda: location.server.close_account("ann")) == 1
            receive_until_closed(holder)
        with connect(location) as holder:
            holder.sendall(b"TFC1" + unused.id)
            assert is_closed(holder)


def test_a_containers_channels_end_with_it(location: Location) -> None:
    """A container that is no more takes its tickets and channels along."""
    with backend(echo) as target:
        grant = mint(location, target)
        assert location.call(lambda: location.server.close_container("web")) == 0
        with connect(location) as holder:
            holder.sendall(b"TFC1" + grant.id)
            assert is_closed(holder)


def resident_kilobytes() -> int:
    """Give the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize() // 1024


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """As many open files as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 12_000:
        pytest.skip(f"needs 12,000 open files; the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
def test_ten_thousand_silent_connections_hurt_nobody(location: Location) -> None:
    """10,000 connections that send nothing: the oldest are dropped, memory is bounded, others are served."""
    with contextlib.ExitStack() as held:
        for number in range(10_000):
            held.enter_context(connect(location))
            if number % 2500 == 2499:
                assert serves(location)
            if number == 1000:
                before = resident_kilobytes()
        assert location.counters["strangers-dropped"] >= 10_000 - UNTICKETED_MOST
        # This process holds the 10,000 clients' sockets too.
        assert resident_kilobytes() - before < 20_000


def test_random_bytes_from_many_strangers(location: Location) -> None:
    """Hundreds of strangers with random bytes, cut anywhere, some reset: others are served meanwhile."""
    stop = threading.Event()
    dice = random.Random(1)  # noqa: S311 - failures must be repeatable

    def attack() -> None:
        while not stop.is_set():
            try:
                with connect(location) as stranger:
                    stranger.sendall(dice.randbytes(dice.randrange(1, 200)))
                    if dice.random() < 0.5:
                        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                continue

    attackers = [threading.Thread(target=attack) for _ in range(4)]
    for attacker in attackers:
        attacker.start()
    try:
        end = time.monotonic() + LIMIT
        while location.counters["strangers-dropped"] < 300 and time.monotonic() < end:
            assert serves(location)
    finally:
        stop.set()
        for attacker in attackers:
            attacker.join(LIMIT)
    assert location.counters["strangers-dropped"] >= 300
    wait_for(lambda: location.server.open_channels == 0, LIMIT, "the channel to end")


def test_a_hung_container_is_refused_within_its_limit() -> None:
    """A port that neither accepts nor refuses is given up, with the reason."""
    with socket.socket() as hung:
        hung.bind(("127.0.0.1", 0))
        hung.listen(0)
        fillers = []
        for _ in range(4):  # a full backlog drops what comes
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(hung.getsockname())
            fillers.append(filler)
        location = Location(tickets=Tickets())
        location.start()
        try:
            relay = exchange_refused(location, mint(location, hung.getsockname()))
        finally:
            location.stop()
            for filler in fillers:
                filler.close()
    assert relay.reason.endswith("web: no answer within 5 s")
