"""One channel that carries a pipe: from a ticket to the loss of the channel or the pipe's end.

It moves bytes and judges nothing: what a lost channel means is its owner's affair.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tfd.protocol.channel import MAX_PAYLOAD, Channel, ChannelError, Frame, FrameType, Role, opening
from tfd.protocol.drivers.loop import BROKEN, READ, WRITE, Loop, Timer
from tfd.protocol.drivers.relaying.channels import ChannelPool
from tfd.protocol.drivers.relaying.sockets import send_some
from tfd.protocol.drivers.relaying.tickets import Ticket
from tfd.protocol.errors import ProtocolError, UsageError
from tfd.protocol.liveness import INFO_SIZE, SILENCE, is_dead
from tfd.protocol.pipe import Piece, Pipe

FAREWELL: Final = 5.0
"""Seconds for the location to end its direction too, so that the connection can be used again."""

OPEN_LIMIT: Final = 15.0
"""Seconds from the ticket to the location's answer on the channel."""


@dataclass(frozen=True, slots=True)
class Carriage:
    """What all attachments of one connection share: `buffer` is read into, `open` are all of them."""

    loop: Loop
    pool: ChannelPool
    buffer: memoryview
    open: "set[Attachment]"


class Attachment:
    """One channel for one pipe. It works from its creation until `lost` or `ended` is called, once.

    Args:
        carriage: the shared parts; everything happens in its loop's thread.
        ticket: the right to this channel.
        pipe: what is carried; it is attached when the channel is there, and detached by the owner.
        received: gets the pieces of one read.
        lost: told why there is no channel any more.
        ended: told that the pipe is over and the location knows it.

    """

    def __init__(
        self,
        carriage: Carriage,
        ticket: Ticket,
        pipe: Pipe,
        *,
        received: Callable[[list[Piece]], None],
        lost: Callable[[str], None],
        ended: Callable[[], None],
    ) -> None:
        self.opened = False
        """Whether the location has answered on the channel."""
        self._carriage = carriage
        self._loop = carriage.loop
        self._pool = carriage.pool
        self._buffer = carriage.buffer
        self._ticket = ticket
        self._pipe = pipe
        self._received = received
        self._lost = lost
        self._ended = ended
        self._socket: socket.socket | None = None
        self._events = 0
        self._channel: Channel | None = None
        self._to_channel: list[bytes | memoryview] = []
        self._ending = False
        self._left = False
        """Whether the location ended the channel before we did."""
        self._closed = False
        self._limit: Timer | None = self._loop.call_later(
            OPEN_LIMIT, lambda: self._fail(f"no answer on the channel within {OPEN_LIMIT:g} s")
        )
        carriage.open.add(self)
        self._pool.take((ticket.host, ticket.port), self._got_connection)

    def flush(self) -> None:
        """Send what the pipe has to send, as far as the connection takes it."""
        connection, channel = self._socket, self._channel
        if connection is None or channel is None:
            return
        while not self._closed:
            if not self._to_channel:
                self._take_outgoing(channel)
                if not self._to_channel:
                    break
            try:
                sent = send_some(connection, self._to_channel)
            except BlockingIOError:
                break
            except OSError as error:
                self._fail(error.strerror or str(error))
                return
            _drop(self._to_channel, sent)
        self._watch()

    def check_alive(self) -> None:
        """Give the channel up if its peer has been gone for a while (see tfd.protocol.liveness)."""
        if self._socket is not None:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)
            if is_dead(info):
                self._fail(f"the location has been silent for {SILENCE:g} s")

    def leave(self) -> None:
        """Give the channel up in order; nothing is told any more but `ended`."""
        if self._closed or self._ending:
            return
        if self._channel is None or not self.opened:
            self._fail("it was given up")
            return
        self._end(self._channel)
        self.flush()

    def close(self) -> None:
        """Drop the channel; nothing is told any more."""
        self._close()
        self._stop_timer()
        connection, self._socket = self._socket, None
        if connection is not None:
            self._loop.forget(connection.fileno())
            connection.close()

    def _got_connection(self, connection: socket.socket | str) -> bool:
        if self._closed:
            return False
        if isinstance(connection, str):
            self._fail(connection)
            return False
        ticket = self._ticket
        try:
            self._channel = Channel(Role.OPENER, ticket.key, ticket.cipher)
            self._to_channel = [opening(ticket.id)]
        except UsageError as error:
            self._fail(f"the location's ticket cannot be used: {error}")
            return False
        self._socket = connection
        self._events = READ
        self._loop.redirect(connection.fileno(), self._ready)
        self._pipe.attach()
        self.flush()
        return True

    def _take_outgoing(self, channel: Channel) -> None:
        if self._ending:
            return
        data = memoryview(self._pipe.outgoing())
        for start in range(0, len(data), MAX_PAYLOAD):
            self._to_channel.append(channel.seal(FrameType.DATA, bytes(data[start : start + MAX_PAYLOAD])))
        if self._pipe.over:
            self._end(channel)

    def _end(self, channel: Channel) -> None:
        self._ending = True
        self._to_channel.append(channel.seal(FrameType.END))
        self._stop_timer()
        self._limit = self._loop.call_later(FAREWELL, self._finish)

    def _watch(self) -> None:
        if self._socket is None:
            return
        events = READ | (WRITE if self._to_channel else 0)
        if events != self._events:
            self._events = events
            self._loop.modify(self._socket.fileno(), events)

    def _ready(self, events: int) -> None:
        if events & (READ | BROKEN):
            self._read()
        if not self._closed:
            self.flush()
        if not self._closed and not self._to_channel and self._channel is not None and self._channel.ended:
            self._finish()

    def _read(self) -> None:
        assert self._socket is not None
        assert self._channel is not None
        try:
            count = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error.strerror or str(error))
            return
        if not count:
            self._fail("the channel's connection ended")
            return
        try:
            frames = self._channel.receive(self._buffer[:count])
            pieces = self._pieces(frames)
        except ChannelError as error:
            self._fail(str(error))
            return
        except ProtocolError as error:
            self._fail(f"the location's bytes are not a pipe's: {error}")
            return
        # Without pieces too: an acknowledgement makes room.
        self._received(pieces)

    def _pieces(self, frames: list[Frame]) -> list[Piece]:
        pieces: list[Piece] = []
        assert self._channel is not None
        for frame in frames:
            if frame.type is FrameType.DATA:
                pieces += self._pipe.receive(frame.payload)
            elif frame.type is FrameType.OPENED:
                self.opened = True
                self._stop_timer()
            elif frame.type is FrameType.REFUSED:
                raise ChannelError(frame.payload.decode("utf-8", "replace"))
            elif frame.type is FrameType.RESET:
                raise ChannelError("the location reset the channel")
            elif not self._ending:
                self._left = True
                self._end(self._channel)
        return pieces

    def _finish(self) -> None:
        """End in order; a connection whose next use is certain to be in step is given back."""
        channel, connection = self._channel, self._socket
        self._stop_timer()
        if connection is not None:
            self._socket = None
            if channel is not None and channel.ended and not channel.take_rest():
                if self._events != READ:
                    self._loop.modify(connection.fileno(), READ)
                self._pool.put((self._ticket.host, self._ticket.port), connection)
            else:
                self._loop.forget(connection.fileno())
                connection.close()
        self._close()
        self._tell("the location closed the channel")

    def _close(self) -> None:
        self._closed = True
        self._carriage.open.discard(self)

    def _fail(self, reason: str) -> None:
        if not self._closed:
            self.close()
            self._tell(reason)

    def _tell(self, reason: str) -> None:
        if self._ending and not self._left:
            self._ended()
        else:
            self._lost(reason)

    def _stop_timer(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def _drop(chunks: list[bytes | memoryview], count: int) -> None:
    """Take `count` bytes from the front."""
    while count:
        first = chunks[0]
        if count < len(first):
            chunks[0] = memoryview(first)[count:]
            return
        count -= len(first)
        del chunks[0]
