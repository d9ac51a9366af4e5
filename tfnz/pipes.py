"""The client's end of a pipe: opened by a command, carried by one channel after another.

A channel that is lost is replaced within the lease through `pipe.attach`; nothing is lost or doubled by it,
for both ends keep what the other has not acknowledged. All of this runs in the connection's loop.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Protocol

from tfd.protocol.drivers.link import Answer, Failure, Link
from tfd.protocol.drivers.loop import Loop, Timer
from tfd.protocol.drivers.relaying.tickets import Ticket
from tfd.protocol.errors import Code
from tfd.protocol.pipe import LAST, MAX_PIECE, Kind, Piece, Pipe
from tfnz.attachment import Attachment, Carriage

ATTACH_LIMIT: Final = 15.0
"""Seconds that the location may take to answer pipe.attach while the session is open."""

_RETRY: Final = 0.2


class PipeOwner(Protocol):
    """Who uses a pipe. Everything is told in the loop's thread."""

    def pipe_piece(self, piece: Piece) -> None:
        """Take the next piece; `consumed` of the pipe is called for it now or later."""

    def pipe_room(self) -> None:
        """Know that some of what was given to `send` has been sent; see `waiting`."""

    def pipe_failed(self, failure: Failure) -> None:
        """Know that the pipe is gone without a last piece; nothing follows."""


class Parts(Protocol):
    """What a pipe needs of its connection's data plane."""

    carriage: Carriage
    link: Link

    def forget(self, pipe: "OpenPipe") -> None:
        """Know that the pipe is over."""

    @property
    def lease(self) -> float:
        """Seconds that the location keeps a pipe without a channel."""


