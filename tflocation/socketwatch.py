"""What a loop watches a raw socket for."""

import socket
from collections.abc import Callable
from typing import Final

from tfd.protocol.drivers.loop import ENDING, READ, WRITE, Loop
from tfd.protocol.drivers.relaying.sockets import close

READING: Final = READ | ENDING
"""What the loop watches a socket for that is read."""


class Watch:
    """What the loop watches one socket for.

    Args:
        loop: the loop.
        connection: the socket, this object's from now on.
        ready: called with the events.
        watched: what the loop watches it for already, for an owner before; 0 where it does not know it.

    """

    __slots__ = ("_loop", "_ready", "_watched", "socket")

    def __init__(
        self, loop: Loop, connection: socket.socket, ready: Callable[[int], None], watched: int = 0
    ) -> None:
        self.socket = connection
        self._loop = loop
        self._ready = ready
        self._watched = watched
        if watched:
            loop.redirect(connection.fileno(), ready)

    def want(self, *, read: bool, write: bool) -> None:
        """Watch for exactly this from now on; for nothing, a break included, where both are false."""
        wanted = (READING if read else 0) | (WRITE if write else 0)
        if wanted == self._watched:
            return
        if not wanted:
            self._loop.unregister(self.socket.fileno())
        elif self._watched:
            self._loop.modify(self.socket.fileno(), wanted)
        else:
            self._loop.register(self.socket.fileno(), wanted, self._ready)
        self._watched = wanted

    def close(self, *, reset: bool = False) -> None:
        """Watch no more, and close: in order, or by a reset."""
        self._loop.forget(self.socket.fileno())
        self._watched = 0
        close(self.socket, reset=reset)
