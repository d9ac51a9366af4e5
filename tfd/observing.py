"""`[metrics]` as the daemon has it: nothing of it is loaded while the file has no such table."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tfd.config.model import Metrics
from tfd.log import Log
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.drivers.systemd.listeners import KeptListeners
from tfd.proxy import BindError, ListenerStatistics

if TYPE_CHECKING:
    from tfd.metrics.service import MetricsService


class Observing:
    """What shows the daemon over HTTP, while the file asks for it.

    Args:
        loop: the daemon's loop.
        log: the daemon's log.
        kept: listening sockets that outlive the process, where there is a service manager that keeps them.
        document: gives the status document (tfd.document).
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
        self._loop = loop
        self._log = log
        self._kept = kept
        self._document = document
        self._statistics = statistics
        self._service: MetricsService | None = None

    def apply(self, metrics: Metrics, bind_others: Callable[[], None]) -> None:
        """Serve at these addresses from now on, once `bind_others` has bound what else the file names.

        Addresses that stay keep their sockets. Raises BindError where one of all cannot be bound; what was
        served before is served on then.
        """
        if not metrics.binds:
            bind_others()
            self.close()
            return
        service = self._service or self._make()
        try:
            prepared = service.prepare(metrics)
            try:
                bind_others()
            except BindError:
                prepared.undo()
                raise
        except BindError:
            if self._service is None:
                service.close()
            raise
        prepared.use()
        self._service = service

    def leave(self) -> None:
        """Serve nothing more; where the sockets are kept, clients queue for the next process."""
        if self._service is not None:
            self._service.leave()

    def close(self) -> None:
        """Serve nothing, and forget the history."""
        if self._service is not None:
            self._service.close()
            self._service = None

    def _make(self) -> "MetricsService":
        from tfd.metrics.service import MetricsService

        return MetricsService(self._loop, self._log, self._kept, self._document, self._statistics)
