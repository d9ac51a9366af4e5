"""Local sockets: bound before anything changes, accepted from without ever spinning, removed when closed."""

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Final

from tfd.protocol import logged
from tfd.protocol.address import Address
from tfd.protocol.drivers.log import Log
from tfd.protocol.drivers.loop import READ, Loop, Timer
from tfd.protocol.drivers.relaying.binding import BindError, Listening, listen
from tfd.protocol.drivers.relaying.proxy_protocol import SocketAddress
from tfd.protocol.drivers.relaying.sockets import Option
from tfd.protocol.drivers.systemd.listeners import KeptListeners

__all__ = ["BindError", "BoundAddress"]

# A burst on one socket must not keep the others waiting.
_ACCEPTS_AT_ONCE: Final = 64
_PAUSE: Final = 0.5
# No more descriptors or memory: the connection stays in the backlog, so epoll would tell of it again at once.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Accepted = Callable[[socket.socket, SocketAddress], None]


class BoundAddress:
    """The listening sockets of one address: several where its host is a name with several addresses.

    The sockets are bound and listening from the start; nothing is accepted before `serve`. With `kept`, they
    outlive the process, and those of the process before are taken over. Raises BindError.
    """

    def __init__(self, loop: Loop, log: Log, address: Address, kept: KeptListeners | None = None) -> None:
        self.address = address
        self._loop = loop
        self._log = log
        self._accepted: Accepted | None = None
        self._options: Sequence[Option] = ()
        # The sockets on which connections may wait that came before the options were set.
        self._early: set[socket.socket] = set()
        self._timer: Timer | None = None
        self._watched = False
        self._listening: list[Listening] = listen(address, log, kept)
        self._sockets = [listening.socket for listening in self._listening]

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; they stay this object's."""
        return tuple(self._sockets)

    @property
    def names(self) -> list[SocketAddress]:
        """What getsockname() gives for each socket."""
        return [listening.getsockname() for listening in self._sockets]

    def serve(self, accepted: Accepted, options: Sequence[Option]) -> None:
        """Call `accepted` with each new connection (non-blocking) and its peer from now on.

        Connections of TCP have these options: they inherit them from the listening socket.
        """
        self._accepted = accepted
        if options != self._options:
            self._options = options
            self._early = {each for each in self._sockets if each.family != socket.AF_UNIX}
            for listening in self._early:
                _set(listening, options)
        self.resume()

    def pause(self) -> None:
        """Leave new connections in the kernel's backlog."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watched:
            self._watched = False
            for listening in self._sockets:
                self._loop.unregister(listening.fileno())

    def resume(self) -> None:
        """Accept again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._watched:
            self._watched = True
            for listening in self._sockets:
                self._loop.register(listening.fileno(), READ, _Acceptor(self, listening))

    def close(self) -> None:
        """Stop listening, and remove the Unix socket's file if it is still this one."""
        self.pause()
        for listening in self._listening:
            try:
                listening.close()
            except OSError as error:
                self._log.event("warning", f"cannot remove {self.address.path}: {error.strerror}")

    def leave(self) -> None:
        """Close our copies of the sockets; with `kept`, clients go on queueing for the next process."""
        self.pause()
        for listening in self._listening:
            listening.leave()

    def accept(self, listening: socket.socket) -> None:
        """Accept what waits, up to a bound."""
        for _ in range(_ACCEPTS_AT_ONCE):
            # `accepted` may have paused or closed this address.
            if not self._watched or self._accepted is None:
                return
            try:
                connection, peer = listening.accept()
            except BlockingIOError:
                self._early.discard(listening)
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._exhausted(error)
                    return
                continue  # that one connection went away before it was accepted (accept(2))
            connection.setblocking(False)
            if listening in self._early and not _set(connection, self._options):
                connection.close()  # reset by its peer before we came to it
                continue
            self._accepted(connection, peer)

    def _exhausted(self, error: OSError) -> None:
        self.pause()
        self._timer = self._loop.call_later(_PAUSE, self.resume)
        self._log.limited(
            "accept",
            logged.LISTENER_STALLED,
            f"{self.address} accepts nothing for {_PAUSE} s: {error.strerror}; LimitNOFILE= sets the limit",
            address=str(self.address),
            reason=error.strerror,
        )


def _set(connection: socket.socket, options: Sequence[Option]) -> bool:
    """Set the options; false where the connection is broken."""
    try:
        for option in options:
            connection.setsockopt(*option)
    except OSError:
        return False
    return True


class _Acceptor:
    """The loop's callback for one listening socket."""

    __slots__ = ("_bound", "_listening")

    def __init__(self, bound: BoundAddress, listening: socket.socket) -> None:
        self._bound = bound
        self._listening = listening

    def __call__(self, _events: int) -> None:
        self._bound.accept(self._listening)
