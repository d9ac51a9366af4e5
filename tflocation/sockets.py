"""The ZeroMQ sockets of the service and how the event loop reads them."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

import zmq

from tfd.protocol.drivers.systemd.listeners import KeptListeners, SocketName
from tfd.protocol.keys import KeyPair, z85_encode
from tfd.protocol.messages import MAX_MESSAGE
from tflocation.listening import listening_at
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
        # The session's heartbeats notice a silent client; these close the dead TCP connection below it.
        zmq.HEARTBEAT_IVL: 5000,
        zmq.HEARTBEAT_TIMEOUT: 15000,
    }
    for option, value in options.items():
        router.setsockopt(option, value)
    return router


def listen(address: Address, kept: KeptListeners | None) -> tuple[socket.socket, str]:
    """Give a listening socket, and its name in the service manager's store, "" without `kept`.

    An empty host is all addresses of both families, or of IPv4 where the machine has no IPv6. With `kept`
    the socket of the process before is taken over, and a new one outlives this process. Raises OSError.
    """
    names = _names(address)
    for family, name in names:
        before = kept.find(family, name) if kept is not None else None
        if before is not None:
            return before.socket, before.name
    listening = _first_free(names)
    try:
        return listening, kept.keep(listening) if kept is not None else ""
    except OSError:
        listening.close()
        raise


def serve(router: zmq.Socket[bytes], listening: socket.socket) -> int:
    """Have the ROUTER accept on a listening socket, which is ZeroMQ's from then on; give the port.

    Raises zmq.ZMQError.
    """
    port = int(listening.getsockname()[1])
    # ZMQ_USE_FD (zmq_setsockopt(3)): the address of zmq_bind(3) is then only looked at for its form.
    router.setsockopt(zmq.USE_FD, listening.fileno())
    router.bind(f"tcp://*:{port}")
    listening.detach()
    return port


def _names(address: Address) -> list[tuple[int, SocketName]]:
    """Give the families and addresses to try, the best first. Raises OSError for a host that is not known."""
    if address.host:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        return [(found[0], found[4])]
    both: list[tuple[int, SocketName]] = [(socket.AF_INET6, ("::", address.port, 0, 0))] * socket.has_ipv6
    return [*both, (socket.AF_INET, ("0.0.0.0", address.port))]  # noqa: S104 - asked for


def _first_free(names: Sequence[tuple[int, SocketName]]) -> socket.socket:
    """Listen at the first address that this machine has. Raises OSError, at once where it is in use."""
    *better, last = names
    for family, name in better:
        try:
            return listening_at(family, name, both_families=True)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
    return listening_at(*last, both_families=True)


def property_of(frame: zmq.Frame, name: str) -> str:
    """Give a property of the connection that a frame came over, empty where it has none (zmq_msg_gets(3))."""
    try:
        return str(frame.get(name))  # type: ignore[arg-type] # its stub knows numbers alone
    except (zmq.ZMQError, UnicodeDecodeError):
        return ""


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
