"""The drivers' log lines, through the standard library's logging."""

import logging
import time
from typing import Final

from tfd.protocol.drivers.log import Allowance, level_of
from tfd.protocol.logged import Kind

_SHOWN_AS: Final = {
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
        self._allowance = Allowance()

    def event(self, what: Kind | str, message: str, **fields: object) -> None:
        """Log one line, with the fields as `name=value`."""
        level = _SHOWN_AS[level_of(what)]
        if self._log.isEnabledFor(level):
            line = " ".join([message, *(f"{name}={value}" for name, value in fields.items())])
            self._log.log(level, "%s", line)

    def takes(self, kind: Kind) -> bool:
        """Tell whether anybody hears of events of this kind: for those whose fields cost something."""
        return self._log.isEnabledFor(_SHOWN_AS[kind.level])

    def limited(
        self, key: str, what: Kind | str, message: str, *, interval: float = 10.0, **fields: object
    ) -> None:
        """Log one line at most every `interval` seconds for each `key`, telling how many were left out."""
        left_out = self._allowance.ask(key, interval, time.monotonic())
        if left_out is None:
            return
        if left_out:
            fields["left_out"] = left_out
        self.event(what, message, **fields)
