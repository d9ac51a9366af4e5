"""Lines of a log on their way out: to systemd's journal or to standard error, and those that wait for it.

Rule of this file: nothing blocks and nothing raises. What cannot be written at once waits, up to a bound;
beyond that it is dropped and counted, and the count is told with the next line that gets through.
"""

import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from tfd.protocol import logged
from tfd.protocol.dataclass import dataclass
from tfd.protocol.logged import Kind

LEVELS: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""Level names and their syslog priorities (syslog(3))."""

JOURNAL: Final = "/run/systemd/journal/socket"

# A pipe that polls as writable takes this much without blocking (pipe(7), PIPE_BUF).
LINE_LIMIT: Final = 4096

# journald takes larger datagrams, but a log line that long is somebody's attack.
FIELD_LIMIT: Final = 16 * 1024

WAITING_LIMIT: Final = 256 * 1024
"""Bytes of lines that wait at most."""

FLUSH_PAUSE: Final = 0.02
"""Seconds between two tries to send what waits."""

FLUSHED_AT_ONCE: Final = 64
"""Lines that are sent before the relay has its turn again."""

CLOSE_LIMIT: Final = 1.0
"""Seconds for the last lines of a process."""

CallLater = Callable[[float, Callable[[], None]], object]
"""A loop's way to be told to call something after some seconds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line; `identifier` is who says it, `kind` what happened, `fields` are for machines."""

    level: str
    message: str
    fields: Mapping[str, object]
    kind: Kind | None = None
    identifier: str = "tfd"


class Sink(Protocol):
    """Where lines go. Never blocks, never raises."""

    takes_output: bool
    """Whether what containers write belongs here too."""

    def encode(self, entry: Entry) -> bytes:
        """Give what is to be sent for an entry."""

    def send(self, data: bytes) -> bool:
        """Send one encoded entry; whether it was taken."""

    def close(self) -> None:
        """Release what the sink has."""


class JournalSink:
    """systemd's journal, over its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

    Spoken directly: systemd.journal blocks in sendmsg and costs 2.5 MB of memory by what it imports.
    """

    takes_output = True

    def __init__(self, address: str = JOURNAL) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._address = address

    def encode(self, entry: Entry) -> bytes:
        """Give the entry's datagram; its kind is MESSAGE_ID, its fields are TFD_NAME."""
        lines = [
            _journal_field("MESSAGE", entry.message),
            _journal_field("PRIORITY", str(LEVELS[entry.level])),
            _journal_field("SYSLOG_IDENTIFIER", entry.identifier),
        ]
        if entry.kind is not None:
            lines.append(_journal_field("MESSAGE_ID", entry.kind.id))
        lines += [_journal_field(f"TFD_{name.upper()}", str(value)) for name, value in entry.fields.items()]
        return b"".join(lines)

    def send(self, data: bytes) -> bool:
        """Send one datagram; not taken while journald is behind or not there."""
        try:
            self._socket.sendto(data, self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class StderrSink:
    """Lines of `LEVEL message key=value` on a file descriptor, written only while it takes them."""

    takes_output = False

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def encode(self, entry: Entry) -> bytes:
        """Give one line, cut to what a writable pipe takes at once."""
        text = _with_fields(f"{entry.level.upper()} {entry.message}", entry.fields)
        return text.replace("\n", " ").encode(errors="backslashreplace")[: LINE_LIMIT - 1] + b"\n"

    def send(self, data: bytes) -> bool:
        """Write one line."""
        try:
            if not any(events & select.POLLOUT for _, events in self._poll.poll(0)):
                return False
            return os.write(self._descriptor, data) == len(data)
        except OSError:
            return False

    def close(self) -> None:
        """Leave the descriptor open: it belongs to the process."""


class Outbox:
    """The lines of one program on their way to a sink.

    Args:
        sink: where they go; the outbox closes it.
        identifier: who says that lines were dropped.

    """

    def __init__(self, sink: Sink, identifier: str = "tfd") -> None:
        self._sink = sink
        self._identifier = identifier
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self.lost = 0
        """Lines that were dropped since the start, told or not."""
        self._call_later: CallLater | None = None
        self._due = False

    def attend(self, call_later: CallLater | None) -> None:
        """Send what waits from this loop; without one, the next line does."""
        self._call_later = call_later
        self._due = False

    @property
    def behind(self) -> bool:
        """Whether lines wait, because the sink takes none at present."""
        return bool(self._waiting)

    @property
    def queued(self) -> int:
        """Bytes of the lines that wait."""
        return self._size

    @property
    def takes_output(self) -> bool:
        """Whether what containers write belongs here too."""
        return self._sink.takes_output

    def put(self, entry: Entry) -> None:
        """Send a line, or keep it until the sink takes it."""
        data = self._sink.encode(entry)
        if self._flush() and self._sink.send(data):
            return
        if self._size + len(data) > WAITING_LIMIT:
            self._dropped += 1
            self.lost += 1
            return
        self._waiting.append(data)
        self._size += len(data)
        self._flush_later(FLUSH_PAUSE)

    def close(self) -> None:
        """Send what waits, for CLOSE_LIMIT at most, and release the sink."""
        self.attend(None)
        end = time.monotonic() + CLOSE_LIMIT
        while not self._flush() and time.monotonic() < end:
            time.sleep(CLOSE_LIMIT / 20)
        self._sink.close()

    def _flush(self) -> bool:
        """Send what waits, up to a bound, and how many were dropped after it; whether nothing is left."""
        for _ in range(min(len(self._waiting), FLUSHED_AT_ONCE)):
            if not self._sink.send(self._waiting[0]):
                return False
            self._size -= len(self._waiting.popleft())
        if self._dropped and not self._waiting and self._sink.send(self._sink.encode(self._lost())):
            self._dropped = 0
        return not self._waiting and not self._dropped

    def _lost(self) -> Entry:
        kind = logged.LINES_DROPPED
        message = f"{self._dropped} log lines were dropped: the log took none for too long"
        return Entry(kind.level, message, {"count": self._dropped}, kind, self._identifier)

    def _flush_later(self, pause: float) -> None:
        if self._call_later is not None and not self._due:
            self._due = True
            self._call_later(pause, self._on_time)

    def _on_time(self) -> None:
        if not self._due:
            return  # closed, or another loop's affair
        self._due = False
        before = len(self._waiting)
        if not self._flush():
            self._flush_later(0 if len(self._waiting) < before else FLUSH_PAUSE)


def journal_is_ours(address: str = JOURNAL) -> bool:
    """Tell whether lines go to the journal: standard error leads there, and its socket can be reached.

    $JOURNAL_STREAM names standard error's device and inode (systemd.exec(5)). That is connected by systemd,
    outside of the unit's own root and mounts, so it may be there where the socket at `address` is not.
    """
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(2)
        if (device, inode) != (str(status.st_dev), str(status.st_ino)):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
            probe.connect(address)
    except OSError:
        return False
    return True


def _with_fields(message: str, fields: Mapping[str, object]) -> str:
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
