"""The channel port: takes connections from anyone, and relays for those that present a ticket.

What strangers send is bounded before it is kept: a connection without a ticket is 20 bytes and a place in a
queue of 512.
"""

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Iterator, Set
from operator import attrgetter
from typing import Final

from tfd.protocol.channel import OPENING_SIZE, Bytes, ChannelError, parse_opening
from tfd.protocol.drivers.loop import READ, Loop, Timer
from tfd.protocol.drivers.relaying.driver import Traffic, new_buffer
from tfd.protocol.drivers.relaying.sockets import cookie
from tfd.protocol.drivers.systemd.listeners import KeptListeners
from tfd.protocol.liveness import CHANNEL_OPTIONS, CHECK_INTERVAL, CHECK_PARTS, Rounds
from tfd.protocol.relay import Relay, State
from tflocation.listening import listening_at
from tflocation.logs import RateLimited
from tflocation.relaying import OpenPipe, UsedChannel
from tflocation.suspended import SuspendedChannel, SuspendedNewcomer
from tflocation.tickets import Grant, PortTarget, Refusal, Tickets

TICKET_LIMIT: Final = 30.0
"""Seconds in which a connection must present a ticket."""

UNTICKETED_MOST: Final = 512
"""Connections without a ticket: beyond that, the oldest is dropped."""

_ACCEPTS_AT_ONCE: Final = 64
_PAUSE: Final = 0.5
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


Suspended = SuspendedChannel | SuspendedNewcomer


