"""Our loop inside asyncio's: in one thread both go on, and what one does the other sees at once.

asyncio waits by its selector, and this one waits by our loop: an event of ours costs one call of the kernel,
not one of each loop's.
"""

import math
import selectors
from collections.abc import Callable
from selectors import SelectorKey

from tfd.protocol.drivers.loop import READ, Loop


class HostingSelector(selectors.EpollSelector):
    """Has asyncio's loop run ours: make it by `asyncio.SelectorEventLoop(HostingSelector(loop))`.

    Our loop stays open when asyncio's is closed.

    Args:
        loop: ours; nobody else runs it meanwhile.

    """

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop
        self._stopped: Callable[[], None] | None = None
        self._has_events = False
        loop.register(self.fileno(), READ, self._on_events)

    def on_stop(self, stopped: Callable[[], None]) -> None:
        """Have `stopped` called when somebody stops our loop."""
        self._stopped = stopped

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Take our loop's events and timers, and wait for asyncio's; `timeout` is seconds, None for ever."""
        loop = self._loop
        longest = math.inf if timeout is None else max(0.0, timeout)
        due = loop.due
        if due is not None:
            # What a timer calls may be for asyncio to go on with: no wait comes after it.
            longest = min(longest, max(0.0, due - loop.now))
        self._has_events = False
        loop.turn(longest)
        if loop.stopping and self._stopped is not None:
            self._stopped()
        return super().select(0) if self._has_events else []

    def close(self) -> None:
        """Release the selector's descriptor."""
        self._loop.unregister(self.fileno())
        super().close()

    def _on_events(self, _events: int) -> None:
        self._has_events = True
