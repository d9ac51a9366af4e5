"""The last events of the log, for the status page."""

import time
from collections import deque
from typing import Final

from tfd.protocol.dataclass import dataclass
from tfd.protocol.logged import Kind

KEPT: Final = 30
LONGEST: Final = 400
"""Characters of a message."""


@dataclass(frozen=True, slots=True)
class Recent:
    """One event; `at` is Unix time."""

    at: float
    level: str
    message: str


class RecentEvents:
    """A bounded ring of what an administrator could wait for.

    Lines without a kind are left out, for they may quote the configuration, where secrets are: an environment
    variable's value that is no text, say. So are those for debugging. No fields are kept.
    """

    def __init__(self) -> None:
        self._events: deque[Recent] = deque(maxlen=KEPT)

    def put(self, kind: Kind, message: str) -> None:
        """Keep one event's first line."""
        if kind.level != "debug":
            text = message.partition("\n")[0]
            text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
            self._events.append(Recent(time.time(), kind.level, text))

    def newest_first(self) -> list[Recent]:
        """Give what is kept."""
        return list(reversed(self._events))
