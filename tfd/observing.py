"""`[metrics]` as the daemon has it: nothing of it is loaded while the file has no such table."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tfd.config.model import Metrics
from tfd.proxy import BindError

if TYPE_CHECKING:
    from tfd.metrics.service import MetricsService


class Observing:
    """What shows the daemon over HTTP, while the file asks for it; `make` loads and makes it."""

    def __init__(self, make: "Callable[[], MetricsService]") -> None:
        self._make = make
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
