"""One client's connection: held until its container can be had, then relayed over a channel.

It keeps trying, with a new ticket each time, until the container's port has answered or the listener's
`connect_timeout` is over; the client notices nothing.
"""

import contextlib
import select
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tfd.protocol import logged
from tfd.protocol.drivers.loop import BROKEN, READ, WRITE, Timer
from tfd.protocol.drivers.relaying.driver import UNWATCHED, Counts, Driver
from tfd.protocol.drivers.relaying.proxy_protocol import SocketAddress
from tfd.protocol.drivers.relaying.shared import Listener, Shared
from tfd.protocol.drivers.relaying.sockets import cookie, peer_name, send_some, silence_of
from tfd.protocol.drivers.relaying.suspended import ConnectionState, ListenerState
from tfd.protocol.drivers.relaying.tickets import Ticket, TicketFailure
from tfd.protocol.errors import UsageError
from tfd.protocol.liveness import INFO_SIZE, SILENCE, is_dead
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
        "_ended",
        "_greeting",
        "_listener",
        "_peer",
        "_replay",
        "_route",
        "_shared",
        "_timer",
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
        super().__init__(shared.loop, shared.buffer, counts, client)
        self._shared = shared
        self._listener = listener
        self._ended = ended
        self._greeting = greeting
        self._peer = peer
        self._replay = NOTHING_YET
        self._route: Route | None = None
        self._attempt = 0
        self._trouble = ("no container", "no container serves it")
        self._wait: Timer | None = None
        counts.open += 1
        shared.connections.add(self)
        self._timer: Timer | None = None
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

    # From one process to the next.

    @property
    def silence(self) -> float:
        """Seconds since its last byte; 0 while bytes wait for a reader."""
        if self.queued_to_client or self.queued_to_channel:
            return 0.0
        return silence_of(self._client, self._channel)

    def suspend(self) -> tuple[ConnectionState, socket.socket, socket.socket | None] | None:
        """Give away the connection's state, its client's socket and its channel's; it does nothing any more.

        None, and it is reset, where there is nothing to go on with. Raises OSError for a broken socket.
        """
        client, channel, relay, listener = self._client, self._channel, self._relay, self._listener
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
            self._endpoint,
            self._client_gone,
            self._bytes_in,
            self._bytes_out,
            relay.suspend() if relay is not None else None,
            *numbers,
        )
        self._watch_client(UNWATCHED)
        self._watch_channel(UNWATCHED)
        self._client = self._channel = None
        self._end()
        return state, client, channel

    def go_on(self, state: ConnectionState, channel: socket.socket | None) -> None:
        """Go on as the process before left it. Raises UsageError where nothing can be made of the state."""
        self._replay, self._trouble = state.replay, state.trouble
        self._client_gone, self._endpoint = state.client_gone, state.endpoint
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
        self._loop.redirect(channel.fileno(), self._on_channel)
        self._endpoint = (ticket.host, ticket.port)
        if self._relay.takes_ahead:
            # What the client has said already goes with the opening: one packet wakes the other end once.
            self._read_client()
        self._flush_channel()
        if self._relay.state is State.OPENING:
            self._watch_client(READ)
        self._settle()
        return True

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
        self._close_client(reset=True)
        self._end()

    # Relaying.

    def check_alive(self) -> None:
        """Give the channel up if its peer has been gone for a while: TCP alone would take 15 minutes."""
        if self._channel is not None and self._relay is not None:
            info = self._channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)
            if is_dead(info):
                self._relay.channel_lost(f"the location has been silent for {SILENCE:g} s")
                self._settle()

    def _on_client(self, events: int) -> None:
        relay = self._relay
        client = self._client
        assert client is not None
        if relay is None:
            if events & select.EPOLLERR or client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.abort()  # the client has gone
            else:
                # It has closed both ways (a Unix socket tells so); what it said is still to be read.
                self._watch_client(UNWATCHED)
            return
        if relay.to_plain:
            self._flush_client()
        if relay.wants_plain and events & (READ | BROKEN):
            self._read_client()
        elif events & READ and relay.state is State.OPENING:
            self._watch_client(0)
        if events & BROKEN and not relay.wants_plain and not relay.to_plain:
            self._watch_client(UNWATCHED)
        self._settle()

    def _settle(self) -> None:
        """Do what the relay asks for now, and watch the sockets for what it needs next."""
        relay = self._relay
        if relay is None:
            return
        if relay.flows and self._timer is None and self._client_events == self._channel_events == READ:
            return
        if relay.state is State.REFUSED or relay.state is State.UNANSWERED:
            self._again(relay)
            return
        if relay.must_reset_plain:
            self._channel_lost(relay)
            return
        if not relay.is_opening:
            self._answered()
        if relay.state is State.RESETTING:
            self._close_client(reset=True)
        elif relay.must_shut_plain:
            self._shut_client(relay)
        if relay.done:
            self._finished(relay)
            return
        client_events = (READ if relay.wants_plain else 0) | (WRITE if relay.to_plain else 0)
        # Until there is an answer one read is taken ahead. Mostly the client says no more: the watch is left.
        if client_events or relay.state is not State.OPENING:
            self._watch_client(client_events)
        self._watch_channel((READ if relay.wants_channel else 0) | (WRITE if relay.to_channel else 0))

    def _answered(self) -> None:
        """Take the time limit off: what follows lasts as long as the two ends want."""
        if self._timer is not None:
            self._stop_timer(self._timer)
            self._replay = NOTHING_YET

    def _stop_timer(self, timer: Timer) -> None:
        timer.cancel()
        self._timer = None
        self._counts.waiting -= 1

    def _again(self, relay: Relay) -> None:
        """Keep the client, drop the channel, and try once more."""
        kind = "container refused" if relay.state is State.REFUSED else "location unreachable"
        self._replay = relay.replay
        self._relay = None
        self._close_channel()
        self._watch_for_reset()
        self._failed(kind, relay.reason)

    def _channel_lost(self, relay: Relay) -> None:
        assert self._client is not None
        if relay.to_plain:
            with contextlib.suppress(OSError):
                count = send_some(self._client, relay.to_plain)
                self._counts.bytes_out += count
                self._bytes_out += count
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
        channel, endpoint = self._channel, self._endpoint
        if channel is not None and endpoint is not None and relay.reusable and not relay.take_rest():
            self._watch_channel(READ)
            self._channel, self._channel_events = None, UNWATCHED
            self._shared.pool.put(endpoint, channel)
        self._close_client(reset=False)
        self._end()

    def _end(self) -> None:
        """Leave everything that knows this connection. Both sockets are closed then."""
        self._close_client(reset=True)
        self._close_channel()
        self._attempt = -1
        self._relay = None
        if self._wait is not None:
            self._wait.cancel()
        self._shared.routes.stop_waiting(self._listener.container, self)
        if self in self._shared.connections:
            if self._timer is not None:
                self._stop_timer(self._timer)
            self._shared.connections.discard(self)
            self._use(None)
            self._counts.open -= 1
            self._ended()
