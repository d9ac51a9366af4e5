"""The ZeroMQ sockets of the service and how the event loop reads them."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

import zmq

from tfd.protocol.keys import KeyPair, z85_encode
from tfd.protocol.messages import MAX_MESSAGE
from tflocation.values import Address

log = logging.getLogger(__name__)

Context = zmq.Context[zmq.Socket[bytes]]

FRAMES_A_TURN: Final = 64
"""Messages taken from one socket before the loop does something else."""

HIGH_WATER: Final = 32
"""Messages queued for or from one client: with MAX_MESSAGE, 32 MiB of its making at the most."""

HANDSHAKE_LIMIT: Final = 5000
"""Milliseconds for the whole CURVE handshake; who says nothing is closed then."""

FAILED: Final = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

MONITORED: Final = FAILED | zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_ACCEPT_FAILED


def make_router(context: Context, keys: KeyPair) -> zmq.Socket[bytes]:
    """Give a ROUTER that speaks CURVE with the location's keys; the ZAP handler must be bound already."""
    router = context.socket(zmq.ROUTER)
    options: dict[int, Any] = {
        zmq.CURVE_SERVER: 1,
        zmq.CURVE_SECRETKEY: z85_encode(keys.secret).encode("ascii"),
        # Without a domain libzmq would let NULL clients pass where no ZAP handler answers.
        zmq.ZAP_DOMAIN: b"tflocation",
        zmq.ROUTER_MANDATORY: 1,
        zmq.ROUTER_HANDOVER: 0,
        zmq.MAXMSGSIZE: MAX_MESSAGE,
        zmq.SNDHWM: HIGH_WATER,
        zmq.RCVHWM: HIGH_WATER,
        zmq.LINGER: 0,
        zmq.IPV6: 1,
        zmq.HANDSHAKE_IVL: HANDSHAKE_LIMIT,
        zmq.BACKLOG: socket.SOMAXCONN,
        # The session's heartbeats notice a silent client; these close the dead TCP connection below it.
        zmq.HEARTBEAT_IVL: 5000,
        zmq.HEARTBEAT_TIMEOUT: 15000,
    }
    for option, value in options.items():
        router.setsockopt(option, value)
    return router


def bind(router: zmq.Socket[bytes], address: Address) -> int:
    """Bind the socket and give its port.

    An empty host is all addresses of both families, or of IPv4 where the machine has no IPv6.
    Raises zmq.ZMQError and, for a host name that is not known, OSError.
    """
    if address.host:
        hosts = [_numeric(address.host, address.port)]
    else:
        hosts = ["[::]", "0.0.0.0"] if socket.has_ipv6 else ["0.0.0.0"]  # noqa: S104 - asked for
    for host in hosts:
        try:
            router.bind(f"tcp://{host}:{address.port or '*'}")
            break
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE or host == hosts[-1]:
                raise
    return int(router.getsockopt_string(zmq.LAST_ENDPOINT).rsplit(":", 1)[1])


def property_of(frame: zmq.Frame, name: str) -> str:
    """Give a property of the connection that a frame came over, empty where it has none (zmq_msg_gets(3))."""
    try:
        return str(frame.get(name))  # type: ignore[arg-type] # its stub knows numbers alone
    except (zmq.ZMQError, UnicodeDecodeError):
        return ""


def _numeric(host: str, port: int) -> str:
    """Give the first address of a host as ZeroMQ takes it; it would look up interfaces, not names."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return f"[{found[4][0]}]" if found[0] == socket.AF_INET6 else str(found[4][0])


class Handshakes:
    """Finds the connections that ended without a handshake and without a word of libzmq about it.

    It reports none for those that begin as no ZMTP of today does (anything but 0xff): they are what is
    missing once every handshake that was begun must be over.
    """

    def __init__(self) -> None:
        self._accepted = 0
        self._finished = 0
        self._begun = 0
        self._found = 0

    def accepted(self) -> bool:
        """Note a new connection. True where `begin` is to be called, since nothing is awaited."""
        self._accepted += 1
        return not self._begun

    def finished(self) -> None:
        """Note a handshake that libzmq reported, good or not."""
        self._finished += 1

    def begin(self) -> None:
        """Wait for what was accepted until now; call `end` when its time, HANDSHAKE_LIMIT, is over."""
        self._begun = self._accepted

    def end(self) -> tuple[int, bool]:
        """Tell how many more ended without a word, and whether `begin` is to be called again."""
        new = max(0, self._begun - self._finished - self._found)
        self._found += new
        more = self._accepted > self._begun
        self._begun = 0
        return new, more


class Drain:
    """Has `take` called as long as it takes something, whenever the socket wakes up.

    ZeroMQ's descriptor is edge-triggered: it must be read until nothing waits, and again after a send.
    """

    def __init__(self, of: zmq.Socket[bytes], take: Callable[[], bool]) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._descriptor = int(of.getsockopt(zmq.FD))
        self._again: asyncio.Handle | None = None
        self._loop.add_reader(self._descriptor, self.run)
        self.wake()

    def wake(self) -> None:
        """Look at the socket soon."""
        if self._again is None:
            self._again = self._loop.call_soon(self.run)

    def run(self) -> None:
        """Take what waits, within one turn's share; never raises."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        for _ in range(FRAMES_A_TURN):
            try:
                if not self._take():
                    return
            except Exception:  # a defect of ours must not end the service for all
                log.exception("a message could not be handled and was dropped")
        self.wake()

    def close(self) -> None:
        """Stop looking."""
        self._loop.remove_reader(self._descriptor)
        if self._again is not None:
            self._again.cancel()
