"""The proxy: listeners, and the relaying of what they accept into the right container.

It relays and knows no container engine: routes are told to it, and it asks for tickets.
"""

import socket
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Final

from tfd.config.model import Listener
from tfd.protocol import logged
from tfd.protocol.address import Address
from tfd.protocol.dataclass import dataclass
from tfd.protocol.drivers.log import Log
from tfd.protocol.drivers.loop import Loop, Timer
from tfd.protocol.drivers.relaying.binding import close_unwanted
from tfd.protocol.drivers.relaying.channels import ChannelPool
from tfd.protocol.drivers.relaying.connection import Connection
from tfd.protocol.drivers.relaying.driver import Counts, new_buffer
from tfd.protocol.drivers.relaying.listener import BindError, BoundAddress
from tfd.protocol.drivers.relaying.proxy_protocol import ProxyProtocol, SocketAddress, bare_address, header
from tfd.protocol.drivers.relaying.routes import Routes
from tfd.protocol.drivers.relaying.shared import Shared
from tfd.protocol.drivers.relaying.sockets import CLIENT_OPTIONS, close, peer_name, peer_of
from tfd.protocol.drivers.relaying.suspended import ConnectionState
from tfd.protocol.drivers.relaying.tickets import Ticket, TicketFailure, TicketSource
from tfd.protocol.drivers.systemd.listeners import KeptListeners
from tfd.protocol.errors import UsageError
from tfd.protocol.liveness import CHECK_INTERVAL, CHECK_PARTS, Rounds
from tfd.protocol.route import Route

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

