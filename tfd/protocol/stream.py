"""Streams: bounded chunks in both directions of a session, each sent only under the receiver's credit.

A receiver grants bytes and the sender uses them up, so a slow reader stops the writer and not
the heartbeat. What a peer does wrong ends its stream, never the session.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType

from tfd.protocol.errors import ProtocolError, UsageError
from tfd.protocol.events import StreamAborted, StreamCredit, StreamData, StreamEnded, StreamEvent
from tfd.protocol.messages import MAX_CHUNK, Kind, Message, one_line

MAX_CREDIT = 64 << 20
"""Bytes of credit a stream may have at once: what a writer with a fast source could put in memory."""


class State(Enum):
    """How far a stream is, from one end's view."""

    OPEN = "open"
    SENT_END = "sent end"
    GOT_END = "got end"
    CLOSED = "closed"


class Input(Enum):
    """What ends a stream."""

    END_SENT = "end sent"
    END_RECEIVED = "end received"
    ABORTED = "aborted"


TRANSITIONS: Mapping[tuple[State, Input], State] = MappingProxyType(
    {
        (State.OPEN, Input.END_SENT): State.SENT_END,
        (State.OPEN, Input.END_RECEIVED): State.GOT_END,
        (State.OPEN, Input.ABORTED): State.CLOSED,
        (State.SENT_END, Input.END_RECEIVED): State.CLOSED,
        (State.SENT_END, Input.ABORTED): State.CLOSED,
        (State.GOT_END, Input.END_SENT): State.CLOSED,
        (State.GOT_END, Input.ABORTED): State.CLOSED,
    }
)

_SENDING = (State.OPEN, State.GOT_END)
_RECEIVING = (State.OPEN, State.SENT_END)


class Stream:
    """One end of one stream.

    `credit` is what we may still send, `window` what the peer may still send, both in bytes.
    """

    def __init__(self) -> None:
        self.state = State.OPEN
        self.credit = 0
        self.window = 0

    def sent(self, size: int) -> None:
        """Count `size` bytes as sent. Raises UsageError beyond the credit or after the end."""
        if self.state not in _SENDING:
            raise UsageError("the stream's end was sent already")
        if not 0 < size <= min(self.credit, MAX_CHUNK):
            raise UsageError(f"{size} bytes cannot be sent; allowed: 1 to {min(self.credit, MAX_CHUNK)}")
        self.credit -= size

    def granted(self, size: int) -> None:
        """Take the peer's credit. Raises ProtocolError when it is none or over MAX_CREDIT in all."""
        if not 0 < size <= MAX_CREDIT - self.credit:
            raise ProtocolError(
                f"a credit of {size} bytes beside {self.credit}; allowed: {MAX_CREDIT} in all"
            )
        self.credit += size

    def grant(self, size: int) -> None:
        """Let the peer send `size` more. Raises UsageError when that is none or over MAX_CREDIT in all."""
        if not 0 < size <= MAX_CREDIT - self.window:
            raise UsageError(f"a credit of {size} bytes beside {self.window}; allowed: {MAX_CREDIT} in all")
        self.window += size

    def arrived(self, size: int) -> None:
        """Count `size` bytes as come. Raises ProtocolError beyond the window or after the end."""
        if self.state not in _RECEIVING:
            raise ProtocolError("data after the stream's end")
        if not 0 < size <= self.window:
            raise ProtocolError(f"{size} bytes of data came under a credit of {self.window}")
        self.window -= size

    def move(self, event: Input) -> bool:
        """Follow the table; false, and nothing changed, when it has no such transition."""
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            return False
        self.state = following
        return True


class Streams:
    """The streams of one end of a session; `queue` takes each message for the peer."""

    def __init__(self, queue: Callable[[Message], None], counters: Counter[str]) -> None:
        self._queue = queue
        self._counters = counters
        self._streams: dict[int, Stream] = {}

    def __contains__(self, stream_id: object) -> bool:
        return stream_id in self._streams

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, stream_id: int) -> None:
        """Start a stream anew."""
        self._streams[stream_id] = Stream()

    def drop(self, stream_id: int) -> bool:
        """Forget a stream without a word; false when there is none."""
        return self._streams.pop(stream_id, None) is not None

    def abort(self, stream_id: int, reason: str) -> None:
        """End a stream in both directions and tell the peer; nothing when there is no such stream."""
        if self.drop(stream_id):
            self._say(stream_id, "abort", reason)

    def lose(self, reason: str) -> list[StreamAborted]:
        """Give up all streams, since the transport that carried them is gone."""
        aborted = [StreamAborted(stream_id, reason) for stream_id in self._streams]
        self._streams.clear()
        return aborted

    def credit(self, stream_id: int) -> int:
        """Give the bytes that may be sent now; 0 when there is no such stream."""
        stream = self._streams.get(stream_id)
        return stream.credit if stream is not None and stream.state in _SENDING else 0

    def send(self, stream_id: int, data: bytes) -> None:
        """Send one chunk. Raises UsageError beyond the credit, MAX_CHUNK, the end, or without a stream."""
        stream = self._streams.get(stream_id)
        if stream is None:
            raise UsageError(f"there is no stream {stream_id}")
        stream.sent(len(data))
        self._say(stream_id, "data", data)

    def end(self, stream_id: int) -> None:
        """Say that no more data follows; nothing when there is no such stream or that was said."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.move(Input.END_SENT):
            self._say(stream_id, "end", None)
            self._forget_closed(stream_id, stream)

    def grant(self, stream_id: int, size: int) -> None:
        """Let the peer send `size` more bytes; nothing when there is no such stream.

        Raises UsageError when that is none, or over MAX_CREDIT in all.
        """
        stream = self._streams.get(stream_id)
        if stream is not None and stream.state in _RECEIVING:
            stream.grant(size)
            self._say(stream_id, "credit", size)

    def receive(self, message: Message) -> list[StreamEvent]:
        """Take a STREAM message of the peer; what breaks a rule aborts that stream."""
        stream = self._streams.get(message.id)
        if stream is None:
            # Common and harmless: data that was under way when this end aborted the stream.
            self._counters["stream-unknown"] += 1
            return []
        try:
            event = self._take(message, stream)
        except ProtocolError as error:
            self._counters["stream-fault"] += 1
            self.abort(message.id, str(error))
            return [StreamAborted(message.id, str(error))]
        self._forget_closed(message.id, stream)
        return [event]

    def _take(self, message: Message, stream: Stream) -> StreamEvent:
        body = message.body
        if message.name == "data":
            stream.arrived(len(body))
            return StreamData(message.id, body)
        if message.name == "credit":
            stream.granted(body)
            return StreamCredit(message.id, self.credit(message.id))
        if message.name == "end":
            if not stream.move(Input.END_RECEIVED):
                raise ProtocolError("a second end of the stream")
            return StreamEnded(message.id)
        stream.move(Input.ABORTED)
        return StreamAborted(message.id, one_line(body))

    def _forget_closed(self, stream_id: int, stream: Stream) -> None:
        if stream.state is State.CLOSED:
            self.drop(stream_id)

    def _say(self, stream_id: int, name: str, body: object) -> None:
        self._queue(Message(Kind.STREAM, stream_id, name, body))
