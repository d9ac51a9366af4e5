"""What drivers need of a program's log."""

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
