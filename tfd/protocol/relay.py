"""One relayed connection, seen from one end: a plain byte stream on one side, a channel on the other.

Rule of this file: no sockets and no clock. A driver brings what its two sockets gave, takes what they are
to be given, and asks what to do next. The plain side is the client's connection (at tfd, the opener) or
the connection to the container's port (at the location).

Back-pressure: a side is read only while the other side has taken all that it was given, so a relay holds
at most what one read gave.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from tfd.protocol.channel import (
    MAX_PAYLOAD,
    MAX_REASON,
    Bytes,
    Channel,
    ChannelError,
    ChannelState,
    Frame,
    FrameType,
    Phase,
    Role,
    opening,
)
from tfd.protocol.dataclass import dataclass, field
from tfd.protocol.errors import UsageError
from tfd.protocol.text import printable


class State(Enum):
    """How far one relayed connection is."""

    OPENING = "the container's port has not answered yet"
    OPENING_PLAIN_ENDED = "not answered yet, and the plain side has already ended"
    OPENING_CHANNEL_ENDED = "not answered yet, and the channel has already ended"
    OPEN = "bytes go both ways"
    PLAIN_ENDED = "only the channel still brings bytes"
    CHANNEL_ENDED = "only the plain side still brings bytes"
    FINISHED = "both directions ended in order"
    REFUSED = "the location refused"
    UNANSWERED = "the channel was lost before there was an answer"
    RESETTING = "the plain side was reset, the channel is told"
    ABORTED = "the channel was reset or lost, the plain side is reset"

    # Enum's own is a call of Python code, several for each read; each member is one object.
    __hash__ = object.__hash__


class Input(Enum):
    """What happens to a relayed connection, besides bytes."""

    OPENED = "opened"
    REFUSED = "refused"
    PLAIN_END = "plain end"
    PLAIN_RESET = "plain reset"
    CHANNEL_END = "channel end"
    CHANNEL_RESET = "channel reset"
    CHANNEL_LOST = "channel lost"


READ_SIZE: Final = MAX_PAYLOAD
"""Bytes to read at once from a plain side: one full frame."""

_OPENING: Final = frozenset({State.OPENING, State.OPENING_PLAIN_ENDED, State.OPENING_CHANNEL_ENDED})
_FLOWING: Final = frozenset({State.OPEN, State.PLAIN_ENDED, State.CHANNEL_ENDED})
_READS_PLAIN: Final = frozenset({State.OPEN, State.CHANNEL_ENDED})

TRANSITIONS: Final[Mapping[tuple[State, Input], State]] = MappingProxyType(
    {
        (State.OPENING, Input.OPENED): State.OPEN,
        (State.OPENING, Input.PLAIN_END): State.OPENING_PLAIN_ENDED,
        (State.OPENING, Input.CHANNEL_END): State.OPENING_CHANNEL_ENDED,
        (State.OPENING_PLAIN_ENDED, Input.OPENED): State.PLAIN_ENDED,
        (State.OPENING_CHANNEL_ENDED, Input.OPENED): State.CHANNEL_ENDED,
        **{(state, Input.REFUSED): State.REFUSED for state in _OPENING},
        **{(state, Input.CHANNEL_LOST): State.UNANSWERED for state in _OPENING},
        (State.OPEN, Input.PLAIN_END): State.PLAIN_ENDED,
        (State.OPEN, Input.CHANNEL_END): State.CHANNEL_ENDED,
        (State.PLAIN_ENDED, Input.CHANNEL_END): State.FINISHED,
        (State.CHANNEL_ENDED, Input.PLAIN_END): State.FINISHED,
        **{(state, Input.CHANNEL_LOST): State.ABORTED for state in _FLOWING},
        **{(state, Input.CHANNEL_RESET): State.ABORTED for state in _OPENING | _FLOWING},
        **{(state, Input.PLAIN_RESET): State.RESETTING for state in _OPENING | _FLOWING},
    }
)
"""Every change of state. A pair that is not here is a caller's mistake, and in a last state is ignored."""

LAST_STATES: Final = frozenset(State) - _OPENING - _FLOWING


@dataclass(frozen=True, slots=True)
class Replay:
    """What the plain side gave before there was an answer: the next try begins with it."""

    data: bytes = b""
    ended: bool = False


NOTHING_YET: Final = Replay()


_PLAIN_OVER: Final = frozenset({State.OPENING_PLAIN_ENDED, State.PLAIN_ENDED, State.FINISHED})
_CHANNEL_OVER: Final = frozenset({State.OPENING_CHANNEL_ENDED, State.CHANNEL_ENDED, State.FINISHED})
_SUSPENDED: Final = _OPENING | _FLOWING | {State.FINISHED}


@dataclass(frozen=True, slots=True)
class RelayState:
    """Everything that a relay is, for another process to go on with: see `Relay.suspend`."""

    role: Role
    state: State
    channel: ChannelState
    replay: Replay = field(repr=False)
    shut: bool
    to_plain: bytes = field(repr=False)
    to_channel: bytes = field(repr=False)


