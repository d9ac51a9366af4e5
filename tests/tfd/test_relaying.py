"""Connections through both ends of the data plane, with real sockets everywhere."""

import contextlib
import hashlib
import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.support.dataplane import (
    LIMIT,
    DataPlane,
    backend,
    data_plane,
    echo,
    listener,
    receive_all,
    receive_exactly,
)
from tests.support.waiting import wait_for
from tfd.protocol.channel import MAX_PAYLOAD

NO_LINGER = struct.pack("ii", 1, 0)
VOLUME = int(os.environ.get("TFD_TEST_VOLUME", str(64 << 20)))
"""Bytes each way of the volume tests; 1073741824 for the full measure."""


@pytest.fixture
def plane() -> Iterator[DataPlane]:
    """A data plane with one listener, "web", and no route yet."""
    with data_plane() as running:
        yield running


def is_reset(connection: socket.socket) -> bool:
    """Whether the connection ends by a reset, and not in order."""
    try:
        receive_all(connection)
    except ConnectionResetError:
        return True
    return False


def reset(connection: socket.socket) -> None:
    """Close by a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    connection.close()


def test_bytes_go_both_ways(plane: DataPlane) -> None:
    """A client's bytes reach the backend and its answer comes back."""
    with backend(echo) as target:
        plane.route("web", target)
        with plane.connect() as client:
            client.sendall(b"hello")

            assert receive_exactly(client, 5) == b"hello"


def test_a_server_may_speak_first(plane: DataPlane) -> None:
    """A backend's greeting arrives without a byte from the client."""
    with backend(lambda connection: connection.sendall(b"220 ready\r\n")) as target:
        plane.route("web", target)
        with plane.connect() as client:
            assert receive_all(client) == b"220 ready\r\n"


def test_many_connections_one_after_the_other_use_few_channels(plane: DataPlane) -> None:
    """Connections that end in order leave their channel's connection to the next one."""
    with backend(echo) as target:
        plane.route("web", target)
        for number in range(50):
            with plane.connect() as client:
                client.sendall(b"%d" % number)
                client.shutdown(socket.SHUT_WR)

                assert receive_all(client) == b"%d" % number
        wait_for(lambda: plane.location.counters["channels-carried"] == 50, LIMIT, "the channels' ends")
        assert plane.location.counters["channels-lost"] == 0
    statistics = plane.statistics()
    assert (statistics.accepted, statistics.open, statistics.waiting) == (50, 0, 0)
    said = sum(len(b"%d" % number) for number in range(50))
    assert statistics.bytes_in == statistics.bytes_out == said
    told = plane.location.counters
    wait_for(lambda: told["bytes-from-containers"] == told["bytes-to-containers"] == said, LIMIT, "counting")


def _send_volume(connection: socket.socket, seed: bytes) -> None:
    block = hashlib.shake_256(seed).digest(1 << 20)
    for _ in range(VOLUME >> 20):
        connection.sendall(block)
    connection.shutdown(socket.SHUT_WR)


def _expected(seed: bytes) -> str:
    digest = hashlib.sha256()
    block = hashlib.shake_256(seed).digest(1 << 20)
    for _ in range(VOLUME >> 20):
        digest.update(block)
    return digest.hexdigest()


def _digest(connection: socket.socket) -> str:
    digest = hashlib.sha256()
    while data := connection.recv(1 << 18):
        digest.update(data)
    return digest.hexdigest()


def test_a_client_that_ends_first_gets_the_whole_answer(plane: DataPlane) -> None:
    """After a client's half-close the backend sees all of the request, and the client all of the answer."""
    seen: list[str] = []

    def serve(connection: socket.socket) -> None:
        seen.append(_digest(connection))
        _send_volume(connection, b"answer")

    with backend(serve) as target:
        plane.route("web", target)
        with plane.connect() as client:
            _send_volume(client, b"request")

            assert _digest(client) == _expected(b"answer")
    assert seen == [_expected(b"request")]


