"""One trouble that lasts, told at once and then at growing intervals."""

from typing import Final

from tfd.protocol.drivers.log import Log
from tfd.protocol.logged import Kind

PAUSES: Final = (0.0, 10.0, 60.0, 600.0, 3600.0)
"""Seconds between two lines about the same trouble; the last one repeats."""

STABLE: Final = 10.0
"""Seconds without the trouble after which it counts as over."""


class Complaint:
    """Warnings of one trouble with one location; times are seconds of one monotonic clock."""

    def __init__(self, log: Log, location: str) -> None:
        self._log = log
        self._location = location
        self._count = 0
        self._next = 0.0
        self._over: float | None = None

    def tell(self, kind: Kind, text: str, reason: str, now: float) -> None:
        """Log the trouble, unless one was told too short a time ago; its line is `text: reason`."""
        if self._over is not None and now - self._over >= STABLE:
            self._count = 0
        self._over = None
        if self._count and now < self._next:
            return
        self._count = min(self._count + 1, len(PAUSES) - 1)
        self._next = now + PAUSES[self._count]
        self._log.event(kind, f"{text}: {reason}", location=self._location, reason=reason)

    def over(self, now: float) -> None:
        """Take in that the trouble is over for now; when it stays away, the next one is told at once."""
        self._over = now
