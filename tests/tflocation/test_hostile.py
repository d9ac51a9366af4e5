"""The control socket, spoken to by clients that are broken or mean harm."""

import os
import socket
import struct

import msgpack
import pytest
import zmq

from tests.support.client import Client
from tests.support.location import MemoryLocation
from tests.support.waiting import wait_for
from tfd.protocol.keys import generate
from tfd.protocol.messages import Kind, Message, encode
from tfd.protocol.session import State as SessionState

LIMIT = 30.0


class TestHostile:
    """Whatever one peer sends, another one is served."""

    FRAMES = (
        b"",
        b"\xff" * 100,
        b"\x91" * 60_000,
        b"\xdd\xff\xff\xff\xff",
        msgpack.packb([1, 1, 1, "hello", {"versions": "x"}]),
        msgpack.packb([1, 1, 2, "container.create", {"name": {"a": [1]}}]),
        msgpack.packb([9, 1, 1, "hello", {}]),
        msgpack.packb([1, 5, 7, "data", b"x"]),
        msgpack.packb([1, 1, 3, "container.list", {"surprise": True}]),
        msgpack.packb([1, 1, 2**63, "container.list", {}]),
        msgpack.packb([1, 4, 0, "heartbeat", []]),
    )

    def test_malformed_frames_of_an_account(self, location: MemoryLocation) -> None:
        """Each is answered or dropped, in a session and before one; the session goes on."""
        with location.member("alice") as client, location.member("bob") as other:
            for frame in self.FRAMES:
                client.send_raw(frame)
                assert other.call("container.list") == {"containers": []}
            client.connect()
            for frame in self.FRAMES:
                client.send_raw(frame)
            client.send_raw(b"several", b"frames", b"of", b"one message")
            client.connect()
            assert client.open().call("container.list") == {"containers": []}
            assert other.call("location.status")["counters"]["messages malformed"] > 0

    def test_an_oversize_message_ends_its_connection_alone(self, location: MemoryLocation) -> None:
        """More than MAXMSGSIZE is never buffered; libzmq closes that connection."""
        with location.member("alice") as client, location.member("bob") as other:
            client.send_raw(b"x" * (2 << 20))
            assert other.call("container.list") == {"containers": []}
            client.connect()
            client.open()

    @pytest.mark.parametrize(
        "opening",
        [
            b"",
            os.urandom(4096),
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f",
            b"\xff" + b"\0" * 8 + b"\x7f\x03\x01NULL" + b"\0" * 16 + b"\0" * 32,
            b"\xff" + b"\0" * 8 + b"\x7f\x03\x01CURVE" + b"\0" * 15 + b"\0" * 32 + b"\x04\xff" + b"x" * 255,
            b"\xff" + b"\0" * 8 + b"\x7f\x03\x00CURVE" + b"\0" * 47 + b"\x06" + struct.pack(">Q", 2**62),
        ],
    )
    def test_strangers_on_the_control_port(self, location: MemoryLocation, opening: bytes) -> None:
        """Bytes that are no CURVE handshake, or half of one, disturb nobody."""
        with location.member("alice") as client:
            connections = []
            for _ in range(20):
                connection = socket.create_connection(("127.0.0.1", location.port), LIMIT)
                connection.sendall(opening)
                connections.append(connection)
            assert client.call("container.list") == {"containers": []}
            for connection in connections:
                connection.close()
            with location.client(client.pair) as another:
                another.open()

    def test_a_wrong_server_key(self, location: MemoryLocation) -> None:
        """A client that took another location's key gets no session."""
        with Client(location.port, generate().public) as lost, location.member("alice") as client:
            lost.step(0.3)
            assert lost.session.state is SessionState.GREETING
            assert client.call("container.list") == {"containers": []}

    def test_a_plain_zeromq_client(self, location: MemoryLocation) -> None:
        """Without CURVE nothing is heard."""
        context = zmq.Context()
        plain = context.socket(zmq.DEALER)
        plain.linger = 0
        plain.connect(f"tcp://127.0.0.1:{location.port}")
        plain.send(encode(Message(Kind.REQUEST, 1, "hello", {})))
        with location.member("alice") as client:
            assert client.call("container.list") == {"containers": []}
        assert plain.poll(100) == 0
        plain.close()
        context.term()

    def test_another_routing_id_is_not_taken_over(self, location: MemoryLocation) -> None:
        """Two clients that claim one routing id are not confused: the first keeps it."""
        with location.member("alice") as client, location.member("bob") as other:
            for own in (client, other):
                own.drop()
            first = _claim(location, client)
            assert first.poll(int(LIMIT * 1000))
            second = _claim(location, other)
            assert not second.poll(300)
            for claimant in (first, second):
                context = claimant.context
                claimant.close()
                context.term()

    def test_sessions_of_one_key_are_bounded(self, location: MemoryLocation) -> None:
        """A key that opens sessions without end pushes out its own alone."""
        with location.member("alice", heartbeat=30.0) as client, location.member("bob") as other:
            many = [location.client(client.pair, heartbeat=30.0) for _ in range(70)]
            for one in many:
                one.step(0)
            wait_for(
                lambda: "sessions beyond the limit" in other.call("location.status")["counters"],
                LIMIT,
                "the limit to be reached",
            )
            for one in many:
                one.close()


def _claim(location: MemoryLocation, client: Client) -> "zmq.Socket[bytes]":
    from tfd.protocol.keys import z85_encode

    dealer = zmq.Context().socket(zmq.DEALER)
    dealer.linger = 0
    dealer.setsockopt(zmq.ROUTING_ID, b"victim")
    dealer.setsockopt(zmq.CURVE_SERVERKEY, z85_encode(location.public).encode())
    dealer.setsockopt(zmq.CURVE_PUBLICKEY, z85_encode(client.pair.public).encode())
    dealer.setsockopt(zmq.CURVE_SECRETKEY, z85_encode(client.pair.secret).encode())
    dealer.connect(f"tcp://127.0.0.1:{location.port}")
    dealer.send(b"anything")
    return dealer
