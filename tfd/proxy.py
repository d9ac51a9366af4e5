"""The proxy: listeners, and the relaying of what they accept into the right container.

It relays and knows no container engine: routes are told to it, and it asks for tickets.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tfd.config.model import Address, Listener
from tfd.loop import Loop
from tfd.protocol.errors import TfdError
from tfd.tickets import Log, Ticket, TicketFailure, TicketSource
from tfd.world import Route

__all__ = [
    "BindError",
    "ListenerStatistics",
    "Log",
    "Proxy",
    "Route",
    "Ticket",
    "TicketFailure",
    "TicketSource",
]


class BindError(TfdError):
    """An address cannot be bound; the message names it and says why."""

    def __init__(self, address: Address, message: str) -> None:
        super().__init__(f"cannot listen on {address}: {message}")
        self.address = address
        self.message = message


@dataclass(frozen=True, slots=True)
class ListenerStatistics:
    """Counts of one listener since it was bound.

    `open` are connections now, `waiting` those of them that wait for their container; `accepted` all so far.
    `bytes_in` came from clients, `bytes_out` went to them. `refused` counts closed ones by reason.
    """

    open: int
    waiting: int
    accepted: int
    bytes_in: int
    bytes_out: int
    refused: Mapping[str, int]


class Proxy:
    """All listeners of the daemon and their connections.

    Args:
        loop: the daemon's loop; all methods are called from its thread, none blocks.
        log: where refusals are told, rate-limited.
        tickets: gives tickets for channels.

    """

    def __init__(self, loop: Loop, log: Log, tickets: TicketSource) -> None:
        raise NotImplementedError

    def apply(self, listeners: Iterable[Listener]) -> None:
        """Serve exactly these listeners from now on.

        Unchanged ones keep their sockets and connections, changed ones keep the sockets of addresses that
        they still have. All new addresses are bound first: on a failure nothing changes. Connections of a
        listener that is gone live on until they end.

        Raises:
            BindError: an address cannot be bound; the former listeners are still in force.

        """

    def set_route(self, container: str, route: Route | None) -> None:
        """Send new and waiting connections of the declared container along `route`; None holds them."""

    def drain(self, route: Route, callback: Callable[[], None]) -> None:
        """Call `callback` once, as soon as no connection uses `route` any more (at once when none does).

        Set another route first, else new connections keep it in use.
        """

    def open_connections(self, route: Route) -> int:
        """Give the number of connections that use `route` now."""
        raise NotImplementedError

    def statistics(self) -> dict[str, ListenerStatistics]:
        """Give the counts of each listener in force, by its name."""
        raise NotImplementedError

    def close(self) -> None:
        """Close all listeners and reset all connections."""
