"""Standard input and output, a terminal or not, connected to a container's process.

A terminal is made raw (termios(3)): every key goes to the container, Ctrl-C too, and the terminal of the
process there has the size of this one's window. ^] three times in a row ends the session. Without a terminal,
what is read is passed on, and its end too.
"""

import contextlib
import os
import re
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tfnz.container import Container

ESCAPE: Final = 0x1D
"""^]"""
ESCAPES: Final = 3
END_OF_INPUT: Final = b"\x04"
"""^D, which a terminal takes as the end (termios(3), VEOF); within a line the first ends the line alone."""
HINT: Final = "Connected to the container; press ^] three times (Ctrl and ]) to leave and end it."

_PIECE: Final = 65536
_REPORT: Final = re.compile(rb"\x1b\[\d+n")


class Escape:
    """Looks for the keys that end the session in what is typed."""

    def __init__(self) -> None:
        self._seen = 0

    def feed(self, typed: bytes) -> bool:
        """Take what was typed; True once the last keys were ^] three times in a row."""
        for key in typed:
            self._seen = self._seen + 1 if key == ESCAPE else 0
            if self._seen == ESCAPES:
                return True
        return False


class Interactive:
    """Takes over the container's output, and a terminal at standard input; begins at once.

    Args:
        container: whose root process is meant.
        escaped: called when the user asks to leave; without it the location's `run` returns.

    """

    def __init__(self, container: "Container", escaped: Callable[[], object] | None = None) -> None:
        self._container = container
        self._escaped = escaped or container.location().complete
        self._saved: list[Any] | None = None
        self._stopped = threading.Event()
        self._wakened, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._resized_before: Any = None
        container.stdout_callback = Interactive.stdout_callback
        if os.isatty(0):
            self._saved = termios.tcgetattr(0)
            # Without the flush that is setraw's default: what was typed meanwhile is for the container.
            tty.setraw(0, termios.TCSADRAIN)
            print(HINT, end="\r\n", file=sys.stderr, flush=True)
            if threading.current_thread() is threading.main_thread():
                self._resized_before = signal.signal(signal.SIGWINCH, self._window_changed)
            self._send_window()
        self._thread = threading.Thread(target=self._read, name="Stdin loop", daemon=True)
        self._thread.start()

    @staticmethod
    def stdout_callback(_container: object, output: bytes) -> None:
        """Write the output; reports that it asks the terminal for (ESC [ digits n) are left out."""
        write_out(_REPORT.sub(b"", output))

    def stop(self, _container: object = None, _code: object = None) -> None:
        """Give the terminal back; also usable as a termination callback. Repeatable, from any thread."""
        self._stopped.set()
        self._wake()
        saved, self._saved = self._saved, None
        if saved is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSADRAIN, saved)

    def close(self) -> None:
        """Stop, and wait for the thread; to be called by the thread that made it."""
        self.stop()
        self._thread.join(1.0)
        if self._resized_before is not None:
            signal.signal(signal.SIGWINCH, self._resized_before)
            self._resized_before = None
        if not self._thread.is_alive():
            waker, self._waker = self._waker, -1
            if waker >= 0:
                os.close(waker)
                os.close(self._wakened)

    def _window_changed(self, _number: int, _frame: FrameType | None) -> None:
        self._wake()

    def _wake(self) -> None:
        # Full or closed already: either way the thread needs no word of it.
        with contextlib.suppress(OSError):
            os.write(self._waker, b"\0")

    def _read(self) -> None:
        try:
            self._pass_on()
        except (OSError, ValueError):
            # The container has ended, which is told elsewhere, or standard input is closed.
            return

    def _pass_on(self) -> None:
        escape = Escape()
        line_begins = True
        while not self._stopped.is_set():
            # poll and not select: a program started from another may have descriptors over 1024.
            poller = select.poll()
            for descriptor in (0, self._wakened):
                poller.register(descriptor, select.POLLIN)
            ready = dict(poller.poll())
            if self._wakened in ready:
                os.read(self._wakened, _PIECE)
                if self._saved is not None and not self._stopped.is_set():
                    self._send_window()
            if 0 not in ready or self._stopped.is_set():
                continue
            typed = os.read(0, _PIECE)
            if not typed:
                self._container.stdin(END_OF_INPUT if line_begins else END_OF_INPUT * 2)
                return
            line_begins = typed.endswith(b"\n")
            if self._saved is not None and escape.feed(typed):
                self._escaped()
                return
            self._container.stdin(typed)

    def _send_window(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            size = os.get_terminal_size(0)
            if size.columns and size.lines:
                self._container.resize(size.columns, size.lines)


def write_out(output: bytes) -> None:
    """Write all of it to standard output. Raises OSError, BrokenPipeError where nobody reads any more."""
    left = memoryview(output)
    while left:
        try:
            left = left[os.write(1, left) :]
        except BlockingIOError:
            # A terminal shared with a program that made it non-blocking.
            select.select([], [1], [])