class Relay:
    """One end of one relayed connection.

    `to_plain` and `to_channel` are the bytes that the sockets are to be given, in order: the driver sends
    them and tells how many were taken (`plain_sent`, `channel_sent`). Then, until `done`:

    - `wants_plain`, `wants_channel`: which side to read now;
    - `must_shut_plain`: shut the plain side down for writing, and tell `plain_was_shut`;
    - `must_reset_plain`: end the plain side by a reset;
    - `state`: REFUSED and UNANSWERED say that another ticket may be tried, with `replay`.

    Use `Relay.open` at tfd's end and `Relay.answer` at the location's.
    """

    __slots__ = ("_channel", "_replay", "_role", "_shut", "reason", "state", "to_channel", "to_plain")

    def __init__(self, role: Role, key: bytes, cipher: str) -> None:
        self._take(role, Channel(role, key, cipher))

    def _take(self, role: Role, channel: Channel) -> None:
        self._channel = channel
        self._role = role
        self._replay = NOTHING_YET
        self._shut = False
        self.state = State.OPENING
        self.reason = ""
        """Why the state is REFUSED, UNANSWERED or ABORTED: one line."""
        self.to_plain: list[bytes | memoryview] = []
        self.to_channel: list[bytes | memoryview] = []

    @classmethod
    def open(
        cls, ticket: bytes, key: bytes, cipher: str, greeting: bytes = b"", replay: Replay = NOTHING_YET
    ) -> "Relay":
        """Begin at tfd's end. The container gets `greeting` first, and then what `replay` holds."""
        relay = cls(Role.OPENER, key, cipher)
        relay.to_channel.append(opening(ticket))
        for data in (greeting, replay.data):
            if data:
                relay.to_channel.append(relay._channel.seal(FrameType.DATA, data))
        relay._replay = replay
        if replay.ended:
            relay.plain_ended()
        return relay

    @classmethod
    def answer(cls, key: bytes, cipher: str) -> "Relay":
        """Begin at the location's end, when a ticket was presented and the container's port not yet asked."""
        return cls(Role.LOCATION, key, cipher)

    def suspend(self) -> RelayState:
        """Give the relay's state away, unsent bytes included: it neither seals nor opens anything any more.

        Raises UsageError where nothing is left to go on with: closing both sides says what is to be said.
        """
        if self.state not in _SUSPENDED:
            raise UsageError(f"this relay is over: {self.state.value}")
        return RelayState(
            self._role,
            self.state,
            self._channel.suspend(),
            self._replay,
            self._shut,
            b"".join(self.to_plain),
            b"".join(self.to_channel),
        )

    @classmethod
    def resume(cls, state: RelayState) -> "Relay":
        """Go on where another relay was suspended. Raises UsageError where that cannot be a relay's state."""
        if state.state not in _SUSPENDED or not _agrees(state):
            raise UsageError(f"no relay is suspended like this: {state!r}")
        relay = cls.__new__(cls)
        relay._take(state.role, Channel.resume(state.channel))  # noqa: SLF001 - another constructor
        relay._replay, relay._shut = state.replay, state.shut  # noqa: SLF001 - likewise
        relay.state = state.state
        relay.to_plain = [state.to_plain] if state.to_plain else []
        relay.to_channel = [state.to_channel] if state.to_channel else []
        return relay

    # What the driver asks.

    @property
    def is_opening(self) -> bool:
        """Whether there is no answer yet."""
        return self.state in _OPENING

    @property
    def replay(self) -> Replay:
        """What the next try begins with, after REFUSED or UNANSWERED."""
        return self._replay

    @property
    def flows(self) -> bool:
        """Whether there is nothing to do but to read both sides, as nearly always."""
        return self.state is State.OPEN and not self.to_plain and not self.to_channel

    @property
    def wants_plain(self) -> bool:
        """Whether the plain side is to be read."""
        if self.to_channel:
            return False
        if self.state is State.OPENING:
            return self.takes_ahead
        return self.state in _READS_PLAIN

    @property
    def takes_ahead(self) -> bool:
        """Whether the plain side may be read though there is no answer, and what it gave go with the opening.

        It is kept until the answer: one read, then the client has to wait.
        """
        return self.state is State.OPENING and self._role is Role.OPENER and not self._replay.data

    @property
    def plain_is_open(self) -> bool:
        """Whether the plain side may still bring bytes, wanted now or later."""
        return self.state in _READS_PLAIN

    @property
    def wants_channel(self) -> bool:
        """Whether the channel is to be read."""
        return not self.to_plain and self.state not in LAST_STATES

    @property
    def must_shut_plain(self) -> bool:
        """Whether the plain side is to be shut down for writing now."""
        over = self.state is State.CHANNEL_ENDED or self.state is State.FINISHED
        return over and not self.to_plain and not self._shut

    @property
    def must_reset_plain(self) -> bool:
        """Whether the plain side is to be reset now; what `to_plain` still holds may be tried first."""
        return self.state is State.ABORTED

    @property
    def done(self) -> bool:
        """Whether nothing is left to be sent or shut: both sides may be closed."""
        if self.state not in LAST_STATES or self.to_channel:
            return False
        return self.state is not State.FINISHED or (not self.to_plain and self._shut)

    @property
    def reusable(self) -> bool:
        """Whether the channel's connection may carry the next opening; see `take_rest`."""
        return self.done and self._channel.ended

    def take_rest(self) -> bytes:
        """Give, once, the bytes of the next opening that were read with this channel's end."""
        return self._channel.take_rest()

    # What the driver tells.

    def plain_sent(self, count: int) -> None:
        """Tell that the plain side took the first `count` bytes of `to_plain`."""
        _drop(self.to_plain, count)

    def channel_sent(self, count: int) -> None:
        """Tell that the channel took the first `count` bytes of `to_channel`."""
        _drop(self.to_channel, count)

    def plain_was_shut(self) -> None:
        """Tell that `must_shut_plain` was obeyed."""
        self._shut = True

    def plain_received(self, data: bytes) -> None:
        """Take what the plain side gave: at most MAX_PAYLOAD bytes, and not none."""
        if self.state in LAST_STATES:
            return
        if self.is_opening:
            self._replay = Replay(self._replay.data + data)
        self.to_channel.append(self._channel.seal(FrameType.DATA, data))

    def plain_ended(self) -> None:
        """Take the end of what the plain side sends."""
        if self.state in LAST_STATES:
            return
        if self.is_opening:
            self._replay = Replay(self._replay.data, ended=True)
        self._step(Input.PLAIN_END)
        self.to_channel.append(self._channel.seal(FrameType.END))

    def plain_reset(self) -> None:
        """Take a reset of the plain side, or any other failure of it."""
        self.to_plain.clear()
        self._shut = True
        if self.state in LAST_STATES:
            return
        if self._role is Role.LOCATION and self.is_opening:
            self.refused("the container's port reset the connection")
            return
        self._step(Input.PLAIN_RESET)
        self.to_channel.append(self._channel.seal(FrameType.RESET))

    def opened(self) -> None:
        """Tell, at the location, that the container's port accepted the connection."""
        if self.state not in LAST_STATES:
            self._step(Input.OPENED)
            self.to_channel.append(self._channel.seal(FrameType.OPENED))

    def refused(self, reason: str) -> None:
        """Tell, at the location, why the container's port cannot be had."""
        if self.state not in LAST_STATES:
            self._step(Input.REFUSED)
            self.reason = reason
            self.to_plain.clear()
            text = reason.encode()[:MAX_REASON]
            self.to_channel.append(self._channel.seal(FrameType.REFUSED, text))

    def channel_received(self, data: Bytes) -> None:
        """Take what the channel gave. The bytes are copied, so their buffer may be reused."""
        if self.state in LAST_STATES:
            return
        try:
            frames = self._channel.receive(data)
        except ChannelError as error:
            self.channel_lost(str(error))
            return
        for frame in frames:
            if frame.type is FrameType.DATA:
                if frame.payload:
                    self.to_plain.append(frame.payload)
            else:
                self._control(frame)

    def channel_lost(self, reason: str) -> None:
        """Take the end of the channel's connection, however it came: it never stands for an END."""
        self.to_channel.clear()
        if self.state not in LAST_STATES:
            self.reason = reason
            self._step(Input.CHANNEL_LOST)

    def _control(self, frame: Frame) -> None:
        if frame.type is FrameType.OPENED:
            self._replay = NOTHING_YET
            self._step(Input.OPENED)
        elif frame.type is FrameType.REFUSED:
            self.reason = printable(frame.payload.decode("utf-8", "replace"))
            self._step(Input.REFUSED)
        elif frame.type is FrameType.END:
            self._step(Input.CHANNEL_END)
        else:
            self.reason = "the other end was reset"
            self.to_channel.clear()
            self._step(Input.CHANNEL_RESET)

    def _step(self, what: Input) -> None:
        try:
            self.state = TRANSITIONS[self.state, what]
        except KeyError:
            raise UsageError(f"{what.value} cannot come while {self.state.value}") from None


def _agrees(state: RelayState) -> bool:
    """Tell whether a relay's state and its channel's phases can be found together."""
    unanswered = Phase.ANSWER if state.state in _OPENING else Phase.STREAM
    flowing = {Role.OPENER: Phase.STREAM, Role.LOCATION: unanswered}
    phase = Phase.ENDED if state.state in _PLAIN_OVER else flowing[state.role]
    peer_phase = Phase.ENDED if state.state in _CHANNEL_OVER else flowing[state.role.peer]
    return (state.channel.phase, state.channel.peer_phase) == (phase, peer_phase)


def _drop(chunks: list[bytes | memoryview], count: int) -> None:
    """Take `count` bytes from the front."""
    if len(chunks) == 1 and count == len(chunks[0]):
        chunks.clear()
        return
    while count:
        first = chunks[0]
        if count < len(first):
            chunks[0] = memoryview(first)[count:]
            return
        count -= len(first)
        del chunks[0]
