"""What drivers need of a program's log, and what the logs of all programs share."""

from typing import Protocol

from tfd.protocol.logged import Kind


class Log(Protocol):
    """The part of the daemon's log that the proxy and the loop need."""

    def event(self, what: Kind | str, message: str, **fields: object) -> None:
        """Write one event; `what` is its kind, else its level: "debug", "info", "warning" or "error"."""

    def takes(self, kind: Kind) -> bool:
        """Tell whether anybody hears of events of this kind: for those whose fields cost something."""

    def limited(
        self, key: str, what: Kind | str, message: str, *, interval: float = 10.0, **fields: object
    ) -> None:
        """Write one event at most every `interval` seconds for each `key`, telling how many were left out."""


def level_of(what: Kind | str) -> str:
    """Give the level of an event that is told by its kind, or else by its level."""
    return what.level if isinstance(what, Kind) else what


class Allowance:
    """How often what strangers can cause is told: once for each key in a while."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, int]] = {}

    def ask(self, key: str, interval: float, now: float) -> int | None:
        """Give how many were left out since the last one that was told; None: leave this one out as well.

        `interval` and `now` are seconds. The keys must come from the program, not from a peer.
        """
        since, left_out = self._told.get(key, (-interval, 0))
        if now - since < interval:
            self._told[key] = (since, left_out + 1)
            return None
        self._told[key] = (now, 0)
        return left_out