def test_a_stream_that_always_has_more_moves_a_bounded_piece_in_a_turn(plane: DataPlane) -> None:
    """One read of the client, and of the channel what one read completes and what was left of one before."""
    said, heard = [0], [0]
    over = threading.Event()

    def note() -> None:
        counts = plane.proxy.statistics()["web"]
        said.append(counts.bytes_in)
        heard.append(counts.bytes_out)
        if not over.is_set():
            plane.loop.call_later(0, note)  # so in each turn once

    with backend(echo) as target:
        plane.route("web", target)
        plane.call(note)
        with plane.connect() as client:
            sending = threading.Thread(target=_send_volume, args=(client, b"both ways"))
            sending.start()

            assert _digest(client) == _expected(b"both ways")
            sending.join(LIMIT)
        over.set()
        plane.call(lambda: None)
    assert max(after - before for before, after in pairwise(said)) <= MAX_PAYLOAD
    assert max(after - before for before, after in pairwise(heard)) <= 2 * 3 * MAX_PAYLOAD


def test_a_server_that_ends_first_gets_the_whole_request(plane: DataPlane) -> None:
    """After a backend's half-close the client gets all of the answer, and the backend all of the request."""
    seen: list[str] = []
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        _send_volume(connection, b"answer")
        seen.append(_digest(connection))
        done.set()

    with backend(serve) as target:
        plane.route("web", target)
        with plane.connect() as client:
            assert _digest(client) == _expected(b"answer")
            _send_volume(client, b"request")
            assert done.wait(LIMIT * 10)
    assert seen == [_expected(b"request")]


def test_volumes_both_ways_at_once(plane: DataPlane) -> None:
    """Both directions at once are complete, with nobody waiting for the other."""
    seen: list[str] = []

    def serve(connection: socket.socket) -> None:
        sender = threading.Thread(target=_send_volume, args=(connection, b"answer"))
        sender.start()
        seen.append(_digest(connection))
        sender.join()

    with backend(serve) as target:
        plane.route("web", target)
        with plane.connect() as client:
            sender = threading.Thread(target=_send_volume, args=(client, b"request"))
            sender.start()

            assert _digest(client) == _expected(b"answer")
            sender.join()
    assert seen == [_expected(b"request")]


def test_a_clients_reset_reaches_the_backend(plane: DataPlane) -> None:
    """A client's reset is a reset at the container's process, not an end."""
    seen: list[bool] = []
    greeted, done = threading.Event(), threading.Event()

    def serve(connection: socket.socket) -> None:
        receive_exactly(connection, 1)
        greeted.set()
        seen.append(is_reset(connection))
        done.set()

    with backend(serve) as target:
        plane.route("web", target)
        client = plane.connect()
        client.sendall(b"x")
        assert greeted.wait(LIMIT)
        reset(client)
        assert done.wait(LIMIT)
    assert seen == [True]
    wait_for(lambda: plane.statistics().open == 0, LIMIT, "the connection's end")


def test_a_backends_reset_reaches_the_client(plane: DataPlane) -> None:
    """A backend's reset is a reset at the client, after the bytes that came before it."""

    def serve(connection: socket.socket) -> None:
        receive_exactly(connection, 1)
        reset(connection)

    with backend(serve) as target:
        plane.route("web", target)
        with plane.connect() as client:
            client.sendall(b"x")

            assert is_reset(client)


def test_an_answer_before_a_reset_is_not_lost(plane: DataPlane) -> None:
    """A backend that answers and closes without reading the request: the client still gets the answer."""

    def serve(connection: socket.socket) -> None:
        receive_exactly(connection, 1)
        connection.sendall(b"413 too large")
        select.select([connection], [], [], LIMIT)  # unread input makes the close a reset

    with backend(serve) as target:
        plane.route("web", target)
        with plane.connect() as client:
            client.sendall(b"x")
            received = receive_exactly(client, 13)
            client.sendall(b"y" * 100_000)

            assert received == b"413 too large"
            with contextlib.suppress(ConnectionError):
                assert receive_all(client) == b""


def test_a_channel_cut_in_the_middle_is_a_reset_for_both(plane: DataPlane) -> None:
    """A channel that ends without an end of stream resets client and backend: nothing is cut silently."""
    seen: list[bool] = []
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"x")
        seen.append(is_reset(connection))
        done.set()

    with backend(serve) as target:
        plane.route("web", target)
        with plane.connect() as client:
            assert receive_exactly(client, 1) == b"x"
            assert plane.location.call(lambda: plane.location.server.close_account("account")) == 1

            assert is_reset(client)
        assert done.wait(LIMIT)
    assert seen == [True]


