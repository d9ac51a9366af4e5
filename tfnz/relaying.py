"""Connections that were accepted here, relayed to ports of containers. In the connection's loop."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

from tfd.protocol.drivers.relaying.connection import Connection as Relayed
from tfd.protocol.drivers.relaying.driver import Counts
from tfd.protocol.drivers.relaying.proxy_protocol import SocketAddress
from tfd.protocol.drivers.relaying.routes import Routes
from tfd.protocol.drivers.relaying.shared import Shared
from tfd.protocol.drivers.relaying.tickets import TicketCallback
from tfd.protocol.drivers.stock import Stock
from tfd.protocol.route import Route
from tfnz.dataplane import DataPlane


@dataclass(slots=True)
class Target:
    """Where connections go: a port of a container, tried for `connect_timeout` seconds.

    `container` is the location's id of it; `name` is who accepts, for the log.
    """

    name: str
    container: str
    port: int
    connect_timeout: float


class _StockTickets:
    """The tickets that the stock has, as the drivers ask for them."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock

    def take_ticket(self, route: Route, port: int, callback: TicketCallback) -> None:
        """Give a ticket (see TicketSource)."""
        self._stock.take(route.container, port, callback)


class Relaying:
    """All relayed connections of one data plane."""

    def __init__(self, plane: DataPlane) -> None:
        self._location = plane.link.name
        self._stock = plane.stock
        self._shared = Shared(
            plane.carriage.loop,
            plane.log,
            _StockTickets(plane.stock),
            plane.carriage.pool,
            Routes(),
            connections=set(),
            buffer=plane.carriage.buffer,
        )
        plane.watch(self._check)

    def serve(self, target: Target) -> None:
        """Get ready for connections to a port: the first one finds a ticket waiting."""
        self._shared.routes.set(target.container, Route(self._location, target.container))
        self._stock.prepare(target.container, target.port)

    def relay(
        self,
        target: Target,
        counts: Counts,
        client: socket.socket,
        peer: SocketAddress,
        ended: Callable[[], None],
    ) -> Relayed:
        """Relay a connection that was accepted; its socket is ours from now on."""
        relayed = Relayed(self._shared, target, counts, client, peer, b"", ended)
        relayed.begin()
        return relayed

    def forget(self, container: str) -> None:
        """Reset the connections of a container that is gone, and drop what was kept for it."""
        self._shared.routes.set(container, None)
        self._stock.forget(lambda kept: kept != container)

    def _check(self) -> None:
        for connection in list(self._shared.connections):
            connection.check_alive()


def of(plane: DataPlane) -> Relaying:
    """Give the data plane's relaying, made when it is first asked for."""
    if plane.relaying is None:
        plane.relaying = Relaying(plane)
    return plane.relaying
