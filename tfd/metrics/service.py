"""All of `[metrics]` together: the server, and what it remembers between two looks."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tfd.config.model import Metrics
from tfd.log import Log
from tfd.metrics.history import INTERVAL, History
from tfd.metrics.lag import LagMeter
from tfd.metrics.recent import RecentEvents
from tfd.metrics.server import Prepared, Server
from tfd.metrics.site import Site
from tfd.protocol.address import Address
from tfd.protocol.drivers.loop import Loop, Timer
from tfd.protocol.drivers.relaying.listener import BoundAddress
from tfd.protocol.drivers.systemd.listeners import KeptListeners
from tfd.proxy import ListenerStatistics


class MetricsService:
    """Serves, samples and measures until it is closed.

    Args:
        loop: the daemon's loop.
        log: the daemon's log.
        kept: listening sockets that outlive the process, where there is a service manager that keeps them.
        document: gives the status document.
        statistics: gives the counts of all listeners.

    """

    def __init__(
        self,
        loop: Loop,
        log: Log,
        kept: KeptListeners | None,
        document: Callable[[], dict[str, Any]],
        statistics: Callable[[], Mapping[str, ListenerStatistics]],
    ) -> None:
        self._log = log
        self._loop = loop
        self._statistics = statistics
        self._history = History()
        self._lag = LagMeter(loop)
        events = RecentEvents()
        log.tell(events.put)
        site = Site(document, self._history, self._lag, events)
        self._server = Server(loop, log, site.answer, kept)
        self._sampled = loop.now
        self._timer: Timer = loop.call_later(0, self._sample)

    @property
    def bound(self) -> dict[Address, BoundAddress]:
        """The addresses that are served."""
        return self._server.bound

    def prepare(self, metrics: Metrics, offered: Mapping[Address, BoundAddress]) -> Prepared:
        """Bind what is neither bound yet nor offered; nothing else changes before `use`. Raises BindError."""
        return self._server.prepare(metrics, offered)

    def release(self, addresses: Iterable[Address]) -> None:
        """Leave addresses to another, who serves them already."""
        self._server.release(addresses)

    def leave(self) -> None:
        """Leave the sockets to the next process, where they are kept."""
        self._server.leave()

    def close(self) -> None:
        """End it all."""
        self._log.tell(None)
        self._timer.cancel()
        self._lag.close()
        self._server.close()

    def _sample(self) -> None:
        now = self._loop.now
        self._history.sample(self._statistics(), max(now - self._sampled, 1.0))
        self._sampled = now
        self._timer = self._loop.call_later(INTERVAL, self._sample)
