"""The terminal of a container's own process: its output by the container's callback, and its input."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from tfd.protocol.drivers.link import Failure
from tfd.protocol.pipe import Kind, Piece
from tfnz.callbacks import call_fitting
from tfnz.pipes import OpenPipe, content, failure_in

if TYPE_CHECKING:
    from tfnz.container import Container

OPEN_LIMIT: Final = 60.0
"""Seconds for the location to open a console."""

UNREAD_MOST: Final = 64 * 1024 * 1024
"""Bytes of input that may wait for a process that does not read."""


class Console:
    """One attachment to a container's terminal. Everything but `send` is in the loop's thread.

    Args:
        container: whose; its `stdout_callback` is looked up for each piece.
        ended: told once, after all output: the process's exit code, None where it is not known.

    """

    def __init__(self, container: "Container", ended: Callable[[int | None], None]) -> None:
        self._container = container
        self._connection = container.conn()
        self._ended = ended
        self._pipe: OpenPipe | None = None
        self._early: deque[tuple[Kind, bytes]] = deque()
        self._over = False
        self.unread = 0
        """Pieces that wait for the callback to take them."""
        self.seen = 0
        """Pieces so far."""

    def open(self) -> None:
        """Ask for the pipe."""
        self._connection.data_plane.open_pipe(
            "container.console", {"id": self._container.id}, self, self._opened, OPEN_LIMIT
        )

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send input, or the window's size, once the pipe is there. From any thread.

        Raises ValueError where too much waits already.
        """
        pipe = self._pipe
        if pipe is not None and pipe.waiting > UNREAD_MOST:
            raise ValueError(f"{self._container!r} does not read its input: {pipe.waiting} bytes wait")
        self._connection.loop.call_from_thread(partial(self._send, kind, payload))

    def close(self) -> None:
        """Leave the terminal; the process goes on. Nothing is told any more."""
        self._over = True
        if self._pipe is not None:
            self._pipe.close()

    def _send(self, kind: Kind, payload: bytes) -> None:
        if self._pipe is None:
            self._early.append((kind, payload))
        else:
            self._pipe.send(kind, payload)

    def _opened(self, answer: OpenPipe | Failure) -> None:
        if isinstance(answer, Failure):
            self._end(None)
        elif self._over:
            answer.close()
        else:
            self._pipe = answer
            while self._early:
                answer.send(*self._early.popleft())

    def pipe_piece(self, piece: Piece) -> None:
        """Take a piece of output, or the end."""
        self.seen += 1
        if piece.kind is Kind.DATA and not self._over:
            self.unread += 1
            self._connection.callbacks.put(self._call, piece.payload)
            return
        self._consumed()
        if piece.kind is Kind.EXIT:
            code = content(piece).get("code")
            self._end(code if isinstance(code, int) else None)
        elif piece.kind is Kind.FAIL:
            self.pipe_failed(failure_in(piece))

    def pipe_room(self) -> None:
        """Know that input was sent; nobody waits for that."""

    def pipe_failed(self, _failure: Failure) -> None:
        """Take it that there will be no more output."""
        self._end(None)

    def _call(self, output: bytes) -> None:
        callback = self._container.stdout_callback
        try:
            if callback is not None and not self._container.dead:
                call_fitting(callback, (self._container, output))
        finally:
            self._connection.loop.call_from_thread(self._taken)

    def _taken(self) -> None:
        self.unread -= 1
        self._consumed()

    def _consumed(self) -> None:
        if self._pipe is not None:
            self._pipe.consumed(1)

    def _end(self, code: int | None) -> None:
        if not self._over:
            self._over = True
            self._ended(code)
