"""When to send a heartbeat, and when a silent peer counts as gone."""

MISSED = 3
"""Heartbeats missed before a peer is gone: one may be lost with a packet, two with a short outage."""


class Pulse:
    """The clock of one session; `interval` in seconds, every `now` from one monotonic clock."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._next_beat: float | None = None
        self._heard: float | None = None

    @property
    def last_heard(self) -> float | None:
        """When the peer sent something last; None while nothing is expected."""
        return self._heard

    @property
    def limit(self) -> float:
        """Seconds of silence after which the peer is gone."""
        return MISSED * self.interval

    def start(self, now: float, *, beating: bool, interval: float | None = None) -> None:
        """Count silence from now on and, when `beating`, send heartbeats."""
        self.interval = interval or self.interval
        self._heard = now
        self._next_beat = now + self.interval if beating else None

    def stop(self) -> None:
        """Neither send nor expect anything."""
        self._heard = self._next_beat = None

    def heard(self, now: float) -> None:
        """Note that the peer sent something."""
        if self._heard is not None:
            self._heard = now

    def silent(self, now: float) -> bool:
        """Whether the peer is gone."""
        # Compared as `deadline` gives it: a difference rounds otherwise, and who ticks then would spin.
        return self._heard is not None and now >= self._heard + self.limit

    def due(self, now: float) -> bool:
        """Whether a heartbeat must be sent now; if so, the next one is due an interval later."""
        if self._next_beat is None or now < self._next_beat:
            return False
        self._next_beat = now + self.interval
        return True

    def deadline(self) -> float | None:
        """When `silent` or `due` may turn true."""
        if self._heard is None:
            return None
        gone = self._heard + self.limit
        return gone if self._next_beat is None else min(gone, self._next_beat)