def test_a_slow_reader_stops_the_writer(plane: DataPlane) -> None:
    """A client that does not read stops the backend after what the sockets' buffers hold; nothing is lost."""
    sent = 0
    stopped = threading.Event()

    def serve(connection: socket.socket) -> None:
        nonlocal sent
        connection.settimeout(1.0)
        block = bytes(1 << 16)
        try:
            while True:
                sent += connection.send(block)
        except TimeoutError:
            stopped.set()
        connection.settimeout(LIMIT)
        connection.shutdown(socket.SHUT_WR)

    with backend(serve) as target:
        plane.route("web", target)
        with plane.connect() as client:
            assert stopped.wait(60)
            assert sent < 64 << 20

            assert len(receive_all(client)) == sent


def test_connections_wait_while_there_is_no_route(plane: DataPlane) -> None:
    """A connection made while the container is away is served when it comes, with what it said meanwhile."""
    with backend(echo) as target, plane.connect() as client:
        client.sendall(b"early")
        client.shutdown(socket.SHUT_WR)
        wait_for(lambda: plane.statistics().waiting == 1, LIMIT, "the waiting connection")
        plane.route("web", target)

        assert receive_all(client) == b"early"


def test_a_connection_that_waits_too_long_is_reset() -> None:
    """After connect_timeout a client without a container is reset, counted by reason and logged."""
    with data_plane(listener(connect_timeout=0.2)) as plane, plane.connect() as client:
        assert is_reset(client)
        assert plane.statistics().refused == {"no container": 1}
        assert any("no container serves it" in message for message in plane.log.messages())


def test_a_client_that_leaves_while_waiting_is_forgotten(plane: DataPlane) -> None:
    """A client's reset while it waits for its container ends its wait."""
    client = plane.connect()
    wait_for(lambda: plane.statistics().waiting == 1, LIMIT, "the waiting connection")
    reset(client)
    wait_for(lambda: plane.statistics().open == 0, LIMIT, "the connection's end")


def test_a_refusal_is_tried_again_without_losing_a_byte(plane: DataPlane) -> None:
    """While the container's port refuses, the connection is kept; later it gets every byte once."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        target = reserved.getsockname()
    plane.route("web", target)
    with plane.connect() as client:
        client.sendall(b"first words")
        client.shutdown(socket.SHUT_WR)
        wait_for(lambda: plane.location.counters["channels-refused"] >= 2, LIMIT, "two refusals")
        with backend(echo, port=target[1]):
            assert receive_all(client) == b"first words"


def test_a_refusal_goes_on_along_a_new_route(plane: DataPlane) -> None:
    """A connection that one container refuses is served by the next one as soon as the route changes."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        dead = reserved.getsockname()
    plane.route("web", dead)
    with backend(echo) as target, plane.connect() as client:
        client.sendall(b"x")
        wait_for(lambda: plane.location.counters["channels-refused"] >= 1, LIMIT, "a refusal")
        plane.route("web", target)

        assert receive_exactly(client, 1) == b"x"


def test_refusals_until_the_time_is_over() -> None:
    """A port that refuses until connect_timeout gives a reset, and the log says what the location said."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        dead = reserved.getsockname()
    with data_plane(listener(connect_timeout=2.0)) as plane:
        plane.route("web", dead)
        with plane.connect() as client:
            assert is_reset(client)
        assert plane.statistics().refused == {"container refused": 1}
        assert any("Connection refused" in message for message in plane.log.messages())


def test_tickets_that_fail_are_asked_for_again(plane: DataPlane) -> None:
    """A connection outlives a time without tickets."""
    plane.link.failure = "the location is away"
    with backend(echo) as target, plane.connect() as client:
        plane.route("web", target)
        client.sendall(b"x")
        wait_for(lambda: plane.link.asked >= 3, LIMIT, "three tries")
        plane.link.failure = ""

        assert receive_exactly(client, 1) == b"x"


def test_a_location_that_restarts_is_waited_for(plane: DataPlane) -> None:
    """A channel port that is closed for a while costs waiting connections nothing but time."""
    port = plane.location.port
    with backend(echo) as target:
        plane.route("web", target)
        with plane.connect() as client:
            client.sendall(b"x")
            assert receive_exactly(client, 1) == b"x"
        plane.location.call(plane.location.server.close)
        with plane.connect() as client:
            client.sendall(b"again")
            asked = plane.link.asked
            wait_for(lambda: plane.link.asked >= asked + 2, LIMIT, "two tries")
            plane.location.start(port)

            assert receive_exactly(client, 5) == b"again"
