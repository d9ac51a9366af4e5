"""The service's log: one event is one line, to systemd's journal or to standard error.

Modules log through `logging` with values for machines as `extra={"fields": {...}}`: TFD_NAME fields in
the journal, name=value on standard error. A kind of `tflocation.logged` goes beside them: `told(KIND, ...)`.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping

from tfd.protocol.drivers.journal import CallLater, Entry, JournalSink, Outbox, Sink, journal_is_ours
from tfd.protocol.drivers.log import Allowance, level_of
from tfd.protocol.logged import Kind

ROOT = "tflocation"
_LEVELS = (
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
    (logging.NOTSET, "debug"),
)


def one_line(text: str) -> str:
    """`text` with control characters escaped, so that no peer writes a log line of its own."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def told(kind: Kind, **fields: object) -> dict[str, object]:
    """Give the `extra` of an event that has a kind."""
    return {"fields": fields, "kind": kind}


def _fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, Mapping) else {}


class LineFormatter(logging.Formatter):
    """`LEVEL message name=value`; without `level` for the journal, which has the priority apart."""

    def __init__(self, *, level: bool = True) -> None:
        super().__init__()
        self._level = level

    def format(self, record: logging.LogRecord) -> str:
        """Give the record as one line."""
        parts = [one_line(record.getMessage())]
        parts += [f"{name}={one_line(str(value))}" for name, value in _fields_of(record).items()]
        if record.exc_info and record.levelno < logging.ERROR:
            parts.append(f"error={one_line(repr(record.exc_info[1]))}")
        line = " ".join([record.levelname, *parts] if self._level else parts)
        if record.exc_info and record.levelno >= logging.ERROR:
            # An unexpected exception is a defect of ours: its traceback is worth more than one line.
            line += "\n" + self.formatException(record.exc_info)
        return line


class JournalHandler(logging.Handler):
    """Sends records to the journal; one that is slow holds up nothing."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self.outbox = Outbox(sink, ROOT)
        self.setFormatter(LineFormatter(level=False))

    def emit(self, record: logging.LogRecord) -> None:
        """Send one entry; never raises."""
        level = next(name for least, name in _LEVELS if record.levelno >= least)
        self.outbox.put(
            Entry(level, self.format(record), _fields_of(record), getattr(record, "kind", None), ROOT)
        )

    def close(self) -> None:
        """Send what waits, within a limit."""
        self.outbox.close()
        super().close()


def configure(level: str) -> None:
    """Send the service's log to standard error, or to the journal where that is connected to it."""
    root = logging.getLogger(ROOT)
    handler: logging.Handler
    if journal_is_ours():
        handler = JournalHandler(JournalSink())
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(LineFormatter())
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(level.upper())
    logging.raiseExceptions = False
    # What asyncio itself notices (a task's lost exception) belongs into the same place.
    for name in ("asyncio", "aiohttp"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING)


def attend(call_later: CallLater | None) -> None:
    """Have a loop send what the journal did not take at once; None before the loop ends."""
    for handler in logging.getLogger(ROOT).handlers:
        if isinstance(handler, JournalHandler):
            handler.outbox.attend(call_later)


class DriverLog:
    """The log as `tfd.protocol.drivers` wants it (see `tfd.protocol.drivers.log`), through `logging`."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._limited = RateLimited(log)

    def event(self, what: Kind | str, message: str, **fields: object) -> None:
        """Log one event."""
        self._log.log(_level(what), message, extra={"fields": fields})

    def takes(self, kind: Kind) -> bool:
        """Tell whether events of this kind are logged."""
        return self._log.isEnabledFor(_level(kind))

    def limited(
        self, key: str, what: Kind | str, message: str, *, interval: float = 10.0, **fields: object
    ) -> None:
        """Log one event at most every `interval` seconds for each `key`."""
        self._limited.log(_level(what), key, message, fields, interval=interval)


def _level(what: Kind | str) -> int:
    return logging.getLevelNamesMapping()[level_of(what).upper()]


class RateLimited:
    """Lines that strangers can cause: at most one for each kind in a while, with a count."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._allowance = Allowance()

    def warning(self, kind: str, message: str, *, event: Kind | None = None, **fields: object) -> None:
        """Log `message`, or count it as left out. `kind` comes from the program, never from a peer.

        `event` is what the journal knows it by.
        """
        self.log(logging.WARNING, kind, message, fields, event=event)

    def log(
        self,
        level: int,
        kind: str,
        message: str,
        fields: Mapping[str, object],
        *,
        interval: float = 10.0,
        event: Kind | None = None,
    ) -> None:
        """Do so at this level of `logging`, once in `interval` seconds, with these values for machines."""
        left_out = self._allowance.ask(kind, interval, self._clock())
        if left_out is None:
            return
        if left_out:
            fields = {**fields, "left_out": left_out}
        self._log.log(level, message, extra={"fields": fields, "kind": event})
