"""Moving bytes between two sockets and a `Relay`: the part of a connection that is the same all its life.

Both ends run it: at tfd the plain socket is the client's, at the location that of the container's port.
"""

import contextlib
import socket
from collections import Counter
from collections.abc import Callable
from typing import Final

from tfd.protocol.channel import MAX_FRAME
from tfd.protocol.dataclass import dataclass, field
from tfd.protocol.drivers.loop import BROKEN, ENDING, READ, WRITE, Loop, Timer
from tfd.protocol.drivers.relaying.sockets import close, send_some, silence_of
from tfd.protocol.liveness import INFO_SIZE, SILENCE, is_dead
from tfd.protocol.relay import READ_SIZE, Relay, State

UNWATCHED: Final = -1
"""In place of a socket's events: the loop does not know the socket."""

READING: Final = READ | ENDING
"""What the loop watches a plain socket for that is read."""


@dataclass(slots=True)
class Traffic:
    """Bytes that came from, and went to, the plain sockets of all drivers that share this."""

    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(slots=True)
class Counts:
    """What one listener did so far. `open` and `waiting` are connections now."""

    open: int = 0
    waiting: int = 0
    accepted: int = 0
    traffic: Traffic = field(default_factory=Traffic)
    refused: Counter[str] = field(default_factory=Counter)


def new_buffer() -> memoryview:
    """Give a buffer for all drivers of a loop: two frames, so that one read completes what another cut."""
    return memoryview(bytearray(2 * MAX_FRAME))


