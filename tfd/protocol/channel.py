"""A channel's frames: authenticated, in order, complete, or an error.

Rule of this file: bytes in, frames out; no sockets and no clock. The opener (tfd) presents a ticket with
`opening`, and everything after it, both ways, is frames: a header of 4 bytes (the frame's type, and the
length of what follows in 24 bits, big endian), then the payload sealed by an AEAD with the header as
its additional data. Each direction has a subkey of the ticket's key and counts its frames, and the count
is the nonce; so a frame that was changed, repeated, left out or moved fails to open. An END frame closes
a direction, so that truncation is noticed.
"""

import os
from _blake2 import blake2b
from collections.abc import Mapping
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from tfd.protocol.aead import CIPHERS, KEY_SIZE, TAG_SIZE, ForgedError
from tfd.protocol.dataclass import dataclass, field
from tfd.protocol.errors import ProtocolError, UsageError

MAGIC: Final = b"TFC1"
TICKET_SIZE: Final = 16
OPENING_SIZE: Final = len(MAGIC) + TICKET_SIZE
HEADER_SIZE: Final = 4

# One read of a relay's plain side: a receiver must hold a whole frame before it may look at it.
MAX_PAYLOAD: Final = 64 * 1024
MAX_REASON: Final = 512
MAX_FRAME: Final = HEADER_SIZE + MAX_PAYLOAD + TAG_SIZE

_MOST_FRAMES: Final = 1 << 63

Bytes = bytes | bytearray | memoryview


class ChannelError(ProtocolError):
    """The peer's bytes are not the next frame of this channel: the channel is over."""


class Role(Enum):
    """Which end of a channel this is. The value is the label of the key that it seals with."""

    OPENER = b"opener to location"
    LOCATION = b"location to opener"

    @property
    def peer(self) -> "Role":
        """The other end."""
        return Role.LOCATION if self is Role.OPENER else Role.OPENER


class FrameType(IntEnum):
    """A frame's first byte."""

    DATA = 0
    END = 1
    RESET = 2
    OPENED = 3
    REFUSED = 4


# By their numbers: to call the enum is two calls of Python code.
_FRAME_TYPES: Final = tuple(FrameType)


class Frame(NamedTuple):
    """One frame that was opened. `payload` is empty but for DATA and REFUSED (UTF-8 text)."""

    type: FrameType
    payload: bytes


class Phase(Enum):
    """How far one direction of a channel is."""

    ANSWER = "the location has not answered yet"
    STREAM = "data"
    ENDED = "no more data"
    OVER = "nothing more"

    # Enum's own is a call of Python code, several for each frame; each member is one object.
    __hash__ = object.__hash__


FIRST_PHASE: Final[Mapping[Role, Phase]] = MappingProxyType(
    {Role.OPENER: Phase.STREAM, Role.LOCATION: Phase.ANSWER}
)

PHASES: Final[Mapping[tuple[Phase, FrameType], Phase]] = MappingProxyType(
    {
        (Phase.ANSWER, FrameType.OPENED): Phase.STREAM,
        (Phase.ANSWER, FrameType.REFUSED): Phase.OVER,
        (Phase.STREAM, FrameType.DATA): Phase.STREAM,
        (Phase.STREAM, FrameType.END): Phase.ENDED,
        (Phase.STREAM, FrameType.RESET): Phase.OVER,
        (Phase.ENDED, FrameType.RESET): Phase.OVER,
    }
)
"""The frames that one direction may carry: every pair that is not here is an error."""

_LONGEST: Final[Mapping[int, int]] = MappingProxyType(
    {
        FrameType.DATA: MAX_PAYLOAD + TAG_SIZE,
        FrameType.END: TAG_SIZE,
        FrameType.RESET: TAG_SIZE,
        FrameType.OPENED: TAG_SIZE,
        FrameType.REFUSED: MAX_REASON + TAG_SIZE,
    }
)


def available_ciphers() -> tuple[str, ...]:
    """Give the names of this machine's ciphers, fastest first; "chacha20poly1305" is always there."""
    return tuple(CIPHERS)


def opening(ticket: bytes) -> bytes:
    """Give the first bytes of a channel: the magic and the ticket's id of 16 bytes."""
    if len(ticket) != TICKET_SIZE:
        raise UsageError(f"a ticket's id has {TICKET_SIZE} bytes, this one {len(ticket)}")
    return MAGIC + ticket


