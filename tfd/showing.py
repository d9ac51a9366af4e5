"""`tfd status`: the running daemon's status for a person or a program, once or again and again."""

import os
import sys
import time
from json import loads
from typing import Final

from tfd.status import StatusError, ask
from tfd.table import WIDTH, render

INTERVAL: Final = 2.0
"""Seconds between two looks of `--watch`."""

_HOME: Final = "\x1b[H"
_LINE_END: Final = "\x1b[K\n"
_REST: Final = "\x1b[J"
"""Cursor to the first place; clear to the line's end, to the screen's end (ECMA-48: CUP, EL, ED)."""


def show(json: bool) -> int:
    """Print the status, as JSON or as a table; give the exit code. Raises StatusError."""
    answer = ask("status")
    print(answer if json else render(loads(answer), _columns()))
    return 0


def watch(json: bool) -> int:
    """Show the status every two seconds until Ctrl-C; give the exit code.

    A terminal is drawn anew each time. Anything else gets one line of JSON each time, or one table and an
    empty line, without control characters. A daemon that does not answer is said, and waited for.
    """
    on_screen = sys.stdout.isatty() and not json
    said = ""
    try:
        while True:
            try:
                answer = ask("status")
                text, said = answer if json else render(loads(answer), _columns()), ""
            except StatusError as error:
                text = f"tfd: {error}"
                if not on_screen and text != said:
                    print(text, file=sys.stderr, flush=True)
                said = text
            if on_screen:
                _draw(text)
            elif not said:
                print(text, end="\n" if json else "\n\n", flush=True)
            time.sleep(INTERVAL)
    except KeyboardInterrupt:
        return 0


def _columns() -> int:
    """Give the width of the output: the terminal's, or 80 where it is none."""
    return _size().columns


def _size() -> os.terminal_size:
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        size = os.terminal_size((0, 0))
    # A serial console says 0 by 0 (ioctl_tty(2), TIOCGWINSZ).
    return os.terminal_size((size.columns or WIDTH, size.lines or 24))


def _draw(text: str) -> None:
    """Draw over what was there; what the screen has no line for is counted in its last one."""
    lines = text.split("\n")
    room = _size().lines - 1
    if len(lines) > room:
        left = len(lines) - room + 1
        lines = [*lines[: room - 1], f"({left} more lines: enlarge the window, or see `tfd status`)"]
    sys.stdout.write(_HOME + _LINE_END.join(lines) + _LINE_END + _REST)
    sys.stdout.flush()
