"""One ssh session: a shell, a command or sftp, over a pipe to the container."""

import signal
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import asyncssh

from tfd.protocol.drivers.link import Failure
from tfd.protocol.pipe import Kind, Piece
from tfnz.pipes import OpenPipe, content, failure_in

if TYPE_CHECKING:
    from tfnz.dataplane import DataPlane
    from tfnz.facets.tunnels import Tunnels

OPEN_LIMIT: Final = 60.0
"""Seconds for the location to start a process."""

HIGH: Final = 512 * 1024
LOW: Final = 128 * 1024
"""Bytes of input under way: above, the client is not read; below, it is again."""

FAILED: Final = 255
"""The exit status where there is none, as OpenSSH has it."""

COLUMNS, ROWS, MOST_CELLS = 80, 24, 65535
_PLAIN_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")


class Session(asyncssh.SSHServerSession[bytes]):
    """One channel of a client: what it asks for is done in the container.

    Args:
        container: where.
        plane: what leads there.

    """

    def __init__(self, container: "Tunnels", plane: "DataPlane") -> None:
        self._container = container
        self._plane = plane
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._command = "process.start"
        self._params: dict[str, Any] = {}
        self._pipe: OpenPipe | None = None
        self._early: deque[tuple[Kind, bytes]] = deque()
        self._writable = True
        self._unconsumed = 0
        self._reading = True
        self._gone = False

    # What the client asks for.

    def connection_made(self, chan: "asyncssh.SSHServerChannel[bytes]") -> None:
        """Know the channel."""
        self._channel = chan

    def pty_requested(
        self,
        term_type: str,
        term_size: tuple[int, int, int, int],
        term_modes: Any,  # noqa: ARG002 - the container's terminal has its own
    ) -> bool:
        """Have a terminal."""
        name = (
            term_type if term_type and set(term_type) <= _PLAIN_NAME and term_type[0].isalnum() else "xterm"
        )
        self._params["terminal"] = {
            "columns": _cells(term_size[0], COLUMNS),
            "rows": _cells(term_size[1], ROWS),
            "name": name[:64],
        }
        return True

    def shell_requested(self) -> bool:
        """Start a login shell."""
        self._params["shell"] = True
        return True

    def exec_requested(self, command: str) -> bool:
        """Run a line by the container's shell."""
        self._params["line"] = command
        return bool(command)

    def subsystem_requested(self, subsystem: str) -> bool:
        """Start sftp, which is the only one there is."""
        self._command = "sftp.open"
        self._params = {}
        return subsystem == "sftp"

    def session_started(self) -> None:
        """Open the pipe; the client is read as soon as it is there."""
        assert self._channel is not None
        self._channel.pause_reading()
        self._reading = False
        params = {"id": self._container.id, **self._params}
        self._plane.open_pipe(self._command, params, self, self._opened, OPEN_LIMIT)

    # From the client.

    def data_received(self, data: bytes, datatype: Any) -> None:  # noqa: ARG002 - clients send but one type
        """Pass input on; a process that does not read stops the client."""
        self._send(Kind.DATA, data)
        pipe = self._pipe
        if pipe is not None and pipe.waiting > HIGH and self._channel is not None:
            self._reading = False
            self._channel.pause_reading()

    def eof_received(self) -> bool:
        """Pass the end of input on; output goes on."""
        self._send(Kind.END)
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:  # noqa: ARG002 - cells alone matter
        """Pass the window's size on."""
        size = _cells(width, COLUMNS).to_bytes(2, "big") + _cells(height, ROWS).to_bytes(2, "big")
        self._send(Kind.WINDOW, size)

    def signal_received(self, signal_name: str) -> None:
        """Pass a signal on (RFC 4254, 6.9: without SIG)."""
        number = getattr(signal, f"SIG{signal_name}", None)
        if isinstance(number, signal.Signals):
            self._send(Kind.SIGNAL, bytes([number]))

    def break_received(self, msec: int) -> bool:  # noqa: ARG002 - a terminal here has no line to hold
        """Take a break for an interrupt (RFC 4335)."""
        self._send(Kind.SIGNAL, bytes([signal.SIGINT]))
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh logs it
        """End the process."""
        self._gone = True
        if self._pipe is not None:
            self._pipe.close()

    # To the client.

    def pause_writing(self) -> None:
        """Take no more output: the client has not read what there is."""
        self._writable = False

    def resume_writing(self) -> None:
        """Take output again."""
        self._writable = True
        count, self._unconsumed = self._unconsumed, 0
        if count and self._pipe is not None:
            self._pipe.consumed(count)

    def _opened(self, answer: OpenPipe | Failure) -> None:
        if isinstance(answer, Failure):
            self._fail(answer.message)
            return
        if self._gone:
            answer.close()
            return
        self._pipe = answer
        while self._early:
            answer.send(*self._early.popleft())
        self._read_on()

    def pipe_piece(self, piece: Piece) -> None:
        """Pass output on, or the exit status."""
        if self._channel is None or self._gone:
            return
        if piece.kind is Kind.DATA:
            self._channel.write(piece.payload)
        elif piece.kind is Kind.ERROR_DATA:
            self._channel.write(piece.payload, asyncssh.EXTENDED_DATA_STDERR)
        if self._writable and self._pipe is not None:
            self._pipe.consumed(1)
        else:
            self._unconsumed += 1
        if piece.kind is Kind.EXIT:
            code = content(piece).get("code")
            self._exit(code if isinstance(code, int) else 0)
        elif piece.kind is Kind.FAIL:
            self._fail(failure_in(piece).message)

    def pipe_room(self) -> None:
        """Read the client again."""
        if self._pipe is not None and self._pipe.waiting <= LOW:
            self._read_on()

    def pipe_failed(self, failure: Failure) -> None:
        """Tell the client that it is over."""
        self._fail(failure.message)

    def _send(self, kind: Kind, payload: bytes = b"") -> None:
        if self._pipe is None:
            self._early.append((kind, payload))
        else:
            self._pipe.send(kind, payload)

    def _read_on(self) -> None:
        if not self._reading and self._channel is not None and not self._gone:
            self._reading = True
            self._channel.resume_reading()

    def _fail(self, message: str) -> None:
        if self._channel is not None and not self._gone:
            if self._command == "process.start":
                self._channel.write(f"{message}\r\n".encode(), asyncssh.EXTENDED_DATA_STDERR)
            self._exit(FAILED)

    def _exit(self, code: int) -> None:
        if self._channel is not None and not self._gone:
            self._gone = True
            self._read_on()
            self._channel.exit(code & 0xFF)


def _cells(number: int, default: int) -> int:
    """Give a size that a terminal can have; 0 stands for unknown (RFC 4254, 6.2)."""
    return min(number, MOST_CELLS) if number > 0 else default
