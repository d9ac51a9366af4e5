"""A program at a terminal of its own, as a person would run it: keys go in, the screen's bytes come out."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

LIMIT = 30.0


class Terminal:
    """One program on a pseudo-terminal (pty(7)); leaving `with` kills what still runs."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], columns: int = 80, rows: int = 24
    ):
        sized, tell = os.pipe()
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            try:
                os.close(tell)
                os.read(sized, 1)
                os.execvpe(command[0], list(command), dict(environment))  # noqa: S606 - an argument list
            finally:
                os._exit(127)
        self.output = b""
        """Everything that was written so far."""
        self._ended: int | None = None
        self.resize(columns, rows)
        os.close(tell)
        os.close(sized)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._descriptor)

    def send(self, keys: bytes) -> None:
        """Type."""
        os.write(self._descriptor, keys)

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size (ioctl_tty(2))."""
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def raw(self) -> bool:
        """Whether each key is passed on at once (termios(3), ICANON and ECHO are off)."""
        modes: int = termios.tcgetattr(self._descriptor)[3]
        return not modes & (termios.ICANON | termios.ECHO)

    def wait_for(self, expected: bytes, limit: float = LIMIT) -> bytes:
        """Read until this appears after what was waited for before; give the output up to its end."""
        end = time.monotonic() + limit
        while expected not in self.output:
            assert self._read(end), f"no {expected!r} within {limit:g} s, but {self.output!r}"
        seen, _, self.output = self.output.partition(expected)
        return seen + expected

    def wait(self, limit: float = LIMIT) -> int:
        """Wait for the program's end; give its exit code, negative for a signal."""
        end = time.monotonic() + limit
        while self._ended is None:
            assert self._read(end) or self._reaped(), f"it has not ended within {limit:g} s: {self.output!r}"
            self._reaped()
        return self._ended

    def _reaped(self) -> bool:
        if self._ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._ended = os.waitstatus_to_exitcode(status)
        return self._ended is not None

    def _read(self, end: float) -> bool:
        """Read what is there, or wait a little for it; False once the time is up."""
        if select.select([self._descriptor], [], [], 0.05)[0]:
            try:
                self.output += os.read(self._descriptor, 65536)
            except OSError:
                # The program's end of the terminal is closed.
                self._reaped()
        return time.monotonic() < end
