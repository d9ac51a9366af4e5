"""What drivers need of a program's log."""

from typing import Protocol


class Log(Protocol):
    """The part of the daemon's log that the proxy and the loop need."""

    def event(self, level: str, message: str, **fields: object) -> None:
        """Write one event; `level` is "debug", "info", "warning" or "error"."""

    def limited(
        self, key: str, level: str, message: str, *, interval: float = 10.0, **fields: object
    ) -> None:
        """Write one event at most every `interval` seconds for each `key`, telling how many were left out."""
