"""What is done to a stream socket, whoever drives it."""

import contextlib
import fcntl
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Final

from tfd.protocol.drivers.relaying.proxy_protocol import SocketAddress
from tfd.protocol.liveness import INFO_SIZE, silence

# sendmsg(2) takes 1,024 pieces at most, and a socket buffer is full long before.
_PIECES: Final = 64
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_DEFAULT: Final = struct.pack("ii", 0, 0)
Option = tuple[int, int, int | bytes]
"""For setsockopt: level, name, value."""

ENDS_BY_RESET: Final[Option] = (socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
"""See `set_reset`."""

ENDS_IN_ORDER: Final[Option] = (socket.SOL_SOCKET, socket.SO_LINGER, _DEFAULT)
"""As sockets are made."""

CLIENT_OPTIONS: Final[tuple[Option, ...]] = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 120),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    ENDS_BY_RESET,
)
"""For clients: one that has vanished is noticed within four minutes; not earlier, a telephone may be asleep.

A reset unless it is closed in order: to the client of a process that was killed, or whose restart failed, an
end of stream would be the end of what the container has to say.
"""

_SO_COOKIE: Final = 57  # asm-generic/socket.h; the socket module does not have it
_SIOCOUTQ: Final = 0x5411  # asm-generic/ioctls.h has it as TIOCOUTQ; tcp(7)
_ESTABLISHED: Final = b"\x01"  # TCP_ESTABLISHED of linux/tcp_states.h
_COOKIE: Final = struct.Struct("=Q")


def send_some(connection: socket.socket, chunks: Sequence[bytes | memoryview]) -> int:
    """Send what the kernel takes of the chunks, and give the number of bytes. Raises OSError."""
    if len(chunks) == 1:
        return connection.send(chunks[0])
    return connection.sendmsg(chunks[:_PIECES])


def peer_of(connection: socket.socket) -> SocketAddress:
    """Give whom it is connected to (getpeername(2)); empty where that is over already."""
    try:
        address: SocketAddress = connection.getpeername()
    except OSError:
        return ""
    return address


def peer_name(address: SocketAddress) -> str:
    """Write a peer's address for people and logs."""
    if isinstance(address, tuple):
        return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
    return "a local process"


def close(connection: socket.socket, *, reset: bool) -> None:
    """Close in order, or so that the peer sees a reset, whatever it was to see before."""
    set_reset(connection, on=reset)
    connection.close()


def set_reset(connection: socket.socket, *, on: bool) -> None:
    """Choose whether it ends by a reset, whoever closes it last (socket(7), SO_LINGER with a time of 0)."""
    connection.setsockopt(*(ENDS_BY_RESET if on else ENDS_IN_ORDER))


def is_established(connection: socket.socket) -> bool:
    """Tell whether a TCP connection that was begun stands (tcp(7), TCP_INFO: its first byte is the state)."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == _ESTABLISHED


def cookie(connection: socket.socket) -> int:
    """Give the kernel's number of a socket, which no other one has and every copy shares. Raises OSError."""
    number: int = _COOKIE.unpack(connection.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, _COOKIE.size))[0]
    return number


def silence_of(*ends: socket.socket | None) -> float:
    """Give the seconds since the last byte of a stream that uses these sockets, as the kernel counts them.

    0 while bytes wait in one of them for a peer that does not read, and where none of them is of TCP.
    """
    silent = []
    for end in ends:
        if end is None:
            continue
        with contextlib.suppress(OSError):  # broken, or a Unix socket, of which nothing is counted
            if int.from_bytes(fcntl.ioctl(end, _SIOCOUTQ, bytes(4)), sys.byteorder):
                return 0.0
            silent.append(silence(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)))
    return min(silent, default=0.0)
