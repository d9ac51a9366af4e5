"""One ZeroMQ connection to a location: a DEALER with CURVE, driven by the loop.

Rule of this file: it carries frames and tells when the connection came and went. When to connect, and
what the frames say, is decided elsewhere. ZeroMQ's own reconnecting is off: it would resolve no name
anew and would hide from the session that the connection is another one.
"""

import select
import struct
from collections import deque
from collections.abc import Callable
from typing import Final

import zmq

from tfd.protocol.dataclass import dataclass
from tfd.protocol.drivers.loop import Loop

MAX_MESSAGE: Final = 1 << 20
"""Bytes of the longest control message."""

# Messages of up to 64 KiB: 4 MiB in memory for each direction at most.
HIGH_WATER_MARK: Final = 64

# Frames handled in one go before the loop serves others.
TURN: Final = 64

CONNECT_LIMIT: Final = 3000
"""Milliseconds for the TCP connection, and again for the handshake on it."""

SENT_LIMIT: Final = 6000
"""Milliseconds that sent data may stay unacknowledged (TCP_USER_TIMEOUT, tcp(7)). Only this notices a path
that still brings the location's heartbeats and loses ours."""

_MONITORED: Final = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
)

_ENDED: Final = {
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL): "ended the handshake: is it this location, and with this key?",
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL): "answered with another key or another protocol",
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): "does not know this account's key",
    int(zmq.EVENT_DISCONNECTED): "closed the connection",
    int(zmq.EVENT_CLOSED): "cannot be reached: refused, no route, or no answer",
}


@dataclass(frozen=True, slots=True)
class Keys:
    """The Curve25519 keys of one connection, 32 bytes each."""

    location: bytes
    public: bytes
    private: bytes

    def __repr__(self) -> str:
        return "Keys(...)"


class Transport:
    """A connection to one address, from its opening to its end; a new connection is a new object.

    Args:
        loop: the loop that calls back.
        context: ZeroMQ's context of this process.
        keys: ours and the location's.
        host: an IPv4 or IPv6 address; names are resolved by the caller.
        port: TCP port.
        ready: called once, when the handshake is over and frames may be sent.
        frame: called with each frame received.
        drained: called when frames that had to wait are all on their way.
        ended: called at most once, when the connection is of no more use, with what happened and
            whether it was the location's refusal of our key.

    """

    def __init__(
        self,
        loop: Loop,
        context: "zmq.Context[zmq.Socket[bytes]]",
        keys: Keys,
        host: str,
        port: int,
        *,
        ready: Callable[[], None],
        frame: Callable[[bytes], None],
        drained: Callable[[], None],
        ended: Callable[[str, bool], None],
    ) -> None:
        self._loop = loop
        self._ready = ready
        self._frame = frame
        self._drained = drained
        self._ended = ended
        self._closed = False
        self._looks_soon = False
        self._queue: deque[bytes] = deque()
        self._socket = _dealer(context, keys)
        address = f"inproc://monitor-{id(self):x}"
        self._socket.monitor(address, _MONITORED)
        self._monitor = context.socket(zmq.PAIR)
        self._monitor.setsockopt(zmq.LINGER, 0)
        self._monitor.connect(address)
        loop.register(self._monitor.FD, select.EPOLLIN, self._watch)
        loop.register(self._socket.FD, select.EPOLLIN, self._pump)
        self._socket.connect(f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}")
        self._soon()

    @property
    def backlog(self) -> int:
        """Frames that wait because the connection takes no more at present."""
        return len(self._queue)

    def send(self, frames: list[bytes]) -> None:
        """Send frames in order, as fast as the connection takes them; nothing is received within this."""
        self._queue.extend(frames)
        while not self._closed and self._queue and _state(self._socket) & zmq.POLLOUT:
            self._send_one()
        # What arrives meanwhile may be told by no edge.
        self._soon()

    def close(self) -> None:
        """Drop the connection and what was not sent; nothing is called back afterwards."""
        if self._closed:
            return
        self._closed = True
        self._queue.clear()
        self._loop.unregister(self._monitor.FD)
        self._loop.unregister(self._socket.FD)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)

    def _soon(self) -> None:
        # Both descriptors are edge-triggered: what came before they were registered is told by nobody.
        if not self._looks_soon:
            self._looks_soon = True
            self._loop.call_later(0, self._look)

    def _look(self) -> None:
        self._looks_soon = False
        self._watch(0)
        self._pump(0)

    def _pump(self, _events: int) -> None:
        """Receive and send until ZeroMQ says that there is nothing to do (ZMQ_FD in zmq_getsockopt(3))."""
        for _ in range(TURN):
            if self._closed:
                return
            state = _state(self._socket)
            if state & zmq.POLLIN:
                self._receive()
            elif state & zmq.POLLOUT and self._queue:
                self._send_one()
            else:
                return
        self._soon()

    def _send_one(self) -> None:
        self._socket.send(self._queue.popleft(), zmq.NOBLOCK)
        if not self._queue:
            self._drained()

    def _receive(self) -> None:
        frame = self._socket.recv(zmq.NOBLOCK)
        if self._socket.getsockopt(zmq.RCVMORE):
            self._end("sent a message of several frames", refused=False)
        else:
            self._frame(frame)

    def _watch(self, _events: int) -> None:
        while not self._closed and _state(self._monitor) & zmq.POLLIN:
            event: int = struct.unpack_from("=H", self._monitor.recv_multipart(zmq.NOBLOCK)[0])[0]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._ready()
            elif event in _ENDED:
                # Frames that arrived before the end still count: a refusal is told just before it.
                self._pump(0)
                self._end(_ENDED[event], refused=event == zmq.EVENT_HANDSHAKE_FAILED_AUTH)

    def _end(self, reason: str, *, refused: bool) -> None:
        if not self._closed:
            self.close()
            self._ended(reason, refused)


def _state(socket: "zmq.Socket[bytes]") -> int:
    state = socket.getsockopt(zmq.EVENTS)
    assert isinstance(state, int)
    return state


def _dealer(context: "zmq.Context[zmq.Socket[bytes]]", keys: Keys) -> "zmq.Socket[bytes]":
    socket = context.socket(zmq.DEALER)
    for option, value in (
        (zmq.LINGER, 0),
        (zmq.IPV6, 1),
        (zmq.MAXMSGSIZE, MAX_MESSAGE),
        (zmq.SNDHWM, HIGH_WATER_MARK),
        (zmq.RCVHWM, HIGH_WATER_MARK),
        (zmq.RECONNECT_IVL, -1),
        (zmq.CONNECT_TIMEOUT, CONNECT_LIMIT),
        (zmq.HANDSHAKE_IVL, CONNECT_LIMIT),
        (zmq.TCP_MAXRT, SENT_LIMIT),
        # Without it a frame is queued for a connection that may never be.
        (zmq.IMMEDIATE, 1),
        (zmq.CURVE_SERVERKEY, keys.location),
        (zmq.CURVE_PUBLICKEY, keys.public),
        (zmq.CURVE_SECRETKEY, keys.private),
    ):
        socket.setsockopt(option, value)
    return socket
