"""A pipe used by a thread that waits: what files and `run_process` are made of."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

from tfd.protocol.drivers.link import Failure
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.pipe import LAST, Kind, Piece
from tfnz.connection import Connection, error_of
from tfnz.pipes import OpenPipe, content, failure_in

OPEN_LIMIT: Final = 240.0
"""Seconds for the location to open a pipe."""

STALL_LIMIT: Final = 240.0
"""Seconds without any progress after which an exchange is given up."""

AHEAD: Final = 512 * 1024
"""Bytes that `write` takes before it waits for some of them to be sent."""

Outcome = Mapping[str, Any]


class Exchange:
    """One pipe, from one thread: written, then read to its last piece. Leaving `with` ends it.

    Args:
        connection: the session's.
        command: what is answered with a pipe.
        params: its parameters.
        what: the words that a time-out names, as "the file /a of container x".

    Raises:
        RemoteError: the location refused.
        TimeoutError: it did not answer in time.
        Disconnected: the session is over.

    """

    def __init__(self, connection: Connection, command: str, params: Mapping[str, Any], what: str) -> None:
        self._connection = connection
        self._loop: Loop = connection.loop
        self._what = what
        self._changed = threading.Condition()
        self._pipe: OpenPipe | None = None
        self._failure: Failure | None = None
        self._inbox: deque[Piece] = deque()
        self._taken = 0
        self._given = 0
        self._handed = 0
        self._over = False
        self._last = Piece(Kind.EXIT, b"")
        plane = connection.data_plane

        def begin() -> None:
            plane.open_pipe(command, params, self, self._opened, OPEN_LIMIT)

        self._loop.call_from_thread(begin)
        try:
            with self._changed:
                self._wait(lambda: self._pipe is not None or self._failure is not None, OPEN_LIMIT + 5)
        except BaseException:
            self._over = True
            raise
        if self._failure is not None:
            raise self._error(self._failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, data: bytes) -> bool:
        """Send bytes, waiting for room. False once the location has answered: it wants no more."""
        pipe = self._pipe
        assert pipe is not None

        def give() -> None:
            with self._changed:
                self._handed += len(data)
            pipe.send(Kind.DATA, data)

        with self._changed:
            self._wait(lambda: self._answered or self._backlog(pipe) < AHEAD, STALL_LIMIT)
            if self._answered:
                return False
            self._given += len(data)
        self._loop.call_from_thread(give)
        return True

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send a piece that is not data, after what was written."""
        pipe = self._pipe
        assert pipe is not None
        self._loop.call_from_thread(lambda: pipe.send(kind, payload))

    def pieces(self, stall: float | None = STALL_LIMIT, until: float | None = None) -> Iterator[Piece]:
        """Give all pieces but the last, as they come; the location goes on sending as they are taken.

        Args:
            stall: seconds to wait for the next one, None for ever.
            until: in its place, the time.monotonic() by which the last one has to be there.

        Raises:
            RemoteError: the pipe failed.
            TimeoutError: nothing came in time.

        """
        while True:
            with self._changed:
                self._acknowledge()
                limit = stall if until is None else max(0.0, until - time.monotonic())
                self._wait(lambda: bool(self._inbox) or self._failure is not None, limit)
                batch = list(self._inbox)
                self._inbox.clear()
                self._taken = len(batch)
                if not batch and self._failure is not None:
                    raise self._error(self._failure)
            for piece in batch:
                if piece.kind in LAST:
                    self._finish(piece)
                    return
                yield piece

    @property
    def outcome(self) -> Outcome:
        """What the last piece said, once `pieces` is exhausted."""
        return content(self._last)

    def close(self) -> None:
        """End the pipe, and with it what is at its other end; after the last piece nothing happens."""
        pipe = self._pipe
        if pipe is not None and not self._over:
            self._over = True
            self._loop.call_from_thread(pipe.close)

    def _finish(self, last: Piece) -> None:
        with self._changed:
            self._acknowledge()
            self._over = True
        self._last = last
        if last.kind is Kind.FAIL:
            raise error_of(failure_in(last))

    # What the pipe tells, in the loop's thread.

    def _opened(self, answer: OpenPipe | Failure) -> None:
        with self._changed:
            if isinstance(answer, Failure):
                self._failure = answer
            elif self._over:
                answer.close()
            else:
                self._pipe = answer
            self._changed.notify_all()

    def pipe_piece(self, piece: Piece) -> None:
        """Keep a piece until it is asked for."""
        with self._changed:
            self._inbox.append(piece)
            self._changed.notify_all()

    def pipe_room(self) -> None:
        """Let a waiting `write` go on."""
        with self._changed:
            self._changed.notify_all()

    def pipe_failed(self, failure: Failure) -> None:
        """Let those who wait know."""
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def _error(self, failure: Failure) -> ValueError:
        return self._connection.ended or error_of(failure)

    @property
    def _answered(self) -> bool:
        return self._failure is not None or any(piece.kind in LAST for piece in self._inbox)

    def _backlog(self, pipe: OpenPipe) -> int:
        return self._given - self._handed + pipe.waiting

    def _acknowledge(self) -> None:
        pipe, count = self._pipe, self._taken
        if pipe is not None and count:
            self._taken = 0
            self._loop.call_from_thread(lambda: pipe.consumed(count))

    def _wait(self, condition: Callable[[], bool], limit: float | None) -> None:
        if not self._changed.wait_for(condition, limit):
            self._over = True
            pipe = self._pipe
            if pipe is not None:
                self._loop.call_from_thread(pipe.close)
            raise TimeoutError(f"{self._what}: nothing happened for {limit:g} s")
