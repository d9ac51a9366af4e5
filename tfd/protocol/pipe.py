"""Pipes: an ordered stream of pieces that outlives the channels which carry it.

A frame on the channel is `type u8, length u32, payload`, numbers big-endian. Both ends keep what the other
has not acknowledged, and after a new ATTACH go on exactly where the other stopped receiving: nothing is
lost, doubled or reordered by a channel that was cut at any byte.
"""

import struct
from collections import deque
from enum import IntEnum
from typing import Final

from tfd.protocol.dataclass import dataclass
from tfd.protocol.errors import ProtocolError, UsageError

WINDOW: Final = 1 << 20
"""Bytes of pieces under way in one direction, `PIECE_COST` for each included: the most that an end keeps."""

MAX_PIECE: Final = 64 * 1024
"""Bytes of one piece's payload."""

PIECE_COST: Final = 64
"""Bytes that a piece counts beside its payload, so that empty ones are bounded too."""

AT_ONCE: Final = 128 * 1024
"""Bytes that `outgoing` gives at once, or a little more: the rest waits until those are sent."""

_HEAD: Final = struct.Struct(">BI")
_NUMBER: Final = struct.Struct(">Q")


class Kind(IntEnum):
    """What a frame is; ATTACH and ACK are the pipe's own, the others are numbered pieces."""

    ATTACH = 0
    """u64, the pieces received so far: the first frame of each attachment, both ways."""
    ACK = 1
    """u64, the pieces that the application has taken."""
    DATA = 16
    ERROR_DATA = 17
    """What a process writes to its standard error."""
    END = 18
    """The sender's data is over."""
    EXIT = 19
    """A map (MessagePack): how it ended. The last piece."""
    FAIL = 20
    """A map (MessagePack) of code and message: why it failed. The last piece."""
    WINDOW = 21
    """u16 columns, u16 rows: the terminal's size from now on."""
    SIGNAL = 22
    """u8, a signal's number."""
    INFO = 23
    """A map (MessagePack): what is known before the data."""


LAST: Final = frozenset({Kind.EXIT, Kind.FAIL})
_KINDS: Final = {int(kind): kind for kind in Kind}
_SIZES: Final = {Kind.ATTACH: 8, Kind.ACK: 8, Kind.END: 0, Kind.WINDOW: 4, Kind.SIGNAL: 1}
_DATA: Final = frozenset({Kind.DATA, Kind.ERROR_DATA, Kind.END})


@dataclass(frozen=True, slots=True)
class Piece:
    """One numbered piece."""

    kind: Kind
    payload: bytes