class Driver:
    """The two sockets of one connection: the plain one, and the channel's, while they are there.

    The loop calls `_on_plain` and `_on_channel`; they read and write as the relay wants, and `_settle` does
    what follows. How a connection begins and ends is its subclass's, which is told by `_answered`,
    `_unserved`, `_lost` and `_finished`. Sockets are non-blocking.

    Args:
        loop: what watches the sockets.
        buffer: see `new_buffer`.
        traffic: where this one's bytes are counted, beside others'.
        far_end: what is at the channel's other end, for people.

    """

    __slots__ = (
        "_buffer",
        "_bytes_in",
        "_bytes_out",
        "_channel",
        "_channel_events",
        "_channel_gone",
        "_far_end",
        "_loop",
        "_plain",
        "_plain_events",
        "_plain_gone",
        "_relay",
        "_timer",
        "_traffic",
    )

    def __init__(self, loop: Loop, buffer: memoryview, traffic: Traffic, far_end: str) -> None:
        self._loop = loop
        # One for all: what was read from a channel is taken apart before the next read.
        self._buffer = buffer
        self._traffic = traffic
        self._far_end = far_end
        self._bytes_in = self._bytes_out = 0
        self._plain: socket.socket | None = None
        self._plain_events = UNWATCHED
        self._plain_gone = False
        self._channel: socket.socket | None = None
        self._channel_events = UNWATCHED
        self._channel_gone = False
        self._relay: Relay | None = None
        # For how long the answer may take; None once it is there.
        self._timer: Timer | None = None

    @property
    def queued_to_plain(self) -> int:
        """Bytes that the plain side has not taken yet."""
        return sum(map(len, self._relay.to_plain)) if self._relay is not None else 0

    @property
    def queued_to_channel(self) -> int:
        """Bytes that the channel has not taken yet."""
        return sum(map(len, self._relay.to_channel)) if self._relay is not None else 0

    @property
    def silence(self) -> float:
        """Seconds since its last byte; 0 while bytes wait for a reader."""
        if self.queued_to_plain or self.queued_to_channel:
            return 0.0
        return silence_of(self._plain, self._channel)

    def check_alive(self) -> None:
        """Give the channel up if its peer has been gone for a while: TCP alone would take 15 minutes."""
        if self._channel is not None and self._relay is not None:
            info = self._channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)
            if is_dead(info):
                self._relay.channel_lost(f"{self._far_end} has been silent for {SILENCE:g} s")
                self._settle()

    # What subclasses are told.

    def _answered(self) -> None:
        """Take the time limit off: what follows lasts as long as the two ends want."""
        raise NotImplementedError

    def _unserved(self, relay: Relay) -> None:
        """Go on after REFUSED or UNANSWERED."""
        raise NotImplementedError

    def _lost(self, relay: Relay) -> None:
        """End the plain side by a reset, and the channel's connection."""
        raise NotImplementedError

    def _finished(self, relay: Relay) -> None:
        """Close the plain side in order; the channel's connection may be `relay.reusable`."""
        raise NotImplementedError

    # What the loop tells.

    def _on_plain(self, events: int) -> None:
        relay = self._relay
        assert relay is not None
        if relay.to_plain:
            self._flush_plain(relay)
        if relay.wants_plain and events & (READ | BROKEN):
            if self._read_plain(relay) and events & ENDING:
                # Its end has come as well, and goes along with the last bytes.
                self._read_plain(relay)
            self._flush_channel(relay)
        elif events & READ and relay.state is State.OPENING:
            self._watch_plain(0)
        if events & BROKEN and not relay.wants_plain and not relay.to_plain:
            self._watch_plain(UNWATCHED)
        self._settle()

    def _on_channel(self, events: int) -> None:
        relay = self._relay
        assert relay is not None
        if relay.to_channel:
            self._flush_channel(relay)
        if relay.wants_channel and events & (READ | BROKEN):
            self._read_channel(relay)
        elif events & BROKEN and not relay.wants_channel and not relay.to_channel:
            self._watch_channel(UNWATCHED)
        self._settle()

    # Bytes.

    def _read_plain(self, relay: Relay) -> bool:
        """Read once; whether bytes came, and all that there were."""
        assert self._plain is not None
        try:
            data = self._plain.recv(READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            relay.plain_reset()
            return False
        count = len(data)
        if count:
            self._traffic.bytes_in += count
            self._bytes_in += count
            relay.plain_received(data)
        elif self._plain_gone:
            relay.plain_reset()
        else:
            relay.plain_ended()
        return 0 < count < READ_SIZE

    def _read_channel(self, relay: Relay) -> None:
        """Read once; on a failure or an end, the relay knows."""
        assert self._channel is not None
        buffer = self._buffer
        try:
            count = self._channel.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError as error:
            relay.channel_lost(error.strerror or str(error))
            return
        if count:
            relay.channel_received(buffer[:count])
            if relay.to_plain:
                self._flush_plain(relay)
        else:
            relay.channel_lost("the channel's connection ended without an END")

    def _flush_plain(self, relay: Relay) -> None:
        if self._plain is None:
            return  # a container's port that has not answered: what came ahead is kept
        try:
            count = send_some(self._plain, relay.to_plain)
        except BlockingIOError:
            return
        except OSError:
            # It has gone, but its last words may still wait to be read: its reset comes after them.
            relay.to_plain.clear()
            if relay.plain_is_open:
                self._plain_gone = True
            else:
                relay.plain_reset()
                self._flush_channel(relay)
            return
        self._traffic.bytes_out += count
        self._bytes_out += count
        relay.plain_sent(count)

    def _flush_channel(self, relay: Relay) -> None:
        if not relay.to_channel:
            return
        assert self._channel is not None
        try:
            count = send_some(self._channel, relay.to_channel)
        except BlockingIOError:
            return
        except OSError:
            # It is dead, but the other end's last frames may still wait to be read: a refusal, the end.
            relay.to_channel.clear()
            self._channel_gone = True
            return
        relay.channel_sent(count)

    # What follows.

    def _settle(self) -> None:
        """Do what the relay asks for now, and watch the sockets for what it needs next."""
        relay = self._relay
        if relay is None:
            return
        reading = self._plain_events == READING and self._channel_events == READ
        if reading and relay.flows and self._timer is None:
            return
        if relay.state is State.REFUSED or relay.state is State.UNANSWERED:
            self._unserved(relay)
            return
        if relay.must_reset_plain:
            if relay.to_plain:
                self._flush_plain(relay)
            self._lost(relay)
            return
        if self._timer is not None and not relay.is_opening:
            self._answered()
        if relay.state is State.RESETTING:
            self._close_plain(reset=True)
        elif relay.must_shut_plain:
            self._shut_plain(relay)
        if relay.done:
            self._finished(relay)
        else:
            self._watch_both(relay)

    def _watch_both(self, relay: Relay) -> None:
        plain_events = (READING if relay.wants_plain else 0) | (WRITE if relay.to_plain else 0)
        # Until there is an answer one read is taken ahead. Mostly the client says no more: the watch is left.
        if plain_events or relay.state is not State.OPENING:
            self._watch_plain(plain_events)
        self._watch_channel((READ if relay.wants_channel else 0) | (WRITE if relay.to_channel else 0))

    def _watch_plain(self, events: int) -> None:
        if self._plain is not None:
            self._plain_events = self._watch(self._plain, self._plain_events, events, self._on_plain)

    def _watch_channel(self, events: int) -> None:
        if self._channel is not None:
            self._channel_events = self._watch(self._channel, self._channel_events, events, self._on_channel)

    def _watch(self, which: socket.socket, present: int, events: int, callback: Callable[[int], None]) -> int:
        """Have the loop watch for `events`, and give what it watches for then.

        A broken socket of which nothing is wanted is left unwatched until something is: epoll cannot be told
        to be silent about it.
        """
        if events == present or (events == 0 and present == UNWATCHED):
            return present
        loop = self._loop
        if events == UNWATCHED:
            loop.unregister(which.fileno())
        elif present == UNWATCHED:
            loop.register(which.fileno(), events, callback)
        else:
            loop.modify(which.fileno(), events)
        return events

    def _shut_plain(self, relay: Relay) -> None:
        """Tell the plain side that no more comes."""
        relay.plain_was_shut()
        # Where both have ended, closing it says so.
        if self._plain is not None and not relay.done:
            with contextlib.suppress(OSError):  # reset meanwhile: reading it tells
                self._plain.shutdown(socket.SHUT_WR)

    def _close_plain(self, *, reset: bool) -> None:
        if self._plain is not None:
            self._loop.forget(self._plain.fileno())
            self._plain_events = UNWATCHED
            close(self._plain, reset=reset)
            self._plain = None

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._loop.forget(self._channel.fileno())
            self._channel_events = UNWATCHED
            self._channel.close()
            self._channel = None
