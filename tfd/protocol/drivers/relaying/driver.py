"""Moving bytes between two sockets and a `Relay`: the part of a connection that is the same all its life."""

import contextlib
import socket
from collections import Counter
from collections.abc import Callable
from typing import Final

from tfd.protocol.channel import MAX_FRAME
from tfd.protocol.dataclass import dataclass, field
from tfd.protocol.drivers.loop import BROKEN, READ, Loop
from tfd.protocol.drivers.relaying.channels import Endpoint
from tfd.protocol.drivers.relaying.sockets import close, send_some
from tfd.protocol.relay import READ_SIZE, Relay

UNWATCHED: Final = -1
"""In place of a socket's events: the loop does not know the socket."""


@dataclass(slots=True)
class Counts:
    """What one listener did so far. `open` and `waiting` are connections now."""

    open: int = 0
    waiting: int = 0
    accepted: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def new_buffer() -> memoryview:
    """Give a buffer for all drivers of a loop: two frames, so that one read completes what another cut."""
    return memoryview(bytearray(2 * MAX_FRAME))


class Driver:
    """The two sockets of one connection: the client's, and the channel's while there is one.

    It reads and writes as its relay wants; what follows from that is its subclass's, in `_on_client` and
    `_settle`. Sockets are non-blocking; `_client` and `_channel` are None once they are closed.
    """

    __slots__ = (
        "_buffer",
        "_bytes_in",
        "_bytes_out",
        "_channel",
        "_channel_events",
        "_client",
        "_client_events",
        "_client_gone",
        "_counts",
        "_endpoint",
        "_loop",
        "_relay",
    )

    def __init__(self, loop: Loop, buffer: memoryview, counts: Counts, client: socket.socket) -> None:
        self._loop = loop
        # One for all: what was read from a channel is taken apart before the next read.
        self._buffer = buffer
        self._counts = counts
        self._bytes_in = self._bytes_out = 0
        self._client: socket.socket | None = client
        self._client_events = UNWATCHED
        self._client_gone = False
        self._channel: socket.socket | None = None
        self._channel_events = UNWATCHED
        self._endpoint: Endpoint | None = None
        self._relay: Relay | None = None

    @property
    def queued_to_client(self) -> int:
        """Bytes that the client has not taken yet."""
        return sum(map(len, self._relay.to_plain)) if self._relay is not None else 0

    @property
    def queued_to_channel(self) -> int:
        """Bytes that the channel has not taken yet."""
        return sum(map(len, self._relay.to_channel)) if self._relay is not None else 0

    def _on_client(self, events: int) -> None:
        """Take the loop's events of the client's socket."""
        raise NotImplementedError

    def _settle(self) -> None:
        """Do what the relay asks for now, and watch the sockets for what it needs next."""
        raise NotImplementedError

    def _on_channel(self, events: int) -> None:
        relay = self._relay
        assert relay is not None
        if relay.to_channel:
            self._flush_channel()
        if relay.wants_channel and events & (READ | BROKEN):
            self._read_channel()
        elif events & BROKEN and not relay.wants_channel and not relay.to_channel:
            self._watch_channel(UNWATCHED)
        self._settle()

    def _read_client(self) -> None:
        assert self._client is not None
        assert self._relay is not None
        try:
            data = self._client.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            self._relay.plain_reset()
        else:
            if data:
                self._counts.bytes_in += len(data)
                self._bytes_in += len(data)
                self._relay.plain_received(data)
            elif self._client_gone:
                self._relay.plain_reset()
            else:
                self._relay.plain_ended()
        self._flush_channel()

    def _read_channel(self) -> None:
        """Read once; on a failure or an end, the relay knows."""
        assert self._channel is not None
        assert self._relay is not None
        buffer = self._buffer
        try:
            count = self._channel.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self._relay.channel_lost(error.strerror or str(error))
            return
        if count:
            self._relay.channel_received(buffer[:count])
            if self._relay.to_plain:
                self._flush_client()
        else:
            self._relay.channel_lost("the channel's connection ended without an END")

    def _flush_client(self) -> None:
        relay = self._relay
        assert relay is not None
        assert self._client is not None
        try:
            count = send_some(self._client, relay.to_plain)
        except BlockingIOError:
            return
        except OSError:
            # It has gone, but its last words may still wait to be read: its reset comes after them.
            relay.to_plain.clear()
            if relay.plain_is_open:
                self._client_gone = True
            else:
                relay.plain_reset()
            return
        self._counts.bytes_out += count
        self._bytes_out += count
        relay.plain_sent(count)

    def _flush_channel(self) -> None:
        relay = self._relay
        assert relay is not None
        assert self._channel is not None
        if not relay.to_channel:
            return
        try:
            count = send_some(self._channel, relay.to_channel)
        except BlockingIOError:
            return
        except OSError:
            # It is dead, but the location's last frames may still wait to be read: a refusal, the end.
            relay.to_channel.clear()
            self._endpoint = None
            return
        relay.channel_sent(count)

    def _watch_for_reset(self) -> None:
        """Watch the client for nothing but its reset: what it says waits in the kernel."""
        if self._client is not None:
            if self._client_events == UNWATCHED:
                self._loop.register(self._client.fileno(), 0, self._on_client)
            elif self._client_events:
                self._loop.modify(self._client.fileno(), 0)
            self._client_events = 0

    def _watch_client(self, events: int) -> None:
        if self._client is not None:
            self._client_events = self._watch(self._client, self._client_events, events, self._on_client)

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

    def _shut_client(self, relay: Relay) -> None:
        """Tell the client that no more comes."""
        relay.plain_was_shut()
        # Where both have ended, closing it says so.
        if self._client is not None and not relay.done:
            with contextlib.suppress(OSError):  # reset meanwhile: reading it tells
                self._client.shutdown(socket.SHUT_WR)

    def _close_client(self, *, reset: bool) -> None:
        if self._client is not None:
            self._loop.forget(self._client.fileno())
            self._client_events = UNWATCHED
            close(self._client, reset=reset)
            self._client = None

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._loop.forget(self._channel.fileno())
            self._channel_events = UNWATCHED
            self._channel.close()
            self._channel = None
