"""The daemon's log: one event is one line, to the journal or to standard error.

A log line never blocks and never raises; what becomes of it is `tfd.protocol.drivers.journal`'s affair.
"""

import sys
import time
from collections.abc import Callable, Mapping

from tfd.protocol.drivers.journal import (
    LEVELS,
    Entry,
    JournalSink,
    Outbox,
    Sink,
    StderrSink,
    journal_is_ours,
)
from tfd.protocol.drivers.log import Allowance, level_of
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.logged import Kind


class Log:
    """The daemon's log."""

    def __init__(self, sink: Sink, level: str = "info") -> None:
        self._outbox = Outbox(sink)
        self._threshold = LEVELS[level]
        self._allowance = Allowance()
        self._hearer: Callable[[Kind, str], None] | None = None

    def set_level(self, level: str) -> None:
        """Write events of `level` and graver ones from now on."""
        self._threshold = LEVELS[level]

    def attend(self, loop: Loop | None) -> None:
        """Have this loop send what waits; without one, the next event does."""
        self._outbox.attend(None if loop is None else loop.call_later)

    def tell(self, hearer: Callable[[Kind, str], None] | None) -> None:
        """Call `hearer` with each event that has a kind, whatever the level of the log; None ends that."""
        self._hearer = hearer

    @property
    def behind(self) -> bool:
        """Whether lines wait, because the sink takes none at present."""
        return self._outbox.behind

    @property
    def queued(self) -> int:
        """Bytes of the lines that wait."""
        return self._outbox.queued

    @property
    def lost(self) -> int:
        """Lines that were dropped since the start, told or not."""
        return self._outbox.lost

    @property
    def takes_output(self) -> bool:
        """Whether what containers write belongs here too: in the journal it has names of its own."""
        return self._outbox.takes_output

    def output(self, identifier: str, line: str, fields: Mapping[str, object]) -> None:
        """Write a line that a container wrote, under its name; no level leaves it out."""
        self._outbox.put(Entry("info", line, fields, identifier=identifier))

    def event(self, what: Kind | str, message: str, **fields: object) -> None:
        """Write one event.

        Args:
            what: its kind, else for a line that nobody waits for its level, one of LEVELS.
            message: what happened, to which object, what to do; one line.
            fields: values for machines: TFD_NAME in the journal, name=value on standard error.

        """
        kind = what if isinstance(what, Kind) else None
        level = level_of(what)
        if kind is not None and self._hearer is not None:
            self._hearer(kind, message)
        if LEVELS[level] <= self._threshold:
            self._outbox.put(Entry(level, message, fields, kind))

    def takes(self, kind: Kind) -> bool:
        """Tell whether anybody hears of events of this kind: for those whose fields cost something."""
        return self._hearer is not None or LEVELS[kind.level] <= self._threshold

    def limited(
        self, key: str, what: Kind | str, message: str, *, interval: float = 10.0, **fields: object
    ) -> None:
        """Write one event at most every `interval` seconds for each `key`, telling how many were left out.

        For what strangers can cause. The keys must come from the program, not from a peer.
        """
        left_out = self._allowance.ask(key, interval, time.monotonic())
        if left_out is None:
            return
        if left_out:
            fields["left_out"] = left_out
            message += f" ({left_out} more like this were left out before)"
        self.event(what, message, **fields)

    def close(self) -> None:
        """Send what waits, within a limit, and release the sink."""
        self._outbox.close()


def open_log(level: str = "info") -> Log:
    """Give the log of this process: the journal where standard error leads to it, else standard error."""
    return Log(JournalSink() if journal_is_ours() else StderrSink(sys.stderr.fileno()), level)
