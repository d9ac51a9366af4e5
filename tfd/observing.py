"""`[metrics]` as the daemon has it: nothing of it is loaded while the file has no such table."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tfd.config.model import Listener, Metrics
from tfd.proxy import BindError, Proxy

if TYPE_CHECKING:
    from tfd.metrics.service import MetricsService


class Observing:
    """What shows the daemon over HTTP, while the file asks for it; `make` loads and makes it."""

    def __init__(self, make: "Callable[[], MetricsService]") -> None:
        self._make = make
        self._service: MetricsService | None = None

    def apply(self, metrics: Metrics, listeners: Iterable[Listener], proxy: Proxy) -> None:
        """Serve at these addresses from now on, and have the proxy serve these listeners.

        Addresses that stay keep their sockets, also those that move between the two. Raises BindError where
        one of all cannot be bound; what was served before is served on then.
        """
        wanted = tuple(listeners)
        if self._service is None and not metrics.binds:
            proxy.apply(wanted)
            return
        service = self._service or self._make()
        served = set(metrics.binds)
        listened = {address for listener in wanted for address in listener.binds}
        to_proxy = {
            address: bound for address, bound in service.bound.items() if address in listened - served
        }
        to_service = {
            address: bound for address, bound in proxy.bound.items() if address in served - listened
        }
        try:
            prepared = service.prepare(metrics, to_service)
            try:
                proxy.apply(wanted, to_proxy, to_service)
            except BindError:
                prepared.undo()
                raise
        except BindError:
            if self._service is None:
                service.close()
            raise
        service.release(to_proxy)
        prepared.use()
        self._service = service
        if not metrics.binds:
            self.close()

    def leave(self) -> None:
        """Serve nothing more; where the sockets are kept, clients queue for the next process."""
        if self._service is not None:
            self._service.leave()

    def close(self) -> None:
        """Serve nothing, and forget the history."""
        if self._service is not None:
            self._service.close()
            self._service = None
