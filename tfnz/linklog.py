"""The drivers' log lines, through the standard library's logging."""

import logging
import time
from typing import Final

from tfd.protocol.logged import Kind

_LEVELS: Final = {
    # A program's own lines say what it does; the drivers' are for those who look closer.
    "debug": logging.DEBUG,
    "info": logging.DEBUG,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class LinkLog:
    """A log as tfd.protocol.drivers wants it."""

    def __init__(self) -> None:
        self._log = logging.getLogger("tfnz")
        self._limited: dict[str, tuple[float, int]] = {}

    def event(self, what: Kind | str, message: str, **fields: object) -> None:
        """Log one line, with the fields as `name=value`."""
        level = what.level if isinstance(what, Kind) else what
        if self._log.isEnabledFor(_LEVELS[level]):
            self._log.log(
                _LEVELS[level],
                "%s",
                " ".join([message, *(f"{name}={value}" for name, value in fields.items())]),
            )

    def takes(self, kind: Kind) -> bool:
        """Tell whether anybody hears of events of this kind: for those whose fields cost something."""
        return self._log.isEnabledFor(_LEVELS[kind.level])

    def limited(
        self, key: str, what: Kind | str, message: str, *, interval: float = 10.0, **fields: object
    ) -> None:
        """Log one line at most every `interval` seconds for each `key`, telling how many were left out."""
        now = time.monotonic()
        since, left_out = self._limited.get(key, (-interval, 0))
        if now - since < interval:
            self._limited[key] = (since, left_out + 1)
            return
        self._limited[key] = (now, 0)
        if left_out:
            fields["left_out"] = left_out
        self.event(what, message, **fields)
