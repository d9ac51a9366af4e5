"""The daemon's log: one event is one line, to the journal or to standard error.

Rule of this file: a log line never blocks and never raises. What cannot be written at once is dropped
and counted, and the count is told with the next line that gets through.
"""

import os
import select
import socket
import struct
import sys
import time
from typing import Final, Protocol

LEVELS: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""Level names and their syslog priorities (syslog(3))."""

JOURNAL: Final = "/run/systemd/journal/socket"

# A pipe that polls as writable takes this much without blocking (pipe(7), PIPE_BUF).
LINE_LIMIT: Final = 4096

# journald takes larger datagrams, but a log line that long is somebody's attack.
FIELD_LIMIT: Final = 16 * 1024


class Sink(Protocol):
    """Where lines go. Returns whether the line was taken; never blocks, never raises."""

    def write(self, level: str, message: str, fields: dict[str, object]) -> bool: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class JournalSink:
    """systemd's journal, over its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

    Spoken directly: systemd.journal blocks in sendmsg and costs 2.5 MB of memory by what it imports.
    """

    def __init__(self, address: str = JOURNAL) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._address = address

    def write(self, level: str, message: str, fields: dict[str, object]) -> bool:
        """Send one entry; fields become TFD_NAME."""
        entry = [
            _journal_field("MESSAGE", _with_fields(message, fields)),
            _journal_field("PRIORITY", str(LEVELS[level])),
            _journal_field("SYSLOG_IDENTIFIER", "tfd"),
        ]
        entry += [_journal_field(f"TFD_{name.upper()}", str(value)) for name, value in fields.items()]
        try:
            self._socket.sendto(b"".join(entry), self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class StderrSink:
    """Lines of `LEVEL message key=value` on a file descriptor, written only while it takes them."""

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def write(self, level: str, message: str, fields: dict[str, object]) -> bool:
        """Write one line, cut to what a writable pipe takes at once."""
        text = _with_fields(f"{level.upper()} {message}", fields)
        line = text.replace("\n", " ").encode(errors="backslashreplace")[: LINE_LIMIT - 1] + b"\n"
        try:
            if not any(events & select.POLLOUT for _, events in self._poll.poll(0)):
                return False
            return os.write(self._descriptor, line) == len(line)
        except OSError:
            return False

    def close(self) -> None:
        """Leave the descriptor open: it belongs to the process."""


class Log:
    """The daemon's log."""

    def __init__(self, sink: Sink, level: str = "info") -> None:
        self._sink = sink
        self._threshold = LEVELS[level]
        self._dropped = 0
        self._limited: dict[str, tuple[float, int]] = {}

    def set_level(self, level: str) -> None:
        """Write events of `level` and graver ones from now on."""
        self._threshold = LEVELS[level]

    def event(self, level: str, message: str, **fields: object) -> None:
        """Write one event.

        Args:
            level: one of LEVELS.
            message: what happened, to which object, what to do; one line.
            fields: values for machines: TFD_NAME in the journal, name=value on standard error.

        """
        if LEVELS[level] > self._threshold:
            return
        if self._dropped and self._sink.write("warning", "log lines were dropped", {"count": self._dropped}):
            self._dropped = 0
        if not self._sink.write(level, message, fields):
            self._dropped += 1

    def limited(
        self, key: str, level: str, message: str, *, interval: float = 10.0, **fields: object
    ) -> None:
        """Write one event at most every `interval` seconds for each `key`, telling how many were left out.

        For what strangers can cause. The keys must come from the program, not from a peer.
        """
        now = time.monotonic()
        since, left_out = self._limited.get(key, (-interval, 0))
        if now - since < interval:
            self._limited[key] = (since, left_out + 1)
            return
        self._limited[key] = (now, 0)
        if left_out:
            fields["left_out"] = left_out
        self.event(level, message, **fields)

    def close(self) -> None:
        """Release the sink."""
        self._sink.close()


def open_log(level: str = "info") -> Log:
    """Give the log of this process: the journal where standard error leads to it, else standard error."""
    return Log(JournalSink() if _stderr_is_journal() else StderrSink(sys.stderr.fileno()), level)


def _stderr_is_journal() -> bool:
    """Tell whether $JOURNAL_STREAM names standard error's device and inode (systemd.exec(5))."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def _with_fields(message: str, fields: dict[str, object]) -> str:
    return " ".join([message, *(f"{name}={_quoted(str(value))}" for name, value in fields.items())])


def _quoted(value: str) -> str:
    if value and not any(character.isspace() or character in '"=' for character in value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _journal_field(name: str, value: str) -> bytes:
    data = value.encode(errors="backslashreplace")[:FIELD_LIMIT]
    if b"\n" in data:
        return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
    return name.encode() + b"=" + data + b"\n"
