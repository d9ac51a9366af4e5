"""When a channel's TCP connection counts as dead. No I/O: options, and how to read the kernel's figures.

Keep-alive probes end an idle connection whose peer is gone, but the kernel sends none while data is on its
way: then it retransmits for about 15 minutes (tcp(7), tcp_retries2). TCP_USER_TIMEOUT would shorten that, but
it also kills a connection whose peer lives and is merely not read for that long (tcp(7): "or buffered data
may remain untransmitted (due to zero window size)"), that is, every paused download. So the drivers ask for
TCP_INFO now and then and judge by `is_dead`.
"""

import math
import socket
import struct
from collections.abc import Collection
from typing import Final, Generic, TypeVar

T = TypeVar("T")

CHANNEL_OPTIONS: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""For setsockopt: a channel whose peer has vanished while idle ends after 30 s."""

SILENCE: Final = 25.0
"""Seconds without an acknowledgement after which a connection that repeats itself is dead."""

CHECK_INTERVAL: Final = 5.0
"""Seconds between two looks at one connection."""

CHECK_PARTS: Final = 10
"""A round of looks is made in so many parts: thousands at once would hold up the relaying for as long."""

INFO_SIZE: Final = 60
"""Bytes of TCP_INFO that is judged here."""

# struct tcp_info of linux/tcp.h: retransmits at byte 2, probes at 3, unacked at 24, last_ack_recv at 56.
_INFO: Final = struct.Struct("=2xBB20xI28xI")
# last_data_sent at 44, last_data_recv at 52.
_DATA: Final = struct.Struct("=44xI4xI")
# Fewer repetitions than that are what a lossy line does to a living peer.
_REPEATS: Final = 3


def is_dead(info: bytes) -> bool:
    """Tell from TCP_INFO whether the peer has left data or window probes unanswered for `SILENCE`."""
    if len(info) < INFO_SIZE:
        return False
    retransmits, probes, unacknowledged, silent_milliseconds = _INFO.unpack_from(info)
    repeats = retransmits if unacknowledged else probes
    return bool(repeats >= _REPEATS and silent_milliseconds >= SILENCE * 1000)


def silence(info: bytes) -> float:
    """Give from TCP_INFO the seconds since data went or came, probes and acknowledgements not counted."""
    return min(_DATA.unpack_from(info)) / 1000 if len(info) >= INFO_SIZE else 0.0


class Rounds(Generic[T]):
    """Which connections are looked at next: each one in a round of CHECK_PARTS, one after the other.

    A round is over all that there are at its beginning. It keeps them until their part has come, ended ones
    too, and then no longer, however few there are by then.
    """

    def __init__(self) -> None:
        self._left: list[T] = []
        self._size = 1

    def part(self, present: Collection[T]) -> list[T]:
        """Give the next part of the round, or the first of a new round over those that are `present`."""
        if not self._left:
            self._left = list(present)
            self._size = max(1, math.ceil(len(present) / CHECK_PARTS))
        part = self._left[-self._size :]
        del self._left[-self._size :]
        return part
