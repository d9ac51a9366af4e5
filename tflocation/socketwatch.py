"""What asyncio's loop watches a raw socket for."""

import asyncio
import socket
from collections.abc import Callable

from tfd.protocol.drivers.relaying.sockets import close


class Watch:
    """What asyncio watches one socket for."""

    __slots__ = ("_loop", "_on_read", "_on_write", "_reads", "_writes", "socket")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: socket.socket,
        on_read: Callable[[], None],
        on_write: Callable[[], None],
    ) -> None:
        self.socket = connection
        self._loop = loop
        self._on_read = on_read
        self._on_write = on_write
        self._reads = False
        self._writes = False

    def want(self, *, read: bool, write: bool) -> None:
        """Watch for exactly this from now on."""
        if read != self._reads:
            self._reads = read
            if read:
                self._loop.add_reader(self.socket, self._on_read)
            else:
                self._loop.remove_reader(self.socket)
        if write != self._writes:
            self._writes = write
            if write:
                self._loop.add_writer(self.socket, self._on_write)
            else:
                self._loop.remove_writer(self.socket)

    def close(self, *, reset: bool = False) -> None:
        """Watch no more, and close: in order, or by a reset."""
        self.want(read=False, write=False)
        close(self.socket, reset=reset)
