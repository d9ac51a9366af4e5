"""One channel in use, at the location's end: the driver of a `Relay` between two raw sockets.

A loop of ours inside asyncio's watches the sockets: asyncio's own watching takes three times as long, and its
streams buffer what the relay must bound.
"""

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Final

from tfd.protocol.channel import Bytes
from tfd.protocol.drivers.loop import BROKEN, ENDING, READ, WRITE, Loop, Timer
from tfd.protocol.drivers.relaying.sockets import cookie, is_established, send_some, set_reset, silence_of
from tfd.protocol.liveness import CHANNEL_OPTIONS, INFO_SIZE, SILENCE, is_dead
from tfd.protocol.relay import LAST_STATES, READ_SIZE, Relay, State
from tflocation.socketwatch import READING, Watch
from tflocation.suspended import SuspendedChannel
from tflocation.tickets import Grant, PipeTarget, PortTarget

CONNECT_LIMIT: Final = 5.0
"""Seconds in which a container's port must accept."""

# A refusal that is followed by a reset would be lost with it: the opener gets this long to read it and close.
_FAREWELL: Final = 5.0


OpenPipe = Callable[[bytes], socket.socket | None]
"""Gives a fresh connection to the pipe of an id, non-blocking; None where there is no such pipe."""


class UsedChannel:
    """One channel from its ticket to its end. From `start` or `go_on` it works without being asked.

    Args:
        loop: what watches the sockets.
        buffer: see `tfd.protocol.drivers.relaying.driver.new_buffer`.
        grant: the ticket that was presented.
        relay: where it begins or goes on.
        channel: the socket that presented it, non-blocking; this object's from now on.
        watched: whether the loop watches it for READING already.
        open_pipe: connects a channel whose ticket leads to a pipe.
        ended: called once with this object, and with the socket where it may carry the next channel.

    """

    __slots__ = (
        "_buffer",
        "_channel",
        "_ended",
        "_loop",
        "_open_pipe",
        "_plain",
        "_plain_gone",
        "_timer",
        "grant",
        "relay",
    )

    def __init__(
        self,
        loop: Loop,
        buffer: memoryview,
        grant: Grant,
        relay: Relay,
        channel: socket.socket,
        open_pipe: OpenPipe,
        ended: "Callable[[UsedChannel, socket.socket | None], None]",
        *,
        watched: bool,
    ) -> None:
        self.grant = grant
        self.relay = relay
        self._loop = loop
        self._buffer = buffer
        self._open_pipe = open_pipe
        self._ended = ended
        self._channel: Watch | None = Watch(loop, channel, self._on_channel, READING if watched else 0)
        self._plain: Watch | None = None
        self._plain_gone = False
        self._timer: Timer | None = None

    def start(self, begun: Bytes) -> None:
        """Connect to what the ticket leads to. `begun` came after the opening."""
        if begun:
            self.relay.channel_received(begun)
        if isinstance(self.grant.target, PipeTarget):
            self._connect_pipe(self.grant.target)
        else:
            self._connect(self.grant.target)
        self._settle()

    def abort(self) -> None:
        """Reset the container's side and close the channel, whatever state they are in."""
        self._end(None)

    def check_alive(self) -> None:
        """Give the channel up if its peer has been gone for a while: TCP alone would take 15 minutes."""
        if self._channel is not None:
            info = self._channel.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)
            if is_dead(info):
                self.relay.channel_lost(f"the opener has been silent for {SILENCE:g} s")
                self._settle()

    # From one process to the next.

    @property
    def silence(self) -> float:
        """Seconds since its last byte; 0 while bytes wait for a reader."""
        if self.relay.to_plain or self.relay.to_channel:
            return 0.0
        return silence_of(*(watch.socket for watch in (self._plain, self._channel) if watch is not None))

    def suspend(self) -> tuple[SuspendedChannel, socket.socket, socket.socket] | None:
        """Give away its state, the container's socket and the channel's; it does nothing any more.

        None, and it ends here, where it leads to a pipe or nothing is left to go on with. Raises OSError for
        a broken socket.
        """
        grant, relay = self.grant, self.relay
        carried = relay.state not in LAST_STATES or relay.state is State.FINISHED
        if (
            self._channel is None
            or self._plain is None
            or not carried
            or not isinstance(grant.target, PortTarget)
        ):
            self.abort()
            return None
        plain, channel = self._plain.socket, self._channel.socket
        numbers = cookie(plain), cookie(channel)
        state = SuspendedChannel(
            grant.account, grant.container, grant.target, self._plain_gone, relay.suspend(), *numbers
        )
        self._stop_timer()
        for watch in (self._plain, self._channel):
            watch.want(read=False, write=False)
        self._plain = self._channel = None
        self._ended(self, None)
        return state, plain, channel

    def go_on(self, plain: socket.socket, *, plain_gone: bool) -> None:
        """Go on as the process before left it; `plain` leads to the container's port."""
        self._plain_gone = plain_gone
        if self.relay.is_opening:
            self._await(plain)
        else:
            self._plain = Watch(self._loop, plain, self._on_plain)
        self._settle()

    # What the ticket leads to.

    def _connect_pipe(self, target: PipeTarget) -> None:
        connection = self._open_pipe(target.pipe)
        if connection is None:
            self._refuse("it is over")
            return
        self._opened(connection)

    def _connect(self, target: PortTarget) -> None:
        connection: socket.socket | None = None
        try:
            connection = socket.socket(socket.AF_INET6 if ":" in target.ip else socket.AF_INET)
            connection.setblocking(False)
            # Unless it is closed in order: see the client's end, tfd.protocol.drivers.relaying.connection.
            set_reset(connection, on=True)
            # The container's machine may vanish too (another node of a cluster).
            for option in CHANNEL_OPTIONS:
                connection.setsockopt(*option)
            connection.connect((target.ip, target.port))
        except BlockingIOError:
            pass
        except OSError as error:
            if connection is not None:
                connection.close()
            self._refuse(error.strerror or str(error))
            return
        assert connection is not None
        if is_established(connection):
            # On this machine it takes no longer than the call; without a word, or it would be on its way.
            self._opened(connection)
        else:
            self._await(connection)

    def _await(self, connection: socket.socket) -> None:
        self._plain = Watch(self._loop, connection, self._connected)
        self._plain.want(read=False, write=True)
        self._timer = self._loop.call_later(CONNECT_LIMIT, self._too_late)

    def _connected(self, _events: int) -> None:
        assert self._plain is not None
        error = self._plain.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._refuse(os.strerror(error))
        else:
            self._stop_timer()
            self._opened(self._plain.socket, watched=WRITE)
        self._settle()

    def _opened(self, connection: socket.socket, watched: int = 0) -> None:
        self._plain = Watch(self._loop, connection, self._on_plain, watched)
        self.relay.opened()
        # The answer first: whoever sees a channel end without one knows that the container got nothing.
        self._send_channel()
        self._send_plain()

    def _too_late(self) -> None:
        self._refuse(f"no answer within {CONNECT_LIMIT:g} s")
        self._settle()

    def _refuse(self, reason: str) -> None:
        self._stop_timer()
        if self._plain is not None:
            self._plain.close()
            self._plain = None
        target = self.grant.target
        what = "a pipe" if isinstance(target, PipeTarget) else f"port {target.port}"
        self.relay.refused(f"{what} of {self.grant.container}: {reason}")
        self._send_channel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Bytes.

    def _on_plain(self, events: int) -> None:
        relay = self.relay
        if relay.to_plain:
            self._send_plain()
        if relay.wants_plain and events & (READ | BROKEN):
            if self._read_plain() and events & ENDING:
                # Its end has come as well, and goes along with the last bytes.
                self._read_plain()
            self._send_channel()
        self._settle()

    def _on_channel(self, events: int) -> None:
        relay = self.relay
        if relay.to_channel:
            self._send_channel()
        if events & (READ | BROKEN) and (relay.wants_channel or relay.state is State.REFUSED):
            self._read_channel()
        self._settle()

    def _read_plain(self) -> bool:
        """Read once; whether bytes came, and all that there were."""
        assert self._plain is not None
        relay = self.relay
        data = b""
        try:
            data = self._plain.socket.recv(READ_SIZE)
        except BlockingIOError:
            pass
        except OSError:
            relay.plain_reset()
        else:
            if data:
                relay.plain_received(data)
            elif self._plain_gone:
                relay.plain_reset()
            else:
                relay.plain_ended()
        return 0 < len(data) < READ_SIZE

    def _read_channel(self) -> None:
        assert self._channel is not None
        relay = self.relay
        try:
            count = self._channel.socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError as error:
            count = 0
            relay.channel_lost(error.strerror or str(error))
        if relay.state is State.REFUSED:
            if not count:
                self._end(None)
            return
        if relay.state not in LAST_STATES:
            if count:
                relay.channel_received(self._buffer[:count])
                self._send_plain()
            else:
                relay.channel_lost("the channel's connection ended without an END")

    def _send_plain(self) -> None:
        relay = self.relay
        # Before the port has answered, what came ahead is kept.
        if not relay.to_plain or self._plain is None or relay.is_opening:
            return
        try:
            count = send_some(self._plain.socket, relay.to_plain)
        except BlockingIOError:
            return
        except OSError:
            # It has gone, but its last words may still wait to be read: its reset comes after them.
            relay.to_plain.clear()
            if relay.plain_is_open:
                self._plain_gone = True
            else:
                relay.plain_reset()
                self._send_channel()
            return
        relay.plain_sent(count)

    def _send_channel(self) -> None:
        relay = self.relay
        if not relay.to_channel or self._channel is None:
            return
        try:
            count = send_some(self._channel.socket, relay.to_channel)
        except BlockingIOError:
            return
        except OSError:
            # It is dead, but the opener's last frames may still wait to be read.
            relay.to_channel.clear()
            return
        relay.channel_sent(count)

    # What follows.

    def _settle(self) -> None:
        """Do what the relay asks for now, and watch the sockets for what it needs next."""
        relay = self.relay
        if self._channel is None:
            return
        if relay.flows and self._plain is not None:
            self._plain.want(read=True, write=False)
            self._channel.want(read=True, write=False)
            return
        if relay.state is State.REFUSED:
            self._say_farewell()
            return
        if relay.must_reset_plain or relay.state is State.UNANSWERED:
            if relay.to_plain and self._plain is not None and relay.state is not State.UNANSWERED:
                with contextlib.suppress(OSError):
                    send_some(self._plain.socket, relay.to_plain)
            self._end(None)
            return
        if relay.state is State.RESETTING and self._plain is not None:
            self._plain.close(reset=True)
            self._plain = None
        if relay.must_shut_plain:
            self._shut_plain()
        if relay.done:
            self._end(self._channel.socket if relay.reusable else None)
            return
        if self._plain is not None and not relay.is_opening:
            self._plain.want(read=relay.wants_plain, write=bool(relay.to_plain))
        self._channel.want(read=relay.wants_channel, write=bool(relay.to_channel))

    def _shut_plain(self) -> None:
        """Tell the container's port that no more comes."""
        self.relay.plain_was_shut()
        # Where both have ended, closing it says so.
        if self._plain is not None and not self.relay.done:
            with contextlib.suppress(OSError):  # reset meanwhile: reading it tells
                self._plain.socket.shutdown(socket.SHUT_WR)

    def _say_farewell(self) -> None:
        """Send the refusal, and read on until the opener has closed."""
        assert self._channel is not None
        if self.relay.to_channel:
            self._channel.want(read=False, write=True)
            return
        if self._timer is None:
            with contextlib.suppress(OSError):
                self._channel.socket.shutdown(socket.SHUT_WR)
            self._timer = self._loop.call_later(_FAREWELL, self.abort)
        self._channel.want(read=True, write=False)

    def _end(self, reusable: socket.socket | None) -> None:
        """Close what is open, but for a channel's socket that may be used again."""
        self._stop_timer()
        channel, self._channel = self._channel, None
        if channel is None:
            return
        if self._plain is not None:
            self._plain.close(reset=reusable is None and self.relay.state is not State.FINISHED)
            self._plain = None
        if reusable is None:
            channel.close()
        else:
            channel.want(read=True, write=False)
        self._ended(self, reusable)