def parse_opening(data: Bytes) -> bytes:
    """Give the ticket's id in the first `OPENING_SIZE` bytes of a channel. Raises ChannelError."""
    if len(data) != OPENING_SIZE or data[: len(MAGIC)] != MAGIC:
        raise ChannelError("these are not the first bytes of a channel")
    return bytes(data[len(MAGIC) :])


def _subkey(key: bytes, sender: Role, cipher: str) -> bytes:
    # What hashlib.blake2b is: hashlib itself would load OpenSSL, megabytes that the daemon needs for nothing.
    label = sender.value + b", " + cipher.encode()
    return blake2b(label, digest_size=KEY_SIZE, key=key, person=b"tfd.channel").digest()


def random_ticket() -> tuple[bytes, bytes]:
    """Give the id and the key of a new ticket."""
    return os.urandom(TICKET_SIZE), os.urandom(KEY_SIZE)


@dataclass(frozen=True, slots=True)
class ChannelState:
    """Everything that one end of a channel is, for another process to go on with: see `Channel.suspend`.

    The keys are left out of its repr, so that no log and no traceback ever shows them.
    """

    cipher: str
    seal_key: bytes = field(repr=False)
    open_key: bytes = field(repr=False)
    sealed: int
    opened: int
    phase: Phase
    peer_phase: Phase
    partial: bytes | None = field(repr=False)
    rest: bytes = field(repr=False)