class OpenPipe:
    """One pipe, from the reply that granted it to its end.

    Args:
        parts: of the connection.
        grant: the reply: `pipe`, `ticket`, `cipher`.
        owner: is told what happens.

    Raises:
        KeyError, TypeError, ValueError: the reply is not what it should be.

    """

    def __init__(self, parts: Parts, grant: Mapping[str, Any], owner: PipeOwner) -> None:
        self.id = bytes(grant["pipe"])
        self._parts = parts
        self._loop: Loop = parts.carriage.loop
        self._owner = owner
        self._pipe = Pipe()
        self._outbox: deque[tuple[Kind, bytes | memoryview]] = deque()
        self._waiting = 0
        self._attachment: Attachment | None = None
        self._detached_at: float | None = None
        self._asking = False
        self._retry: Timer | None = None
        self._last_seen = False
        self._closed = False
        self._attach(ticket_of(grant, parts.link.host))

    @property
    def closed(self) -> bool:
        """Whether it is over: nothing is sent or told any more."""
        return self._closed

    @property
    def waiting(self) -> int:
        """Bytes that were given to `send` and wait for room."""
        return self._waiting

    def send(self, kind: Kind, payload: bytes | memoryview = b"") -> None:
        """Send a piece as soon as there is room; DATA may be of any length. Ignored once the pipe is over."""
        if self._closed or self._last_seen:
            return
        self._outbox.append((kind, payload))
        self._waiting += len(payload)
        self._pump()

    def consumed(self, pieces: int) -> None:
        """Tell that the owner has done with so many pieces: the location may send as many more."""
        if not self._closed:
            self._pipe.consumed(pieces)
            self._flush()

    def close(self) -> None:
        """Drop the pipe without a word to the owner; the location ends what is at its other end."""
        if self._closed:
            return
        if not self._last_seen:
            self._parts.link.request("pipe.close", {"pipe": self.id}, ATTACH_LIMIT, _ignore)
        attachment, self._attachment = self._attachment, None
        self._end()
        if attachment is not None:
            attachment.leave()

    def fail(self, failure: Failure) -> None:
        """Take it that the pipe is gone, and tell the owner."""
        if not self._closed:
            self._end()
            self._owner.pipe_failed(failure)

    def reattach(self) -> None:
        """Take a new channel: the present one may be dead without a word."""
        if not self._closed and self._attachment is not None:
            self._lost("the session was lost")

    def check_alive(self) -> None:
        """Look whether the channel's peer is still there."""
        if self._attachment is not None:
            self._attachment.check_alive()

    # Sending

    def _pump(self) -> None:
        pipe = self._pipe
        moved = False
        while self._outbox and not self._closed:
            kind, payload = self._outbox[0]
            room = pipe.room()
            if room <= 0 or (kind is not Kind.DATA and room < len(payload)):
                break
            take = min(room, MAX_PIECE, len(payload))
            pipe.send(kind, bytes(payload[:take]))
            moved = True
            self._waiting -= take
            if take == len(payload):
                self._outbox.popleft()
            else:
                self._outbox[0] = (kind, memoryview(payload)[take:])
        self._flush()
        if moved and not self._closed:
            self._owner.pipe_room()

    def _flush(self) -> None:
        if self._attachment is not None:
            self._attachment.flush()

    # Receiving

    def _received(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            if self._closed:
                return
            if piece.kind in LAST:
                self._last_seen = True
                self._outbox.clear()
                self._waiting = 0
            self._owner.pipe_piece(piece)
        # Acknowledgements that came along may have made room.
        if self._outbox:
            self._pump()
        elif not self._closed:
            self._flush()

    # Channels that come and go

    def _attach(self, ticket: Ticket) -> None:
        attachment = Attachment(
            self._parts.carriage,
            ticket,
            self._pipe,
            received=self._received,
            lost=self._lost,
            ended=self._end,
        )
        # It may have been lost already, while it was made.
        if self._retry is None and not self._closed:
            self._attachment = attachment

    def _lost(self, reason: str) -> None:
        if self._attachment is not None:
            if self._attachment.opened:
                self._detached_at = None
            self._attachment.close()
            self._attachment = None
        self._pipe.detach()
        if self._closed:
            return
        if self._detached_at is None:
            self._detached_at = self._loop.now
        if self._over_lease(reason):
            return
        if self._retry is None and not self._asking:
            self._retry = self._loop.call_later(_RETRY, lambda: self._ask(reason))

    def _over_lease(self, reason: str) -> bool:
        if self._left() > 0:
            return False
        lease = f"{self._parts.lease:g} s"
        self.fail(Failure(Code.UNAVAILABLE, f"the location could not be reached for {lease}: {reason}"))
        return True

    def _left(self) -> float:
        """Give the seconds of the lease that are left."""
        lease = self._parts.lease
        return lease if self._detached_at is None else self._detached_at + lease - self._loop.now

    def _ask(self, reason: str) -> None:
        self._retry = None
        if self._closed:
            return
        self._asking = True

        def answered(answer: Answer) -> None:
            self._asking = False
            if not self._closed:
                self._answered(answer, reason)

        limit = max(1.0, min(ATTACH_LIMIT, self._left()))
        self._parts.link.request("pipe.attach", {"pipe": self.id}, limit, answered)

    def _answered(self, answer: Answer, reason: str) -> None:
        if isinstance(answer, Failure):
            if answer.code in (Code.TIME_OUT, Code.UNAVAILABLE, Code.BUSY):
                self._lost(f"{reason}; {answer.message}")
            else:
                self.fail(answer)
            return
        try:
            ticket = ticket_of(answer, self._parts.link.host)
        except (KeyError, TypeError, ValueError) as error:
            self.fail(Failure(Code.MALFORMED, f"the location's answer to pipe.attach: {error!r}"))
            return
        self._attach(ticket)

    def _end(self) -> None:
        self._closed = True
        self._outbox.clear()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._attachment is not None:
            self._attachment.close()
            self._attachment = None
        self._parts.forget(self)


def ticket_of(grant: Mapping[str, Any], host: str) -> Ticket:
    """Give the ticket in a reply; `host` stands for one that names none.

    Raises KeyError, TypeError or ValueError where the reply is not what it should be.
    """
    ticket = grant["ticket"]
    cipher = str(grant["cipher"])
    return Ticket(
        bytes(ticket["id"]), bytes(ticket["key"]), cipher, str(ticket["host"] or host), int(ticket["port"])
    )


def content(piece: Piece) -> dict[str, Any]:
    """Give what an INFO, EXIT or FAIL says; nothing where it is not understood."""
    import msgpack

    try:
        said = msgpack.unpackb(piece.payload)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def failure_in(piece: Piece) -> Failure:
    """Give what a FAIL piece says."""
    said = content(piece)
    return Failure(str(said.get("code", Code.UNAVAILABLE)), str(said.get("message", "the location gave up")))


def _ignore(_answer: Answer) -> None:
    """Leave it at that: what was to be ended ends anyway once the lease is over."""
