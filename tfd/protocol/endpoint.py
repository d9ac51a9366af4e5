"""What both ends of a session have: a queue of frames, streams, a heartbeat and counters."""

from collections import Counter
from typing import Any

from tfd.protocol.heartbeat import Pulse
from tfd.protocol.messages import Kind, Message, encode, one_line
from tfd.protocol.stream import Streams


class Endpoint:
    """One end of a session, without I/O; times are seconds of one monotonic clock.

    `counters` says what was dropped and why, by a short name.
    """

    def __init__(self, heartbeat: float) -> None:
        self.counters: Counter[str] = Counter()
        self._pulse = Pulse(heartbeat)
        self._frames: list[bytes] = []
        self._streams = Streams(self._queue, self.counters)

    @property
    def last_heard(self) -> float | None:
        """When the peer sent something last; None while there is no transport."""
        return self._pulse.last_heard

    def outgoing(self) -> list[bytes]:
        """Drain the frames that must be sent, in order, over the present transport."""
        frames, self._frames = self._frames, []
        return frames

    def credit(self, stream_id: int) -> int:
        """Give the bytes that may be sent on a stream now; 0 when there is no such stream."""
        return self._streams.credit(stream_id)

    def send_stream(self, stream_id: int, data: bytes) -> None:
        """Send one chunk of a stream, of up to MAX_CHUNK bytes.

        Raises UsageError beyond the credit, after the end, and when there is no such stream (any more).
        """
        self._streams.send(stream_id, data)

    def end_stream(self, stream_id: int) -> None:
        """Say that no more data follows on a stream; nothing when there is no such stream (any more)."""
        self._streams.end(stream_id)

    def abort_stream(self, stream_id: int, reason: str) -> None:
        """End a stream in both directions at once; nothing when there is no such stream (any more)."""
        self._streams.abort(stream_id, one_line(reason))

    def grant(self, stream_id: int, size: int) -> None:
        """Let the peer send `size` more bytes; nothing when there is no such stream (any more).

        Raises UsageError when the credit is none, or over MAX_CREDIT in all.
        """
        self._streams.grant(stream_id, size)

    def _queue(self, message: Message) -> None:
        self._frames.append(encode(message))

    def _send(self, kind: Kind, message_id: int, name: str, body: dict[str, Any]) -> None:
        self._queue(Message(kind, message_id, name, body))

    def _beat(self, now: float) -> None:
        if self._pulse.due(now):
            self._send(Kind.EVENT, 0, "heartbeat", {})