class Channel:
    """One end of one channel, from after the opening to the end of both directions.

    Args:
        role: which end this is.
        key: the ticket's key, 32 bytes, used for this channel alone.
        cipher: one of `available_ciphers()`.

    """

    __slots__ = (
        "_cipher",
        "_name",
        "_open_key",
        "_opened",
        "_partial",
        "_peer_phase",
        "_phase",
        "_rest",
        "_seal_key",
        "_sealed",
    )

    def __init__(self, role: Role, key: bytes, cipher: str) -> None:
        if len(key) != KEY_SIZE:
            raise UsageError(f"a ticket's key has {KEY_SIZE} bytes, this one {len(key)}")
        subkey, peers = _subkey(key, role, cipher), _subkey(key, role.peer, cipher)
        phase, peer_phase = FIRST_PHASE[role], FIRST_PHASE[role.peer]
        self._take(ChannelState(cipher, subkey, peers, 0, 0, phase, peer_phase, None, b""))

    def _take(self, state: ChannelState) -> None:
        if state.cipher not in CIPHERS:
            raise UsageError(f"no cipher {state.cipher!r} here, only {', '.join(CIPHERS)}")
        self._name, self._cipher = state.cipher, CIPHERS[state.cipher]
        self._seal_key, self._open_key = state.seal_key, state.open_key
        self._sealed, self._opened = state.sealed, state.opened
        self._phase, self._peer_phase = state.phase, state.peer_phase
        self._partial = None if state.partial is None else bytearray(state.partial)
        self._rest = state.rest

    def suspend(self) -> ChannelState:
        """Give all of this end's state away: this object seals and opens nothing from now on.

        Two processes with one key and one count would seal two frames under one nonce, which gives both
        texts away (RFC 8439, section 4): so what gave its state forgets its keys at once, whatever follows.
        """
        partial = None if self._partial is None else bytes(self._partial)
        state = ChannelState(
            self._name,
            self._seal_key,
            self._open_key,
            self._sealed,
            self._opened,
            self._phase,
            self._peer_phase,
            partial,
            self._rest,
        )
        self._seal_key = self._open_key = b""
        self._phase = self._peer_phase = Phase.OVER
        return state

    @classmethod
    def resume(cls, state: ChannelState) -> "Channel":
        """Go on where another object was suspended. Raises UsageError where that is no channel's state."""
        if len(state.seal_key) != KEY_SIZE or len(state.open_key) != KEY_SIZE:
            raise UsageError(f"a channel's keys have {KEY_SIZE} bytes")
        if not (0 <= state.sealed < _MOST_FRAMES and 0 <= state.opened < _MOST_FRAMES):
            raise UsageError("a channel's counts are out of range")
        if len(state.partial or b"") >= MAX_FRAME or len(state.rest) > 2 * MAX_FRAME:
            raise UsageError("a channel keeps less than a frame, and two of the next opening")
        if state.partial is not None and len(state.partial) >= HEADER_SIZE:
            length = int.from_bytes(state.partial[1:HEADER_SIZE], "big")
            if len(state.partial) >= HEADER_SIZE + length:
                raise UsageError("the frame begun is longer than it says")
        channel = cls.__new__(cls)
        channel._take(state)  # noqa: SLF001 - another constructor
        return channel

    @property
    def ended(self) -> bool:
        """Whether both directions ended in order: the connection may carry another channel."""
        return self._phase is Phase.ENDED and self._peer_phase is Phase.ENDED

    def take_rest(self) -> bytes:
        """Give, once, what came after the peer's END of a channel that ended: the next opening's bytes."""
        rest, self._rest = self._rest, b""
        return rest

    def seal(self, frame_type: FrameType, payload: bytes = b"") -> bytes:
        """Give one frame's bytes. Raises UsageError for a frame out of place, or too long a payload."""
        length = len(payload) + TAG_SIZE
        phase = PHASES.get((self._phase, frame_type))
        if phase is None:
            raise UsageError(f"no {frame_type.name} frame may follow: {self._phase.value}")
        if length > _LONGEST[frame_type]:
            raise UsageError(f"a {frame_type.name} frame of {len(payload)} bytes is too long")
        self._phase = phase
        count = self._sealed
        self._sealed += 1
        header = (frame_type << 24 | length).to_bytes(HEADER_SIZE, "big")
        return self._cipher.seal(header, payload, count, self._seal_key)

    def receive(self, data: Bytes) -> list[Frame]:
        """Take the peer's next bytes, however cut, and give the frames that they complete.

        At most one frame's bytes are kept for the next call; a copy is made, so `data` may be reused.

        Raises:
            ChannelError: a frame is forged, repeated, out of order or too long: the channel is over.

        """
        frames: list[Frame] = []
        view = memoryview(data)
        at, end = 0, len(view)
        if self._partial is not None:
            at = self._complete(self._partial, view)
            if not self._is_whole(self._partial):
                return frames
            whole, self._partial = self._partial, None
            frames.append(self._open(memoryview(whole)))
        while at < end:
            if self._peer_phase is Phase.ENDED and self._phase is Phase.ENDED:
                self._keep_rest(view[at:])
                break
            body = at + HEADER_SIZE
            after = body + self._length(view[at:body]) if body <= end else end + 1
            if after > end:
                self._partial = bytearray(view[at:])
                break
            frames.append(self._open(view[at:after]))
            at = after
        return frames

    def _keep_rest(self, data: memoryview) -> None:
        # An opener may send its next opening, and what it sends ahead of an answer: a greeting and one read.
        if len(self._rest) + len(data) > 2 * MAX_FRAME:
            raise ChannelError(f"{len(data)} bytes came after the end")
        self._rest += bytes(data)

    def _complete(self, partial: bytearray, view: memoryview) -> int:
        """Move bytes of `view` to the frame begun, no more than it lacks, and tell how many."""
        taken = 0
        if len(partial) < HEADER_SIZE:
            taken = HEADER_SIZE - len(partial)
            partial += view[:taken]
            taken = min(taken, len(view))
            if len(partial) < HEADER_SIZE:
                return taken
        lacking = HEADER_SIZE + self._length(partial) - len(partial)
        partial += view[taken : taken + lacking]
        return min(taken + lacking, len(view))

    def _is_whole(self, partial: bytearray) -> bool:
        return len(partial) >= HEADER_SIZE and len(partial) == HEADER_SIZE + self._length(partial)

    def _length(self, header: bytearray | memoryview) -> int:
        """Give the length of the sealed payload, before one byte of it is kept. Raises ChannelError."""
        length = int.from_bytes(header[1:HEADER_SIZE], "big")
        if (self._peer_phase, header[0]) not in PHASES:
            raise ChannelError(f"no frame of type {header[0]} may follow: {self._peer_phase.value}")
        if not TAG_SIZE <= length <= _LONGEST[header[0]]:
            raise ChannelError(f"a frame of type {header[0]} has a length of {length}")
        return length

    def _open(self, whole: memoryview) -> Frame:
        try:
            payload = self._cipher.open(whole, HEADER_SIZE, self._opened, self._open_key)
        except ForgedError:
            raise ChannelError(f"frame {self._opened} is not what the peer sealed") from None
        self._opened += 1
        frame_type = _FRAME_TYPES[whole[0]]
        self._peer_phase = PHASES[self._peer_phase, frame_type]
        return Frame(frame_type, payload)
