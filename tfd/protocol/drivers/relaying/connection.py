"""One client's connection: held until its container can be had, then relayed over a channel.

It keeps trying, with a new ticket each time, until the container's port has answered or the listener's
`connect_timeout` is over; the client notices nothing.
"""

import select
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tfd.protocol import logged
from tfd.protocol.drivers.loop import READ, Timer
from tfd.protocol.drivers.relaying.channels import Endpoint
from tfd.protocol.drivers.relaying.driver import READING, UNWATCHED, Counts, Driver
from tfd.protocol.drivers.relaying.proxy_protocol import SocketAddress
from tfd.protocol.drivers.relaying.shared import Listener, Shared
from tfd.protocol.drivers.relaying.sockets import cookie, peer_name
from tfd.protocol.drivers.relaying.suspended import ConnectionState, ListenerState
from tfd.protocol.drivers.relaying.tickets import Ticket, TicketFailure
from tfd.protocol.errors import UsageError
from tfd.protocol.relay import NOTHING_YET, Relay, State
from tfd.protocol.route import Route

# The first tries are close together: a pooled connection that the location has just dropped costs no wait.
_RETRY_FIRST: Final = 0.02
_RETRY_LAST: Final = 1.0
_HOLD_MOST: Final = 86_400.0


class Connection(Driver):
    """One accepted connection. From `begin` or `go_on` to its end it works without being asked.

    Args:
        shared: the proxy's common parts.
        listener: the listener's settings when the connection was accepted.
        counts: the listener's counts.
        client: the accepted socket, non-blocking, with CLIENT_OPTIONS; this connection's from now on.
        peer: whom the client is connected from.
        greeting: what the container gets first (a PROXY header), or nothing.
        ended: called once, at the end.

    """

    __slots__ = (
        "_attempt",
        "_counts",
        "_ended",
        "_endpoint",
        "_greeting",
        "_listener",
        "_peer",
        "_replay",
        "_route",
        "_shared",
        "_trouble",
        "_until",
        "_wait",
    )

    def __init__(
        self,
        shared: Shared,
        listener: Listener,
        counts: Counts,
        client: socket.socket,
        peer: SocketAddress,
        greeting: bytes,
        ended: Callable[[], None],
    ) -> None:
        super().__init__(shared.loop, shared.buffer, counts.traffic, "the location")
        self._plain = client
        self._counts = counts
        self._shared = shared
        self._listener = listener
        self._ended = ended
        self._greeting = greeting
        self._peer = peer
        self._replay = NOTHING_YET
        self._route: Route | None = None
        self._endpoint: Endpoint | None = None
        self._attempt = 0
        self._trouble = ("no container", "no container serves it")
        self._wait: Timer | None = None
        counts.open += 1
        shared.connections.add(self)
        self._until = 0.0

    def begin(self) -> None:
        """Hold the client, and have it served."""
        self._hold(self._listener.connect_timeout)
        self._try()
        if self._relay is None:
            self._watch_for_reset()

    def _hold(self, seconds: float) -> None:
        self._counts.waiting += 1
        self._until = self._loop.now + seconds
        self._timer = self._loop.call_later(seconds, self._too_late)

    def _stop_holding(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._counts.waiting -= 1

    # From one process to the next.

    def suspend(self) -> tuple[ConnectionState, socket.socket, socket.socket | None] | None:
        """Give away the connection's state, its client's socket and its channel's; it does nothing any more.

        None, and it is reset, where there is nothing to go on with. Raises OSError for a broken socket.
        """
        client, channel, relay, listener = self._plain, self._channel, self._relay, self._listener
        if client is None or (relay is not None and relay.state is State.RESETTING):
            self.abort()
            return None
        numbers = cookie(client), cookie(channel) if channel is not None else None
        state = ConnectionState(
            ListenerState(listener.name, listener.container, listener.port, listener.connect_timeout),
            max(0.0, self._until - self._loop.now) if self._timer is not None else None,
            self._greeting,
            self._replay,
            self._route,
            self._trouble,
            self._endpoint if not self._channel_gone else None,
            self._plain_gone,
            self._bytes_in,
            self._bytes_out,
            relay.suspend() if relay is not None else None,
            *numbers,
        )
        self._watch_plain(UNWATCHED)
        self._watch_channel(UNWATCHED)
        self._plain = self._channel = None
        self._end()
        return state, client, channel

    def go_on(self, state: ConnectionState, channel: socket.socket | None) -> None:
        """Go on as the process before left it. Raises UsageError where nothing can be made of the state."""
        self._replay, self._trouble = state.replay, state.trouble
        self._plain_gone, self._endpoint = state.client_gone, state.endpoint
        self._bytes_in, self._bytes_out = state.bytes_in, state.bytes_out
        if state.relay is not None:
            if channel is None:
                raise UsageError("its channel has not come along")
            self._relay = Relay.resume(state.relay)
            self._channel = channel
            self._attempt = 1
            self._use(state.route)
        if state.remaining is not None or self._relay is None:
            self._hold(min(max(0.0, state.remaining or 0.0), _HOLD_MOST))
        if self._relay is None:
            self._try()
        else:
            self._settle()
        if self._relay is None:
            self._watch_for_reset()

    # Holding: from the accept to the container's answer.

    def route_found(self) -> None:
        """Go on: the container has a route now."""
        self._try()

    def _try(self) -> None:
        """Ask for a ticket along the container's route, or wait for a route."""
        shared = self._shared
        shared.routes.stop_waiting(self._listener.container, self)
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None
        self._use(shared.routes.get(self._listener.container))
        if self._route is None:
            shared.routes.wait(self._listener.container, self)
            return
        self._attempt += 1
        answer = partial(self._got_ticket, self._attempt)
        shared.tickets.take_ticket(self._route, self._listener.port, answer)

    def _use(self, route: Route | None) -> None:
        # The new one first: a drain must not see a moment without users of one and the same route.
        former, self._route = self._route, route
        if route is not None:
            self._shared.routes.join(route)
        if former is not None:
            self._shared.routes.leave(former)

    def _got_ticket(self, attempt: int, answer: Ticket | TicketFailure) -> None:
        if attempt != self._attempt:
            return
        if isinstance(answer, TicketFailure):
            self._failed("no ticket", answer.reason)
        else:
            endpoint = (answer.host, answer.port)
            self._shared.pool.take(endpoint, partial(self._got_channel, attempt, answer))

    def _got_channel(self, attempt: int, ticket: Ticket, channel: socket.socket | str) -> bool:
        if isinstance(channel, str):
            if attempt == self._attempt:
                self._failed("location unreachable", channel)
            return False
        if attempt != self._attempt:
            return False
        try:
            self._relay = Relay.open(ticket.id, ticket.key, ticket.cipher, self._greeting, self._replay)
        except UsageError as error:
            self._failed("no ticket", f"the location's ticket cannot be used: {error}")
            return False
        self._channel = channel
        self._channel_events = READ
        self._channel_gone = False
        self._loop.redirect(channel.fileno(), self._on_channel)
        self._endpoint = (ticket.host, ticket.port)
        if self._plain is not None and self._plain_events != UNWATCHED:
            self._loop.redirect(self._plain.fileno(), self._on_plain)
        if self._relay.takes_ahead:
            # What the client has said already goes with the opening: one packet wakes the other end once.
            self._read_plain(self._relay)
        self._flush_channel(self._relay)
        if self._relay.state is State.OPENING:
            self._watch_plain(READING)
        self._settle()
        return True

    def _watch_for_reset(self) -> None:
        """Watch the client for nothing but its reset: what it says waits in the kernel."""
        if self._plain is None:
            return
        if self._plain_events == UNWATCHED:
            self._loop.register(self._plain.fileno(), 0, self._on_reset)
        else:
            if self._plain_events:
                self._loop.modify(self._plain.fileno(), 0)
            self._loop.redirect(self._plain.fileno(), self._on_reset)
        self._plain_events = 0

    def _on_reset(self, events: int) -> None:
        client = self._plain
        assert client is not None
        if events & select.EPOLLERR or client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.abort()  # the client has gone
        else:
            # It has closed both ways (a Unix socket tells so); what it said is still to be read.
            self._watch_plain(UNWATCHED)

    def _failed(self, kind: str, reason: str) -> None:
        """Note why this attempt came to nothing, and make the next one soon, or at once on a new route."""
        self._trouble = (kind, reason)
        pause = min(_RETRY_FIRST * 2 ** min(self._attempt - 1, 10), _RETRY_LAST)
        self._wait = self._loop.call_later(pause, self._try)
        self._shared.routes.wait(self._listener.container, self)

    def _too_late(self) -> None:
        """Give up: `connect_timeout` is over."""
        listener = self._listener
        kind, reason = self._trouble
        if self._relay is not None:
            kind, reason = "no answer", "the location has not answered"
        self._counts.refused[kind] += 1
        self._shared.log.limited(
            f"refused, {kind}",
            logged.CONNECTION_REFUSED,
            f"{listener.name} refused a connection after {listener.connect_timeout:g} s: {reason}",
            listener=listener.name,
            container=listener.container,
            peer=peer_name(self._peer),
            reason=reason,
        )
        self._reset()

    def abort(self) -> None:
        """Reset the client and close the channel, whatever state they are in."""
        self._tell_end()
        self._reset()

    def _reset(self) -> None:
        self._close_plain(reset=True)
        self._end()

    # Relaying.

    def _answered(self) -> None:
        self._stop_holding()
        self._replay = NOTHING_YET

    def _unserved(self, relay: Relay) -> None:
        """Keep the client, drop the channel, and try once more."""
        kind = "container refused" if relay.state is State.REFUSED else "location unreachable"
        self._replay = relay.replay
        self._relay = None
        self._close_channel()
        self._watch_for_reset()
        self._failed(kind, relay.reason)

    def _lost(self, relay: Relay) -> None:
        self._shared.log.limited(
            "channel lost",
            logged.CHANNEL_LOST,
            f"a connection to {self._listener.name} was reset: {relay.reason}",
            reason=relay.reason,
            **self._fields(),
        )
        self._reset()

    def _tell_end(self) -> None:
        if not self._shared.log.takes(logged.CONNECTION_ENDED):
            return
        message = f"a connection to {self._listener.name} ended"
        self._shared.log.event(logged.CONNECTION_ENDED, message, **self._fields())

    def _fields(self) -> dict[str, Any]:
        """Tell of this connection for machines; bytes are the client's, as it said and heard them."""
        return {
            "listener": self._listener.name,
            "container": self._listener.container,
            "location": self._route.location if self._route else "",
            "peer": peer_name(self._peer),
            "bytes_in": self._bytes_in,
            "bytes_out": self._bytes_out,
        }

    def _finished(self, relay: Relay) -> None:
        """Close the client, and give the channel back if its next use is certain to be in step."""
        self._tell_end()
        channel, endpoint = self._channel, None if self._channel_gone else self._endpoint
        if channel is not None and endpoint is not None and relay.reusable and not relay.take_rest():
            self._watch_channel(READ)
            self._channel, self._channel_events = None, UNWATCHED
            self._shared.pool.put(endpoint, channel)
        self._close_plain(reset=False)
        self._end()

    def _end(self) -> None:
        """Leave everything that knows this connection. Both sockets are closed then."""
        self._close_plain(reset=True)
        self._close_channel()
        self._attempt = -1
        self._relay = None
        if self._wait is not None:
            self._wait.cancel()
        self._shared.routes.stop_waiting(self._listener.container, self)
        if self in self._shared.connections:
            self._stop_holding()
            self._shared.connections.discard(self)
            self._use(None)
            self._counts.open -= 1
            self._ended()