_NOTHING: Final[Mapping[Address, BoundAddress]] = MappingProxyType({})


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
        kept: listening sockets that outlive the process, where there is a service manager that keeps them.

    """

    def __init__(
        self, loop: Loop, log: Log, tickets: TicketSource, kept: KeptListeners | None = None
    ) -> None:
        self._loop = loop
        self._log = log
        self._kept = kept
        self._shared = Shared(
            loop, log, tickets, ChannelPool(loop, log), Routes(), connections=set(), buffer=new_buffer()
        )
        self._listening: dict[str, _Listening] = {}
        self.taken_over = 0
        """Connections of the process before that were gone on with."""
        self._rounds: Rounds[Connection] = Rounds()
        self._check_timer: Timer | None = None

    @property
    def bound(self) -> dict[Address, BoundAddress]:
        """The addresses of all listeners in force."""
        return {address: bound for each in self._listening.values() for address, bound in each.bound.items()}

    def apply(
        self,
        listeners: Iterable[Listener],
        offered: Mapping[Address, BoundAddress] = _NOTHING,
        spared: Container[Address] = (),
    ) -> None:
        """Serve exactly these listeners from now on.

        Unchanged ones keep their sockets and connections, changed ones keep the sockets of addresses that
        they still have. All new addresses are bound first: on a failure nothing changes. Connections of a
        listener that is gone live on until they end.

        Args:
            listeners: all that are to be in force.
            offered: bound addresses of another that are taken over where a listener has them.
            spared: addresses that another takes over, so they are not closed here.

        Raises:
            BindError: an address cannot be bound; the former listeners are still in force.

        """
        wanted = tuple(listeners)
        former = self.bound
        bound = self._bind(wanted, {**offered, **former})
        current = {}
        for listener in wanted:
            listening = self._listening.get(listener.name) or _Listening(self._shared)
            current[listener.name] = listening
            if listening.bound.keys() != set(listener.binds):
                self._tell_bound(listener)
            listening.serve(listener, {address: bound[address] for address in listener.binds})
        for name, listening in self._listening.items():
            if name not in current:
                listening.bound = {}
                self._log.event(logged.LISTENER_CLOSED, f"listening no longer on {name}", listener=name)
        self._listening = current
        for address, unwanted in former.items():
            if address not in bound and address not in spared:
                unwanted.close()
        if self._kept is not None:
            close_unwanted(self._kept, self._log)
        if self._check_timer is None:
            self._check_timer = self._loop.call_later(CHECK_INTERVAL, self._check_some)

    def _bind(
        self, wanted: tuple[Listener, ...], former: Mapping[Address, BoundAddress]
    ) -> dict[Address, BoundAddress]:
        bound: dict[Address, BoundAddress] = {}
        try:
            for listener in wanted:
                for address in listener.binds:
                    if address in bound:
                        raise BindError(address, "two listeners have this address")
                    bound[address] = former.get(address) or self._bind_one(address)
        except BindError:
            for address, fresh in bound.items():
                if address not in former:
                    fresh.close()
            raise
        return bound

    def _tell_bound(self, listener: Listener) -> None:
        addresses = ", ".join(str(address) for address in listener.binds)
        text = f"listening on {addresses} for port {listener.port} of {listener.container}"
        self._log.event(logged.LISTENER_BOUND, text, listener=listener.name, container=listener.container)

    def _bind_one(self, address: Address) -> BoundAddress:
        return BoundAddress(self._loop, self._log, address, self._kept)

    def set_route(self, container: str, route: Route | None) -> None:
        """Send new and waiting connections of the declared container along `route`; None holds them."""
        self._shared.routes.set(container, route)

    def drain(self, route: Route, callback: Callable[[], None]) -> None:
        """Call `callback` once, as soon as no connection uses `route` any more (at once when none does).

        Set another route first, else new connections keep it in use.
        """
        self._shared.routes.drain(route, callback)

    def addresses(self, name: str) -> list[SocketAddress]:
        """Give what the sockets of the listener `name` are bound to, as getsockname() has it."""
        return [address for bound in self._listening[name].bound.values() for address in bound.names]

    def statistics(self) -> dict[str, ListenerStatistics]:
        """Give the counts of each listener in force, by its name."""
        return {name: _statistics(listening.counts) for name, listening in self._listening.items()}

    def queued(self) -> dict[str, int]:
        """Give the bytes that wait: for `clients` to take them, and for `channels` to containers."""
        connections = self._shared.connections
        return {
            "clients": sum(connection.queued_to_plain for connection in connections),
            "channels": sum(connection.queued_to_channel for connection in connections),
        }

    def drop_ready_channels(self) -> None:
        """Drop the connections that are kept ahead of need: a lost session may mean a dead path."""
        self._shared.pool.drop()

    def leave_listeners(self) -> None:
        """Accept nothing more; clients queue for the next process where the sockets are kept."""
        for listening in self._listening.values():
            for bound in listening.bound.values():
                bound.leave()
            listening.bound = {}
        self._listening = {}
        if self._kept is not None:
            self._kept.close()

    def suspend(self) -> Iterator[tuple[ConnectionState, socket.socket, socket.socket | None]]:
        """Give each connection away, with its client's socket and its channel's, and relay nothing more.

        Those that have been silent longest come last, since there may not be room for all.
        """
        for connection in sorted(self._shared.connections, key=attrgetter("silence")):
            try:
                suspended = connection.suspend()
            except OSError:
                connection.abort()
                continue
            if suspended is not None:
                yield suspended

    def resume(self, state: ConnectionState, client: socket.socket, channel: socket.socket | None) -> None:
        """Go on with a connection of the process before, also where its listener is gone.

        Raises UsageError or OSError where that cannot be done: the client is reset then, the channel closed.
        """
        listening = self._listening.get(state.listener.name) or _Listening(self._shared)
        connection = listening.resume(state, client)
        try:
            connection.go_on(state, channel)
        except (UsageError, OSError):
            connection.abort()
            if channel is not None:
                channel.close()
            raise
        self.taken_over += 1

    def add_counts(self, name: str, before: Counts) -> None:
        """Count on from what the listener `name`, if it is still there, had done before a restart."""
        listening = self._listening.get(name)
        if listening is not None:
            listening.counts.accepted += before.accepted
            listening.counts.traffic.bytes_in += before.traffic.bytes_in
            listening.counts.traffic.bytes_out += before.traffic.bytes_out
            listening.counts.refused += before.refused

    def close(self) -> None:
        """Close all listeners and reset all connections."""
        for listening in self._listening.values():
            for bound in listening.bound.values():
                bound.close()
            listening.bound = {}
        self._listening = {}
        for connection in list(self._shared.connections):
            connection.abort()
        self._shared.pool.close()
        if self._check_timer is not None:
            self._check_timer.cancel()
            self._check_timer = None

    def _check_some(self) -> None:
        """Look for dead channels: every connection once in CHECK_INTERVAL, or a little later."""
        for connection in self._rounds.part(self._shared.connections):
            connection.check_alive()
        self._check_timer = self._loop.call_later(CHECK_INTERVAL / CHECK_PARTS, self._check_some)


class _Listening:
    """One listener in force: its addresses, its settings, its counts."""

    def __init__(self, shared: Shared) -> None:
        self.bound: dict[Address, BoundAddress] = {}
        self.counts = Counts()
        self._shared = shared
        self._listener: Listener | None = None
        # One bound method for all connections, which keep it.
        self._on_end = self._ended
        self._full = False

    def serve(self, listener: Listener, bound: dict[Address, BoundAddress]) -> None:
        """Accept on these addresses, under these settings, from now on."""
        self._listener = listener
        self.bound = bound
        for address in bound.values():
            address.serve(self._accepted, CLIENT_OPTIONS)
        self._full = False
        self._mind_the_limit(listener)

    def _accepted(self, client: socket.socket, peer: SocketAddress) -> None:
        listener = self._listener
        assert listener is not None
        self.counts.accepted += 1
        if not _is_allowed(listener, peer):
            self.counts.refused["not allowed"] += 1
            close(client, reset=True)
            self._shared.log.limited(
                "refused, not allowed",
                logged.CLIENT_FORBIDDEN,
                f"{listener.name} refused {peer_name(peer)}, which is in none of the networks of its allow",
                listener=listener.name,
                peer=peer_name(peer),
            )
            return
        greeting = b""
        try:
            if listener.proxy_protocol is not ProxyProtocol.OFF:
                greeting = header(listener.proxy_protocol, peer, client.getsockname())
        except OSError:
            client.close()  # reset by its peer before we came to it
            return
        Connection(self._shared, listener, self.counts, client, peer, greeting, self._on_end).begin()
        self._mind_the_limit(listener)

    def resume(self, state: ConnectionState, client: socket.socket) -> Connection:
        """Make a connection of the process before; it is still to go on."""
        connection = Connection(
            self._shared, state.listener, self.counts, client, peer_of(client), state.greeting, self._on_end
        )
        if self._listener is not None:
            self._mind_the_limit(self._listener)
        return connection

    def _mind_the_limit(self, listener: Listener) -> None:
        """At `max_connections`, leave clients in the backlog: they are served when others have ended."""
        if not self._full and self.counts.open >= listener.max_connections:
            self._full = True
            for address in self.bound.values():
                address.pause()
            self._shared.log.limited(
                "full",
                logged.LISTENER_FULL,
                f"{listener.name} has {self.counts.open} connections, the maximum; others wait",
                listener=listener.name,
            )

    def _ended(self) -> None:
        listener = self._listener
        if self._full and listener is not None and self.counts.open < listener.max_connections:
            self._full = False
            for address in self.bound.values():
                address.resume()


def _is_allowed(listener: Listener, peer: SocketAddress) -> bool:
    if not listener.allow or not isinstance(peer, tuple):
        return True
    address = bare_address(peer[0])
    return any(address.version == network.version and address in network for network in listener.allow)


def _statistics(counts: Counts) -> ListenerStatistics:
    return ListenerStatistics(
        counts.open,
        counts.waiting,
        counts.accepted,
        counts.traffic.bytes_in,
        counts.traffic.bytes_out,
        MappingProxyType(dict(counts.refused)),
    )