class ChannelServer:
    """The channel port and all channels of this location.

    Counters that it keeps: channels-carried (that have ended), channels-refused (by the container's port),
    channels-lost (without an end in order), bytes-from-containers and bytes-to-containers (over channels),
    strangers-dropped, tickets-unknown, -used, -expired.

    Args:
        loop: what runs it; asyncio's, too, for `start`.
        tickets: where tickets are redeemed; its times are the loop's.
        log: gets at most one line for each kind of trouble in 10 s.
        counters: counted up here, read by others.
        open_pipe: connects the channels whose tickets lead to pipes.

    """

    def __init__(
        self,
        loop: Loop,
        tickets: Tickets,
        log: logging.Logger,
        counters: Counter[str],
        open_pipe: OpenPipe,
    ) -> None:
        self._tickets = tickets
        self._log = RateLimited(log)
        self._loop = loop
        self._counters = counters
        self._open_pipe = open_pipe
        self._buffer = new_buffer()
        self._traffic = Traffic()
        self._listening: list[socket.socket] = []
        self._kept: KeptListeners | None = None
        self._names: list[str] = []
        self._unverified: set[UsedChannel] = set()
        self._verified = False
        self._unticketed: dict[socket.socket, _Unticketed] = {}
        self._channels: set[UsedChannel] = set()
        self._rounds: Rounds[UsedChannel] = Rounds()
        self._timer: Timer | None = None

    @property
    def open_channels(self) -> int:
        """Number of channels that carry a connection now."""
        return len(self._channels)

    @property
    def ports(self) -> list[int]:
        """The ports that the listening sockets have."""
        return [int(listening.getsockname()[1]) for listening in self._listening]

    async def start(self, host: str, port: int, kept: KeptListeners | None = None) -> None:
        """Listen on all addresses of `host`; an empty one is all of this machine. Raises OSError.

        With `kept`, the sockets outlive the process, and those of the process before are taken over.
        """
        self._kept = kept
        found = await asyncio.get_running_loop().getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                before = kept.find(family, address) if kept is not None else None
                listening = before.socket if before is not None else listening_at(family, address)
                self._listening.append(listening)
                if kept is not None:
                    self._names.append(before.name if before is not None else kept.keep(listening))
        except OSError:
            self._stop_listening()
            raise
        for listening in self._listening:
            self._watch(listening)
        self._timer = self._loop.call_later(CHECK_INTERVAL / CHECK_PARTS, self._check)

    def close_account(self, account: str) -> int:
        """Withdraw the account's tickets and reset its channels at once. Tells how many channels it had."""
        self._tickets.revoke(account)
        return self._abort([channel for channel in self._channels if channel.grant.account == account])

    def close_container(self, container: str) -> int:
        """Do the same for the ports of a container that is no more; its pipes end by themselves."""
        self._tickets.forget(container)
        return self._abort(
            [
                channel
                for channel in self._channels
                if channel.grant.container == container and isinstance(channel.grant.target, PortTarget)
            ]
        )

    def suspend(self) -> Iterator[tuple[Suspended, socket.socket | None, socket.socket]]:
        """Give away the channels to containers' ports, and who has presented no ticket; serve nobody.

        Each comes with the container's socket, where there is one, and the channel's. Those that have been
        silent longest come last, since there may not be room for all.
        """
        self._names.clear()
        self._stop_listening()
        for newcomer in list(self._unticketed.values()):
            self._loop.unregister(newcomer.connection.fileno())
            self.left(newcomer)
            state = SuspendedNewcomer(newcomer.opening, cookie(newcomer.connection))
            yield state, None, newcomer.connection
        for channel in sorted(self._channels, key=attrgetter("silence")):
            try:
                suspended = channel.suspend()
            except OSError:
                channel.abort()
                continue
            if suspended is not None:
                yield suspended

    def await_ticket(self, state: SuspendedNewcomer, connection: socket.socket) -> None:
        """Go on with a connection that had presented no ticket."""
        self._await_ticket(connection, state.opening, watched=False)

    def go_on(self, state: SuspendedChannel, plain: socket.socket, channel: socket.socket) -> None:
        """Go on with a channel of the process before. Raises UsageError where its state is none."""
        relay = Relay.resume(state.relay)
        grant = Grant(b"", b"", "", state.account, state.container, state.target, 0.0)
        used = self._use(grant, relay, channel, watched=False)
        self._unverified.add(used)
        used.go_on(plain, plain_gone=state.plain_gone)

    def verify(self, containers: Set[tuple[str, str]]) -> None:
        """End, once, what was taken over and leads to what went while no process was here.

        `containers` are those that there are, each with its account before it.
        """
        if self._verified:
            return
        self._verified = True

        def is_gone(grant: Grant) -> bool:
            return (grant.account, grant.container) not in containers

        self._tickets.withdraw(is_gone)
        self._abort([channel for channel in self._unverified if is_gone(channel.grant)])
        self._unverified.clear()

    def close(self) -> None:
        """Stop listening and reset all channels."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stop_listening()
        for newcomer in list(self._unticketed.values()):
            newcomer.close()
        self._abort(list(self._channels))

    def _abort(self, channels: list[UsedChannel]) -> int:
        for channel in channels:
            channel.abort()
        return len(channels)

    def _stop_listening(self) -> None:
        for listening in self._listening:
            self._loop.unregister(listening.fileno())
            listening.close()
        for name in self._names:
            assert self._kept is not None
            self._kept.forget(name)
        self._listening, self._names = [], []

    def _watch(self, listening: socket.socket) -> None:
        self._loop.register(listening.fileno(), READ, lambda _events: self._accept(listening))

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                connection, _ = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(listening, error)
                    return
                continue  # that one connection went away before it was accepted (accept(2))
            connection.setblocking(False)
            try:
                for option in CHANNEL_OPTIONS:
                    connection.setsockopt(*option)
            except OSError:
                connection.close()
                continue
            self._await_ticket(connection, b"", watched=False)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """Leave connections in the backlog: without descriptors the loop would be told of them for ever."""
        self._loop.unregister(listening.fileno())

        def resume() -> None:
            if listening in self._listening:
                self._watch(listening)

        self._loop.call_later(_PAUSE, resume)
        self._log.warning("accept", f"the channel port accepts nothing for {_PAUSE} s: {error.strerror}")

    def _await_ticket(self, connection: socket.socket, begun: bytes, *, watched: bool) -> None:
        if len(self._unticketed) >= UNTICKETED_MOST:
            self._drop(next(iter(self._unticketed.values())), "too many connections without a ticket")
        newcomer = self._unticketed[connection] = _Unticketed(self, connection, self._loop, self._buffer)
        if watched:
            self._loop.redirect(connection.fileno(), newcomer.ready)
        else:
            self._loop.register(connection.fileno(), READ, newcomer.ready)
        if begun:
            newcomer.take(begun)

    def _drop(self, newcomer: "_Unticketed", why: str) -> None:
        self._counters["strangers-dropped"] += 1
        message = f"a connection to the channel port was dropped: {why}"
        self._log.warning("strangers", message, peer=newcomer.peer)
        newcomer.close()

    # What the newcomers tell.

    def left(self, newcomer: "_Unticketed") -> None:
        """Forget a connection that is closed or has presented a ticket."""
        self._unticketed.pop(newcomer.connection, None)

    def presented(self, newcomer: "_Unticketed", opening: bytes, rest: Bytes) -> None:
        """Take the first bytes of a channel, and what was read after them."""
        try:
            ticket = parse_opening(opening)
        except ChannelError as error:
            self._drop(newcomer, str(error))
            return
        answer = self._tickets.redeem(ticket, self._loop.now)
        if isinstance(answer, Refusal):
            self._counters[f"tickets-{answer.name.lower()}"] += 1
            self._log.warning(
                f"ticket {answer}", f"a ticket was presented that is {answer}", peer=newcomer.peer
            )
            newcomer.close()
            return
        self.left(newcomer)
        relay = Relay.answer(answer.key, answer.cipher)
        self._use(answer, relay, newcomer.connection, watched=True).start(rest)

    def _use(self, grant: Grant, relay: Relay, connection: socket.socket, *, watched: bool) -> UsedChannel:
        channel = UsedChannel(
            self._loop,
            self._buffer,
            self._traffic,
            grant,
            relay,
            connection,
            self._open_pipe,
            self._ended,
            watched=watched,
        )
        self._channels.add(channel)
        return channel

    def _ended(self, channel: UsedChannel, reusable: socket.socket | None) -> None:
        self._channels.discard(channel)
        self._unverified.discard(channel)
        relay, grant = channel.relay, channel.grant
        if relay.state is State.REFUSED:
            self._counters["channels-refused"] += 1
        else:
            self._counters["channels-carried"] += 1
        if relay.state in (State.ABORTED, State.UNANSWERED) and relay.reason:
            self._counters["channels-lost"] += 1
            message = f"a channel was lost: {relay.reason}"
            self._log.warning("lost", message, account=grant.account, container=grant.container)
        if reusable is not None:
            if self._listening:
                self._await_ticket(reusable, relay.take_rest(), watched=True)
            else:
                self._loop.forget(reusable.fileno())
                reusable.close()

    def _check(self) -> None:
        """Drop who has not presented a ticket in time, and channels whose peer is gone; tell the bytes."""
        now = self._loop.now
        for newcomer in list(self._unticketed.values()):
            if now < newcomer.until:
                break
            self._drop(newcomer, f"no ticket within {TICKET_LIMIT:g} s")
        self._tickets.expire(now)
        for channel in self._rounds.part(self._channels):
            channel.check_alive()
        self._counters["bytes-from-containers"] = self._traffic.bytes_in
        self._counters["bytes-to-containers"] = self._traffic.bytes_out
        self._timer = self._loop.call_later(CHECK_INTERVAL / CHECK_PARTS, self._check)


class _Unticketed:
    """A connection that has not presented a ticket yet. The loop watches it for READ."""

    __slots__ = ("_buffer", "_loop", "_server", "connection", "opening", "until")

    def __init__(
        self, server: ChannelServer, connection: socket.socket, loop: Loop, buffer: memoryview
    ) -> None:
        self.connection = connection
        self.until = loop.now + TICKET_LIMIT
        self.opening = b""
        self._server = server
        self._loop = loop
        self._buffer = buffer

    @property
    def peer(self) -> str:
        """Who it is, for the log."""
        try:
            host, port, *_ = self.connection.getpeername()
        except OSError:
            return "unknown"
        return f"{host} port {port}"

    def close(self) -> None:
        """Close it."""
        self._loop.forget(self.connection.fileno())
        self._server.left(self)
        self.connection.close()

    def ready(self, _events: int) -> None:
        """Read what there is."""
        try:
            count = self.connection.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if count:
            self.take(self._buffer[:count])
        else:
            self.close()

    def take(self, data: Bytes) -> None:
        """Take the next bytes. No byte more than the opening is kept: what follows is the channel's."""
        lacking = OPENING_SIZE - len(self.opening)
        self.opening += bytes(data[:lacking])
        if len(self.opening) == OPENING_SIZE:
            self._server.presented(self, self.opening, data[lacking:])
