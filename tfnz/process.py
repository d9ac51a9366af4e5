"""A process inside a container: its output by callbacks, its input, its end."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast
from weakref import ref

from tfd.protocol.drivers.link import Failure
from tfd.protocol.drivers.loop import Timer
from tfd.protocol.pipe import Kind, Piece
from tfnz.base import Ending, Killable
from tfnz.callbacks import call_fitting
from tfnz.connection import error_of
from tfnz.pipes import OpenPipe, content, failure_in
from tfnz.waiting import Waiting

if TYPE_CHECKING:
    from tfnz.connection import Connection
    from tfnz.container import Container
    from tfnz.facets.processes import Processes
    from tfnz.node import Node

KEPT_MOST: Final = 64 * 1024 * 1024
"""Bytes of output that are kept for `wait_until_complete` while nobody waits for it yet."""

UNREAD_MOST: Final = 64 * 1024 * 1024
"""Bytes of input that may wait for a process that does not read."""

REPLY_LIMIT: Final = 240.0
ECHO_LIMIT: Final = 2.0
"""Seconds that `stdin` waits for a reply, and for more where so far only an echo came."""

PROMPT_LIMIT: Final = 5.0
"""Seconds that the input of a shell waits for its first output, its prompt."""

QUIET: Final = 0.1
"""Seconds without output after which a prompt, or a reply, is taken to be whole."""

Callback = Callable[..., object]

_HIGHEST_SIGNAL: Final = 64
_SHELL_OFFSET: Final = 128


class Process(Killable, Ending):
    """A process that runs in a container until it ends or is destroyed.

    Made by `Container.spawn_process` and `Container.spawn_shell`. The callbacks may be set anew at any time:
    `data_callback` (process, bytes), `stderr_callback` (process, bytes), `termination_callback`
    (process, return code: negative for a signal, 0 when it was destroyed). Leaving `with` destroys it.
    """

    def __init__(
        self,
        container: "Processes",
        uuid: bytes,
        data_callback: Callback | None,
        termination_callback: Callback | None,
        stderr_callback: Callback | None,
    ) -> None:
        super().__init__()
        self.uuid = uuid
        self.data_callback = data_callback
        self.stderr_callback = stderr_callback
        self.termination_callback = termination_callback
        self.wrapper: object = None
        self.returncode: int | None = None
        """The return code once it has ended, else None."""
        self._connection: Connection = container.conn()
        self._parent = ref(container)
        self._changed = threading.Condition()
        self._pipe: OpenPipe | None = None
        self._failure: Failure | None = None
        self._output: deque[bytes] = deque()
        self._kept = 0
        self._waited_for = False
        self._replies: deque[bytes] | None = None
        self._releasing: Timer | None = None
        self._held: list[tuple[bytes, bool]] | None = None
        self._unsent = 0
        self._told = False

    def __repr__(self) -> str:
        return f"<Process '{self.uuid.decode()}'>"

    def _leave(self) -> None:
        self.destroy()

    def parent(self) -> "Container | None":
        """Give the container it runs in."""
        return cast("Container | None", self._parent())

    def node(self) -> "Node | None":
        """Give the node it runs on."""
        container = self._parent()
        return container.node() if container is not None else None

    def conn(self) -> "Connection":
        """Give the connection."""
        return self._connection

    def stdin(self, data: bytes | str, return_reply: bool = False, drop_echo: bool = False) -> bytes | None:
        """Send bytes to its standard input; it returns at once. Empty bytes destroy the process.

        Args:
            data: what to send.
            return_reply: wait for the next output, up to a pause in it, and return it; no callback gets it.
            drop_echo: leave out what a terminal gives back of the input itself.

        Raises:
            ValueError: it has ended, or does not read its input.
            TimeoutError: no reply within 240 s.

        """
        self.ensure_alive()
        if isinstance(data, str):
            data = data.encode()
        if not data:
            self.destroy()
            return None
        with self._changed:
            if self._unsent > UNREAD_MOST:
                raise ValueError(
                    f"process {self.uuid.decode()} does not read its input: {self._unsent} bytes wait"
                )
            self._unsent += len(data)
        self._on_pipe(lambda pipe: self._give(pipe, bytes(data), return_reply))
        return self._reply(bytes(data), drop_echo) if return_reply else None

    def end_stdin(self) -> None:
        """Say that its standard input is over; it goes on running."""
        self.ensure_alive()
        self._on_pipe(lambda pipe: pipe.send(Kind.END))

    def signal(self, number: int) -> None:
        """Send a signal (signal(7)) to it and its process group. Raises ValueError when it has ended."""
        self.ensure_alive()
        payload = bytes([int(number)])
        self._on_pipe(lambda pipe: pipe.send(Kind.SIGNAL, payload))

    def resize(self, columns: int, rows: int) -> None:
        """Tell its terminal the size of the window. Raises ValueError when it has ended."""
        self.ensure_alive()
        payload = columns.to_bytes(2, "big") + rows.to_bytes(2, "big")
        self._on_pipe(lambda pipe: pipe.send(Kind.WINDOW, payload))

    def wait_until_complete(self, timeout: float | None = None) -> bytes:
        """Wait until it ends; give all standard output that no data callback got.

        Args:
            timeout: seconds, None for ever.

        Raises:
            TimeoutError: it has not ended by then.
            ValueError: it was lost with its location.

        """
        with self._changed:
            self._waited_for = True
            if not self._changed.wait_for(lambda: self._ended, timeout):
                raise TimeoutError(f"process {self.uuid.decode()} has not ended within {timeout:g} s")
            if self._failure is not None:
                raise self._connection.ended or error_of(self._failure)
            return b"".join(self._output)

    def destroy(self, with_command: bool = True) -> None:
        """End it and its process group; its termination callback is called with 0, in this thread.

        Args:
            with_command: False where the location knows already that it is to end.

        """
        if self.dead:
            return
        pipe = self._pipe
        if pipe is not None and with_command:
            self._connection.loop.call_from_thread(pipe.close)
        with self._changed:
            self.returncode = 0
            self._end()
        self._tell_here(0)

    def begin(self, params: dict[str, object], timeout: float) -> None:
        """Have it started; `Container.spawn_process` calls it.

        Raises RemoteError where it cannot be, TimeoutError.
        """
        started: Waiting[OpenPipe] = Waiting()

        def opened(answer: OpenPipe | Failure) -> None:
            if isinstance(answer, Failure):
                started.fail(error_of(answer))
            elif self.dead:
                answer.close()
            else:
                self._pipe = answer
                self._release_in(PROMPT_LIMIT)
                started.set(answer)

        plane = self._connection.data_plane
        self._connection.loop.call_from_thread(
            lambda: plane.open_pipe("process.start", params, self, opened, timeout)
        )
        try:
            started.get(timeout + 5, f"starting {self!r}")
        except BaseException:
            self.mark_as_dead()
            raise

    # Giving and waiting.

    def _on_pipe(self, use: Callable[[OpenPipe], None]) -> None:
        pipe = self._pipe
        if pipe is not None:
            self._connection.loop.call_from_thread(lambda: use(pipe))

    def _give(self, pipe: OpenPipe, data: bytes, return_reply: bool) -> None:
        if self._held is not None:
            self._held.append((data, return_reply))
            return
        if return_reply:
            with self._changed:
                self._replies = deque()
        pipe.send(Kind.DATA, data)
        self.pipe_room()

    def hold_input(self) -> None:
        """Keep input until the first output is over: a shell's prompt says that its terminal is set up."""
        self._held = []

    def _release_in(self, seconds: float) -> None:
        if self._held is not None:
            if self._releasing is not None:
                self._releasing.cancel()
            self._releasing = self._connection.loop.call_later(seconds, self._release)

    def _release(self) -> None:
        self._releasing = None
        held, self._held = self._held, None
        for data, return_reply in held or ():
            if self._pipe is not None:
                self._give(self._pipe, data, return_reply)

    def _reply(self, sent: bytes, drop_echo: bool) -> bytes:
        """Wait for the next output, or for what comes after an echo, until there is a pause in it."""
        echo = sent.replace(b"\n", b"\r\n")
        with self._changed:
            try:
                reply = self._next_reply(REPLY_LIMIT)
                if reply is None:
                    raise TimeoutError(
                        f"process {self.uuid.decode()} has not replied within {REPLY_LIMIT:g} s"
                    )
                while more := self._next_reply(ECHO_LIMIT if drop_echo and echo.startswith(reply) else QUIET):
                    reply += more
                rest = reply.removeprefix(echo) if drop_echo else reply
                return rest or reply
            finally:
                left, self._replies = self._replies, None
                for piece in left or ():
                    self._deliver(piece)

    def _next_reply(self, limit: float) -> bytes | None:
        until = time.monotonic() + limit
        while not self._replies:
            left = until - time.monotonic()
            if left <= 0 or self._ended:
                return b"" if self._ended else None
            self._changed.wait(left)
        self._consumed()
        return self._replies.popleft()

    @property
    def _ended(self) -> bool:
        return self.returncode is not None or self._failure is not None

    # What the pipe tells, in the loop's thread.

    def pipe_piece(self, piece: Piece) -> None:
        """Take a piece of output, or the end."""
        if piece.kind is Kind.DATA:
            with self._changed:
                if self._replies is None:
                    self._deliver(piece.payload)
                else:
                    self._replies.append(piece.payload)
                    self._changed.notify_all()
            self._release_in(QUIET)
        elif piece.kind is Kind.ERROR_DATA:
            if self.stderr_callback is None:
                self._consumed()
            else:
                self._call(lambda: self.stderr_callback, piece.payload)
        elif piece.kind is Kind.EXIT:
            self._consumed()
            code = content(piece).get("code")
            self._finish(returncode(code) if isinstance(code, int) else 0)
        elif piece.kind is Kind.FAIL:
            self._consumed()
            self.pipe_failed(failure_in(piece))
        else:
            self._consumed()

    def pipe_room(self) -> None:
        """Count what has been sent."""
        with self._changed:
            self._unsent = self._pipe.waiting if self._pipe is not None else 0

    def pipe_failed(self, failure: Failure) -> None:
        """Take it that the process is lost."""
        import logging

        if not self.dead:
            if self._connection.ended is None and not self._connection.closing:
                logging.warning("Process (%s) was lost: %s", self.uuid.decode(), failure.message)
            with self._changed:
                self._failure = failure
            self._finish(-1)

    def _deliver(self, data: bytes) -> None:
        if self.data_callback is not None:
            self._call(lambda: self.data_callback, data)
            return
        self._output.append(data)
        self._kept += len(data)
        while self._kept > KEPT_MOST and not self._waited_for:
            self._kept -= len(self._output.popleft())
        self._consumed()

    def _call(self, which: Callable[[], Callback | None], data: bytes) -> None:
        """Have the callback called in its turn; the location sends more once it has returned."""
        callbacks = self._connection.callbacks

        def call() -> None:
            callback = which()
            try:
                if callback is not None and not self.dead:
                    call_fitting(callback, (self, data))
            finally:
                self._on_pipe(lambda pipe: pipe.consumed(1))

        callbacks.put(call)

    def _consumed(self) -> None:
        self._on_pipe(lambda pipe: pipe.consumed(1))

    def _finish(self, code: int) -> None:
        """Tell the end after all output before it."""
        with self._changed:
            if self._ended and self.dead:
                return
            self.returncode = code
            self._changed.notify_all()
        self._connection.callbacks.put(self._tell_end, code)

    def _tell_end(self, code: int) -> None:
        import logging

        if self.dead:
            return
        self._end()
        logging.info("Terminated server side: %s (%d)", self.uuid.decode(), code)
        container = self._parent()
        if container is not None:
            container.processes.pop(self.uuid, None)
        self._tell_here(code)

    def _end(self) -> None:
        self.mark_as_dead()
        with self._changed:
            self._changed.notify_all()

    def _tell_here(self, code: int) -> None:
        """Call the termination callback once, in this thread."""
        with self._changed:
            told, self._told = self._told, True
        if not told:
            self._connection.callbacks.call(self.termination_callback, self, code)


def returncode(code: int) -> int:
    """Give a return code as the SDK tells it: negative for a signal, which the location tells as 128 more."""
    signal = code - _SHELL_OFFSET
    return -signal if 0 < signal <= _HIGHEST_SIGNAL else code
