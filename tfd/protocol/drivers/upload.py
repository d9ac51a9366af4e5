"""Bringing blobs to a location: over a stream with credit, resumed after a cut where it broke off."""

from collections.abc import Callable
from typing import BinaryIO, Final

from tfd.protocol.drivers.link import Answer, Failure, Link, StreamEvent
from tfd.protocol.drivers.loop import Loop, Timer
from tfd.protocol.errors import Code
from tfd.protocol.events import StreamAborted, StreamCredit, StreamEnded
from tfd.protocol.messages import MAX_CHUNK

TURN: Final = 8
"""Chunks sent before the loop serves others."""

ANSWER_LIMIT: Final = 30.0
"""Seconds for the location's answer to blob.put."""

STALL_LIMIT: Final = 60.0
"""Seconds without any progress after which a try is given up; verifying a large blob counts as one."""

TRIES: Final = 5
"""Tries in a row that may end without a byte more at the location."""

Open = Callable[[], BinaryIO]
Done = Callable[[Failure | None], None]


class Upload:
    """One blob on its way; `done` is called once, with None when the location has verified it.

    Args:
        loop: the loop that calls back.
        link: where to.
        digest: the blob's digest.
        size: bytes.
        source: opens the content for reading and seeking; may raise OSError or ArchiveError.
        done: told the result.

    """

    def __init__(self, loop: Loop, link: Link, digest: str, size: int, source: Open, done: Done) -> None:
        self._loop = loop
        self._link = link
        self._digest = digest
        self._size = size
        self._source = source
        self._done = done
        self._file: BinaryIO | None = None
        self._stream: int | None = None
        self._left = size
        self._furthest = -1
        self._fruitless = 0
        self._stall: Timer | None = None
        self._scheduled = False
        self._over = False
        self._start()

    def cancel(self) -> None:
        """Give up without a word to `done`."""
        if self._stream is not None:
            self._link.abort(self._stream, "given up")
        self._over = True
        self._release()

    def _start(self) -> None:
        if self._over:
            return
        self._stream = self._link.request(
            "blob.put", {"digest": self._digest, "size": self._size}, ANSWER_LIMIT, self._answered
        )
        if self._stream is not None:
            self._link.follow(self._stream, self._happened)

    def _answered(self, answer: Answer) -> None:
        if self._over:
            return
        if isinstance(answer, Failure):
            if answer.code in (Code.TIME_OUT, Code.UNAVAILABLE, Code.BUSY):
                self._again(answer)
            else:
                self._finish(answer)
            return
        offset = answer.get("offset")
        if not isinstance(offset, int) or not 0 <= offset <= self._size:
            self._finish(Failure(Code.MALFORMED, f"the location's offset for {self._digest} is {offset!r}"))
            return
        self._fruitless = 0 if offset > self._furthest else self._fruitless + 1
        self._furthest = max(offset, self._furthest)
        self._begin(offset)

    def _begin(self, offset: int) -> None:
        try:
            self._file = self._source()
            self._file.seek(offset)
        except Exception as error:  # noqa: BLE001 - whatever a damaged archive raises, it is that archive's failure
            self._finish(Failure(Code.DIGEST, f"{self._digest} cannot be read: {error}"))
            return
        self._left = self._size - offset
        self._progress()
        self._send()

    def _happened(self, event: StreamEvent) -> None:
        if isinstance(event, StreamCredit):
            self._progress()
            self._send()
        elif isinstance(event, StreamEnded):
            self._finish(None)
        elif isinstance(event, StreamAborted):
            failure = Failure(event.code or Code.UNAVAILABLE, event.reason)
            # A location that says which error it was would say it again; a cut has no code.
            if event.code:
                self._finish(failure)
            else:
                self._again(failure)

    def _send_later(self) -> None:
        self._scheduled = False
        self._send()

    def _send(self) -> None:
        if self._stream is None or self._file is None or self._scheduled:
            return
        for _ in range(TURN):
            room = min(self._link.room(self._stream), MAX_CHUNK, self._left)
            if room <= 0:
                break
            if not self._send_chunk(room):
                return
        if not self._left:
            self._file.close()
            self._file = None
            self._link.end(self._stream)  # the answer may come before this returns
        elif self._link.room(self._stream):
            self._scheduled = True
            self._loop.call_later(0, self._send_later)
        elif self._link.full:
            self._scheduled = True
            self._link.when_drained(self._send_later)

    def _send_chunk(self, room: int) -> bool:
        assert self._stream is not None
        assert self._file is not None
        try:
            data = self._file.read(room)
        except Exception as error:  # noqa: BLE001 - as above
            data = b""
            reason = str(error)
        else:
            reason = "it is shorter than it was"
        if not data:
            self._link.abort(self._stream, "the source failed")
            self._finish(Failure(Code.DIGEST, f"{self._digest} cannot be read: {reason}"))
            return False
        self._left -= len(data)
        self._link.send(self._stream, data)
        return self._file is not None

    def _progress(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
        self._stall = self._loop.call_later(STALL_LIMIT, self._stalled)

    def _stalled(self) -> None:
        if self._stream is not None:
            self._link.abort(self._stream, "no progress")
        self._again(Failure(Code.TIME_OUT, f"no progress with {self._digest} for {STALL_LIMIT:g} s"))

    def _again(self, failure: Failure) -> None:
        self._release()
        self._fruitless += 1
        if self._fruitless > TRIES:
            self._finish(failure)
        else:
            self._loop.call_later(min(4.0, 0.25 * 2**self._fruitless), self._start)

    def _finish(self, failure: Failure | None) -> None:
        self._release()
        if not self._over:
            self._over = True
            self._done(failure)

    def _release(self) -> None:
        self._stream = None
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if self._file is not None:
            self._file.close()
            self._file = None