class Pipe:
    """One end of a pipe; both ends are alike. It does no I/O and never holds more than WINDOW each way."""

    def __init__(self) -> None:
        self._kept: deque[Piece] = deque()
        self._kept_cost = 0
        self._acknowledged = 0
        self._next = 0
        """The number of the piece that goes to the channel next."""
        self._sent_last = False
        self._sent_end = False
        self._inbox = bytearray()
        self._received = 0
        self._untaken: deque[int] = deque()
        self._untaken_cost = 0
        self._acknowledged_to_peer = 0
        self._got_last = False
        self._got_end = False
        self._attached = False
        self._attached_before = False
        self._must_attach = False
        self._greeted = False
        """Whether the peer's ATTACH came over this channel."""
        self._may_send = False

    @property
    def attached(self) -> bool:
        """Whether a channel carries it now."""
        return self._attached

    @property
    def over(self) -> bool:
        """Whether its last piece has been acknowledged: by the peer, or by us and on its way to the peer."""
        if self._sent_last:
            return not self._kept
        return self._got_last and self._acknowledged_to_peer == self._received

    def room(self) -> int:
        """Give the bytes of payload that may be sent now; 0 means to wait, or that it has ended."""
        if self._sent_last or self._got_last:
            return 0
        return max(0, WINDOW - self._kept_cost - PIECE_COST)

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send one piece.

        Raises UsageError beyond MAX_PIECE or `room`, after the end, and for a payload of the wrong size.
        """
        if kind in (Kind.ATTACH, Kind.ACK) or len(payload) != _SIZES.get(kind, len(payload)):
            raise UsageError(f"a piece of kind {kind.name} with {len(payload)} bytes cannot be sent")
        if self._sent_last or self._got_last or (self._sent_end and kind in _DATA):
            raise UsageError("the pipe's end was sent or received already")
        if len(payload) > MAX_PIECE or self._kept_cost + PIECE_COST + len(payload) > WINDOW:
            raise UsageError(f"{len(payload)} bytes cannot be sent; allowed: {min(self.room(), MAX_PIECE)}")
        self._sent_last = kind in LAST
        self._sent_end |= kind is Kind.END
        self._kept.append(Piece(kind, payload))
        self._kept_cost += PIECE_COST + len(payload)

    def attach(self) -> None:
        """Know that a fresh channel is there; what came half over the one before is forgotten."""
        self._attached = self._must_attach = True
        self._greeted = False
        self._inbox.clear()
        # The last ACK may have been lost with the channel before.
        self._acknowledged_to_peer = 0
        # What the peer has received is known before the first channel alone.
        self._may_send = not self._attached_before
        self._attached_before = True

    def detach(self) -> None:
        """Know that the channel is gone."""
        self._attached = self._must_attach = self._may_send = False
        self._inbox.clear()

    def receive(self, data: bytes) -> list[Piece]:
        """Take bytes from the channel; give the pieces that they complete.

        Raises ProtocolError where they are malformed: none of this call's pieces then counts as received, so
        drop the channel; another one may be attached. Raises UsageError without a channel.
        """
        if not self._attached:
            raise UsageError("the pipe has no channel to receive from")
        self._inbox += data
        before = self._received, self._untaken_cost, self._got_end, self._got_last
        pieces: list[Piece] = []
        try:
            for kind, payload in self._frames():
                self._take(kind, payload, pieces)
        except ProtocolError:
            self._received, self._untaken_cost, self._got_end, self._got_last = before
            for _ in pieces:
                self._untaken.pop()
            raise
        return pieces

    def consumed(self, pieces: int) -> None:
        """Know that the application has done with so many more pieces: the peer may send as much again.

        Raises UsageError for more than were received.
        """
        if not 0 <= pieces <= len(self._untaken):
            raise UsageError(f"{pieces} pieces cannot be taken; allowed: up to {len(self._untaken)}")
        for _ in range(pieces):
            self._untaken_cost -= self._untaken.popleft()

    def outgoing(self) -> bytes:
        """Give what to write to the channel now; ask again once it is written."""
        if not self._attached:
            return b""
        out = bytearray()
        if self._must_attach:
            self._must_attach = False
            out += _frame(Kind.ATTACH, _NUMBER.pack(self._received))
        taken = self._received - len(self._untaken)
        if taken > self._acknowledged_to_peer:
            self._acknowledged_to_peer = taken
            out += _frame(Kind.ACK, _NUMBER.pack(taken))
        if self._may_send and not self._got_last:
            self._send_pieces(out)
        return bytes(out)

    def _send_pieces(self, out: bytearray) -> None:
        index = self._next - self._acknowledged
        while index < len(self._kept) and len(out) < AT_ONCE:
            piece = self._kept[index]
            out += _frame(piece.kind, piece.payload)
            index += 1
        self._next = self._acknowledged + index

    def _frames(self) -> list[tuple[Kind, bytes]]:
        """Take the whole frames out of what came. Raises ProtocolError where one is wrong."""
        frames = []
        start, view = 0, self._inbox
        while len(view) - start >= _HEAD.size:
            number, size = _HEAD.unpack_from(view, start)
            kind = _KINDS.get(number)
            if kind is None or size > MAX_PIECE or size != _SIZES.get(kind, size):
                raise ProtocolError(f"a frame of type {number} with {size} bytes")
            if len(view) - start < _HEAD.size + size:
                break
            start += _HEAD.size
            frames.append((kind, bytes(view[start : start + size])))
            start += size
        del self._inbox[:start]
        return frames

    def _take(self, kind: Kind, payload: bytes, pieces: list[Piece]) -> None:
        if (kind is Kind.ATTACH) == self._greeted:
            raise ProtocolError("ATTACH is not the first frame, or not the only one of its type")
        if kind is Kind.ATTACH:
            self._peer_attached(_NUMBER.unpack(payload)[0])
        elif kind is Kind.ACK:
            self._peer_took(_NUMBER.unpack(payload)[0])
        else:
            self._count(kind, payload)
            pieces.append(Piece(kind, payload))

    def _peer_attached(self, received: int) -> None:
        if not self._acknowledged <= received <= self._next:
            raise ProtocolError(f"{received} pieces are said to be received; {self._next} were sent")
        self._greeted = True
        if not self._may_send:
            self._may_send = True
            self._next = received

    def _peer_took(self, taken: int) -> None:
        if not self._acknowledged <= taken <= self._next:
            raise ProtocolError(f"{taken} pieces are acknowledged; {self._next} were sent")
        for _ in range(taken - self._acknowledged):
            self._kept_cost -= PIECE_COST + len(self._kept.popleft().payload)
        self._acknowledged = taken

    def _count(self, kind: Kind, payload: bytes) -> None:
        cost = PIECE_COST + len(payload)
        if self._got_last or (self._got_end and kind in _DATA):
            raise ProtocolError("a piece came after the last one")
        if self._untaken_cost + cost > WINDOW:
            raise ProtocolError(f"more than {WINDOW} bytes came without being acknowledged")
        self._got_last = kind in LAST
        self._got_end |= kind is Kind.END
        self._received += 1
        self._untaken.append(cost)
        self._untaken_cost += cost


def _frame(kind: Kind, payload: bytes) -> bytes:
    return _HEAD.pack(kind, len(payload)) + payload
