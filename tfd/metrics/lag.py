"""How late the loop comes to what is due: what a client waits when tfd is busy."""

from typing import Final

from tfd.protocol.drivers.loop import Loop, Timer

INTERVAL: Final = 1.0
"""Seconds between two measurements."""

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Upper bounds of the histogram's buckets, in seconds."""


class LagMeter:
    """Sets a timer every second and counts how late it comes.

    `counts` has a place for each of BOUNDS and one for what is later, `sum` is seconds.
    """

    def __init__(self, loop: Loop) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0
        self._loop = loop
        self._due = loop.now + INTERVAL
        self._timer: Timer = loop.call_at(self._due, self._measure)

    def close(self) -> None:
        """Measure no more."""
        self._timer.cancel()

    def _measure(self) -> None:
        now = self._loop.now
        self.record(max(0.0, now - self._due))
        self._due = now + INTERVAL
        self._timer = self._loop.call_at(self._due, self._measure)

    def record(self, late: float) -> None:
        """Count one measurement, in seconds."""
        self.sum += late
        place = next((index for index, bound in enumerate(BOUNDS) if late <= bound), len(BOUNDS))
        self.counts[place] += 1
