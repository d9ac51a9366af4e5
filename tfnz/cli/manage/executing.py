"""`tf exec`: a process in a container, its input and output those of this one."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from tfd.protocol.pipe import Kind
from tfnz.cli.generic import connected
from tfnz.cli.manage.adding import add_command
from tfnz.cli.manage.containers import WHICH, one_container
from tfnz.cli.manage.following import write
from tfnz.cli.manage.selecting import title

if TYPE_CHECKING:
    from tfnz.cli.manage.adding import Commands
    from tfnz.exchange import Exchange

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BLOCK = 64 * 1024
NO_WINDOW = os.terminal_size((80, 24))


def add(commands: "Commands") -> None:
    """Add the command of this file."""
    command = add_command(
        commands,
        "exec",
        "run a process in a container",
        _execute,
        more=f"{WHICH}\nThe exit code is the process's, 128 + n where signal n ended it.",
    )
    command.add_argument("-i", "--interactive", action="store_true", help="pass stdin on to the process")
    command.add_argument("-t", "--tty", action="store_true", help="give the process a terminal")
    command.add_argument(
        "-e", "--env", metavar="VAR=VALUE", action="append", default=[], type=variable, help="set a variable"
    )
    command.add_argument("-w", "--workdir", metavar="DIRECTORY", help="where it runs (default: /)")
    command.add_argument("container", metavar="CONTAINER", help="in which")
    command.add_argument(
        "words", metavar="COMMAND", nargs=argparse.REMAINDER, help="the program, its arguments"
    )


def variable(text: str) -> tuple[str, str]:
    """Give name and value of VAR=value, or of VAR, whose value is that in our environment."""
    name, given, value = text.partition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed is VAR=value or VAR")
    if not given:
        if name not in os.environ:
            raise argparse.ArgumentTypeError(f"{name} is not set here; allowed is VAR=value or VAR")
        value = os.environ[name]
    return name, value


def _execute(options: argparse.Namespace) -> int:
    from tfnz.exchange import Exchange

    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not words:
        print("tf exec: which program? such as: tf exec -ti CONTAINER sh", file=sys.stderr)
        return 2
    with connected(options) as location:
        container = one_container(location, options.container)
        parameters: dict[str, Any] = {
            "id": container["id"],
            "args": words,
            "environment": dict(options.env),
        }
        if options.workdir:
            parameters["cwd"] = options.workdir
        if options.tty:
            columns, rows = _window()
            parameters["terminal"] = {
                "columns": columns,
                "rows": rows,
                "name": os.environ.get("TERM", "xterm"),
            }
        what = f"the process {words[0]} of container {title(container)}"
        with Exchange(location.connection, "process.start", parameters, what) as exchange:
            return _converse(exchange, options)


def _converse(exchange: "Exchange", options: argparse.Namespace) -> int:
    """Carry input, output, signals and the window's size until the process ends; give its exit code."""
    if options.interactive:
        threading.Thread(target=_send_input, args=[exchange], name="Stdin loop", daemon=True).start()
    else:
        exchange.send(Kind.END)
    with _raw_terminal(options.tty and options.interactive), _signals_forwarded(exchange, options.tty):
        for piece in exchange.pieces(stall=None):
            if piece.kind in (Kind.DATA, Kind.ERROR_DATA):
                write(piece.payload, 2 if piece.kind is Kind.ERROR_DATA else 1)
    return int(exchange.outcome.get("code", 1)) & 0xFF


def _send_input(exchange: "Exchange") -> None:
    while True:
        try:
            data = os.read(0, BLOCK)
        except OSError:
            data = b""
        if not data:
            exchange.send(Kind.END)
            return
        if not exchange.write(data):
            return


def _window() -> os.terminal_size:
    """Give columns and rows of our terminal: its own, whatever $COLUMNS was when the shell began."""
    for descriptor in (0, 1, 2):
        with suppress(OSError):
            size = os.get_terminal_size(descriptor)
            if size.columns and size.lines:
                return size
    return NO_WINDOW


@contextmanager
def _raw_terminal(wanted: bool) -> Iterator[None]:
    """Pass each key on as it is typed, and give the terminal back as it was."""
    if not wanted or not os.isatty(0):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(0)
    try:
        tty.setraw(0, termios.TCSADRAIN)  # what was typed ahead stays
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _signals_forwarded(exchange: "Exchange", terminal: bool) -> Iterator[None]:
    """Send signals to the process; a second Ctrl-C gives up waiting for it to end."""

    def forward(number: int, _frame: FrameType | None) -> None:
        exchange.send(Kind.SIGNAL, bytes([number]))
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    def resize(_number: int, _frame: FrameType | None) -> None:
        columns, rows = _window()
        exchange.send(Kind.WINDOW, columns.to_bytes(2, "big") + rows.to_bytes(2, "big"))

    handlers: dict[int, Any] = dict.fromkeys(FORWARDED, forward)
    if terminal:
        handlers[signal.SIGWINCH] = resize
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
