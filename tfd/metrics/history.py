"""The last hour's traffic, in few kilobytes."""

from array import array
from collections.abc import Mapping
from typing import Final

from tfd.protocol.dataclass import dataclass
from tfd.proxy import ListenerStatistics

INTERVAL: Final = 15.0
"""Seconds between two samples."""

SAMPLES: Final = 240
"""An hour of them."""

LISTENERS: Final = 32
"""Listeners that have a history of their own; the others are in the sums."""


class Series:
    """The latest values of one figure, the oldest first."""

    def __init__(self) -> None:
        # 240 floats of 4 bytes; a list would have 24 more for each.
        self._values = array("f")

    def put(self, value: float) -> None:
        """Add a value, and forget what is older than the hour."""
        self._values.append(value)
        del self._values[:-SAMPLES]

    @property
    def values(self) -> tuple[float, ...]:
        """All of them."""
        return tuple(self._values)


@dataclass(frozen=True, slots=True)
class _Sums:
    bytes_in: int
    bytes_out: int
    accepted: int


class History:
    """Samples of bytes a second, of new connections a second, and of open connections."""

    def __init__(self) -> None:
        self.bytes_in = Series()
        self.bytes_out = Series()
        self.accepted = Series()
        self.open = Series()
        self.listeners: dict[str, Series] = {}
        """Bytes a second, both directions together, by listener."""
        self._before: dict[str, _Sums] | None = None

    def sample(self, statistics: Mapping[str, ListenerStatistics], seconds: float) -> None:
        """Take the counts of now; the last ones were taken `seconds` ago. The first call takes them alone."""
        now = {name: _Sums(one.bytes_in, one.bytes_out, one.accepted) for name, one in statistics.items()}
        before, self._before = self._before, now
        if before is None:
            return
        nothing = _Sums(0, 0, 0)
        grown = {name: _grown(before.get(name, nothing), sums) for name, sums in now.items()}
        self.bytes_in.put(sum(one.bytes_in for one in grown.values()) / seconds)
        self.bytes_out.put(sum(one.bytes_out for one in grown.values()) / seconds)
        self.accepted.put(sum(one.accepted for one in grown.values()) / seconds)
        self.open.put(sum(one.open for one in statistics.values()))
        self.listeners = {name: self.listeners.get(name) or Series() for name in list(now)[:LISTENERS]}
        for name, series in self.listeners.items():
            series.put((grown[name].bytes_in + grown[name].bytes_out) / seconds)


def _grown(before: _Sums, now: _Sums) -> _Sums:
    """Give the growth; a listener that was taken away and came back has begun anew."""
    if now.accepted < before.accepted:
        before = _Sums(0, 0, 0)
    return _Sums(
        max(0, now.bytes_in - before.bytes_in),
        max(0, now.bytes_out - before.bytes_out),
        now.accepted - before.accepted,
    )
