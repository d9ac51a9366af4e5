"""One channel in use, at the location's end: from its ticket to a container's port or a pipe, to its end."""

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Final

from tfd.protocol.channel import Bytes
from tfd.protocol.drivers.loop import READ, WRITE, Loop
from tfd.protocol.drivers.relaying.driver import Driver, Traffic
from tfd.protocol.drivers.relaying.sockets import close, cookie, is_established, set_reset
from tfd.protocol.liveness import CHANNEL_OPTIONS
from tfd.protocol.relay import LAST_STATES, Relay, State
from tflocation.suspended import SuspendedChannel
from tflocation.tickets import Grant, PipeTarget, PortTarget

CONNECT_LIMIT: Final = 5.0
"""Seconds in which a container's port must accept."""

# A refusal that is followed by a reset would be lost with it: the opener gets this long to read it and close.
_FAREWELL: Final = 5.0


OpenPipe = Callable[[bytes], socket.socket | None]
"""Gives a fresh connection to the pipe of an id, non-blocking; None where there is no such pipe."""


class UsedChannel(Driver):
    """One channel from its ticket to its end. From `start` or `go_on` it works without being asked.

    Args:
        loop: what watches the sockets.
        buffer: see `tfd.protocol.drivers.relaying.driver.new_buffer`.
        traffic: where bytes from and to containers are counted.
        grant: the ticket that was presented.
        relay: where it begins or goes on.
        channel: the socket that presented it, non-blocking; this object's from now on.
        watched: whether the loop watches it for READ already.
        open_pipe: connects a channel whose ticket leads to a pipe.
        ended: called once with this object, and with the socket where it may carry the next channel; the loop
            watches that for READ.

    """

    __slots__ = ("_connecting", "_ended", "_open_pipe", "grant", "relay")

    def __init__(
        self,
        loop: Loop,
        buffer: memoryview,
        traffic: Traffic,
        grant: Grant,
        relay: Relay,
        channel: socket.socket,
        open_pipe: OpenPipe,
        ended: "Callable[[UsedChannel, socket.socket | None], None]",
        *,
        watched: bool,
    ) -> None:
        super().__init__(loop, buffer, traffic, "the opener")
        self.grant = grant
        self.relay = self._relay = relay
        self._channel = channel
        if watched:
            self._channel_events = READ
            loop.redirect(channel.fileno(), self._on_channel)
        self._open_pipe = open_pipe
        self._ended = ended
        self._connecting: socket.socket | None = None

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

    # From one process to the next.

    def suspend(self) -> tuple[SuspendedChannel, socket.socket, socket.socket] | None:
        """Give away its state, the container's socket and the channel's; it does nothing any more.

        None, and it ends here, where it leads to a pipe or nothing is left to go on with. Raises OSError for
        a broken socket.
        """
        grant, relay = self.grant, self.relay
        plain, channel = self._plain or self._connecting, self._channel
        carried = relay.state not in LAST_STATES or relay.state is State.FINISHED
        if channel is None or plain is None or not carried or not isinstance(grant.target, PortTarget):
            self.abort()
            return None
        numbers = cookie(plain), cookie(channel)
        state = SuspendedChannel(
            grant.account, grant.container, grant.target, self._plain_gone, relay.suspend(), *numbers
        )
        self._stop_timer()
        self._loop.unregister(plain.fileno())
        self._loop.unregister(channel.fileno())
        self._plain = self._connecting = self._channel = None
        self._ended(self, None)
        return state, plain, channel

    def go_on(self, plain: socket.socket, *, plain_gone: bool) -> None:
        """Go on as the process before left it; `plain` leads to the container's port."""
        self._plain_gone = plain_gone
        if self.relay.is_opening:
            self._await(plain)
        else:
            self._plain = plain
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
        self._connecting = connection
        self._loop.register(connection.fileno(), WRITE, self._connected)
        self._timer = self._loop.call_later(CONNECT_LIMIT, self._too_late)

    def _connected(self, _events: int) -> None:
        connection = self._connecting
        assert connection is not None
        error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._refuse(os.strerror(error))
        else:
            self._connecting = None
            self._plain_events = WRITE
            self._loop.redirect(connection.fileno(), self._on_plain)
            self._opened(connection)
        self._settle()

    def _opened(self, connection: socket.socket) -> None:
        self._plain = connection
        self.relay.opened()
        # The answer first: whoever sees a channel end without one knows that the container got nothing.
        self._flush_channel(self.relay)
        if self.relay.to_plain:
            self._flush_plain(self.relay)

    def _too_late(self) -> None:
        self._refuse(f"no answer within {CONNECT_LIMIT:g} s")
        self._settle()

    def _refuse(self, reason: str) -> None:
        self._stop_timer()
        self._stop_connecting(reset=False)
        target = self.grant.target
        what = "a pipe" if isinstance(target, PipeTarget) else f"port {target.port}"
        self.relay.refused(f"{what} of {self.grant.container}: {reason}")
        self._flush_channel(self.relay)

    def _stop_connecting(self, *, reset: bool) -> None:
        if self._connecting is not None:
            self._loop.forget(self._connecting.fileno())
            close(self._connecting, reset=reset)
            self._connecting = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What follows.

    def _answered(self) -> None:
        self._stop_timer()

    def _unserved(self, relay: Relay) -> None:
        if relay.state is State.UNANSWERED:
            self._end(None)
        elif relay.to_channel:
            self._watch_channel(WRITE)
        elif self._timer is None:
            self._say_farewell()

    def _say_farewell(self) -> None:
        """Send nothing after the refusal, and read on until the opener has closed."""
        channel = self._channel
        assert channel is not None
        with contextlib.suppress(OSError):
            channel.shutdown(socket.SHUT_WR)
        self._timer = self._loop.call_later(_FAREWELL, self.abort)
        self._watch_channel(READ)
        self._loop.redirect(channel.fileno(), self._on_farewell)

    def _on_farewell(self, _events: int) -> None:
        channel = self._channel
        assert channel is not None
        try:
            count = channel.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self._end(None)

    def _lost(self, _relay: Relay) -> None:
        self._end(None)

    def _finished(self, relay: Relay) -> None:
        self._end(self._channel if relay.reusable and not self._channel_gone else None)

    def _end(self, reusable: socket.socket | None) -> None:
        """Close what is open, but for a channel's socket that may be used again."""
        self._stop_timer()
        if self._channel is None:
            return
        reset = reusable is None and self.relay.state is not State.FINISHED
        self._stop_connecting(reset=reset)
        self._close_plain(reset=reset)
        if reusable is None:
            self._close_channel()
        else:
            self._watch_channel(READ)
            self._channel = None
        self._ended(self, reusable)
