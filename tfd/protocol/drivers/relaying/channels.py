"""TCP connections to the locations' channel ports: made ahead of need, and used again.

A new client connection then pays no TCP connect to the location. What waits here was authenticated by
nobody and carries nothing yet.
"""

import os
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from tfd.protocol import logged
from tfd.protocol.drivers.log import Log
from tfd.protocol.drivers.loop import READ, WRITE, Loop, Timer
from tfd.protocol.drivers.resolver import resolve
from tfd.protocol.liveness import CHANNEL_OPTIONS

CONNECT_LIMIT: Final = 5.0
"""Seconds for one try to reach a location, over all addresses of its name."""

_AHEAD = 2
_READY_MOST = 32
# A location closes what presents no ticket for 30 s.
_READY_LIMIT = 20.0
_RENEW_INTERVAL = 5.0
# A location that has moved must be found again within seconds, and a burst of connections asks once.
_NAME_KEPT = 5.0
# A location that had no client for so long may cost the next one a TCP connect.
_QUIET_LIMIT = 600.0
# A location keeps 512 connections without a ticket and drops the oldest: a burst must not push itself out.
_CONNECTING_MOST = 64

Endpoint = tuple[str, int]
Callback = Callable[[socket.socket | str], bool]
"""Gets a connected socket, or why there is none. Returns whether it keeps the socket.

The loop watches the socket for READ all the time: who keeps it has the loop call him instead
(`Loop.redirect`), and gives it back likewise.
"""


class ChannelPool:
    """Connections to channel ports, by the host and port that tickets name."""

    def __init__(self, loop: Loop, log: Log) -> None:
        self._loop = loop
        self._log = log
        self._endpoints: dict[Endpoint, _Port] = {}
        self._timer: Timer | None = None

    def take(self, endpoint: Endpoint, callback: Callback) -> None:
        """Call `callback` with a connection to the channel port, or why there is none. Never raises.

        Now or later: there is no limit while others are before it, so the caller has one of its own.
        """
        port = self._endpoints.get(endpoint)
        if port is None:
            port = self._endpoints[endpoint] = _Port(self._loop, self._log, endpoint)
        if self._timer is None:
            self._timer = self._loop.call_later(_RENEW_INTERVAL, self._renew)
        port.take(callback)

    def put(self, endpoint: Endpoint, connection: socket.socket) -> None:
        """Take a connection back whose channel ended in order, or that was not used."""
        port = self._endpoints.get(endpoint)
        if port is None:
            self._loop.forget(connection.fileno())
            connection.close()
        else:
            port.put(connection)

    def drop(self) -> None:
        """Close what waits here: its path may have failed without a word. What comes is connected anew."""
        for port in self._endpoints.values():
            port.drop()

    def close(self) -> None:
        """Close what waits here."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for port in self._endpoints.values():
            port.close()
        self._endpoints.clear()

    def _renew(self) -> None:
        now = self._loop.now
        for endpoint, port in list(self._endpoints.items()):
            if now - port.used_at > _QUIET_LIMIT:
                port.close()
                del self._endpoints[endpoint]
            else:
                port.renew()
        self._timer = self._loop.call_later(_RENEW_INTERVAL, self._renew) if self._endpoints else None


class _Port:
    """The connections to one location's channel port."""

    def __init__(self, loop: Loop, log: Log, endpoint: Endpoint) -> None:
        self.used_at = loop.now
        self._loop = loop
        self._log = log
        self._endpoint = endpoint
        self._addresses: list[str] = []
        self._addresses_until = 0.0
        self._resolving = False
        self._ready: dict[socket.socket, float] = {}
        self._waiting: deque[Callback] = deque()
        self._connecting: set[_Dial] = set()
        self._closed = False

    def take(self, callback: Callback) -> None:
        self.used_at = self._loop.now
        if self._ready:
            # The youngest: the location drops the oldest first.
            connection, _ = self._ready.popitem()
            if not callback(connection):
                self.put(connection)
        else:
            self._waiting.append(callback)
        self._connect_more()

    def put(self, connection: socket.socket) -> None:
        while self._waiting:
            if self._waiting.popleft()(connection):
                return
        if len(self._ready) >= _READY_MOST or self._closed:
            self._loop.forget(connection.fileno())
            connection.close()
        else:
            self._ready[connection] = self._loop.now
            self._loop.redirect(connection.fileno(), partial(self._went_away, connection))

    def renew(self) -> None:
        """Close what the location will close soon, and connect anew for it."""
        old = self._loop.now - _READY_LIMIT
        for connection in [connection for connection, since in self._ready.items() if since < old]:
            self._went_away(connection)
        self._connect_more()

    def drop(self) -> None:
        self._addresses_until = 0.0
        for connection in list(self._ready):
            self._went_away(connection)

    def close(self) -> None:
        self._closed = True
        for connection in list(self._ready):
            self._went_away(connection)
        for dial in self._connecting:
            dial.cancel()
        self._connecting.clear()

    def _went_away(self, connection: socket.socket, _events: int = 0) -> None:
        # An end, a reset, or bytes that nobody asked for: no use in any case.
        del self._ready[connection]
        self._loop.forget(connection.fileno())
        connection.close()

    def _connect_more(self) -> None:
        """Have as many on their way as are waited for and kept ahead."""
        wanted = len(self._waiting) + max(0, _AHEAD - len(self._ready))
        if self._closed or wanted <= len(self._connecting):
            return
        if self._loop.now >= self._addresses_until:
            if not self._resolving:
                self._resolving = True
                resolve(self._loop, *self._endpoint, self._resolved)
            return
        port = self._endpoint[1]
        # Counted before: a try that fails at once must not be made again and again.
        dials = [
            _Dial(self._loop, self._addresses, port, self._connected, self._unreachable)
            for _ in range(min(wanted, _CONNECTING_MOST) - len(self._connecting))
        ]
        self._connecting.update(dials)
        for dial in dials:
            dial.begin()

    def _resolved(self, found: list[str] | str) -> None:
        self._resolving = False
        if isinstance(found, str):
            # One answer for all who asked meanwhile.
            for _ in range(len(self._waiting)):
                self._failed(found)
        elif not self._closed:
            self._addresses = found
            self._addresses_until = self._loop.now + _NAME_KEPT
            self._connect_more()

    def _connected(self, dial: "_Dial", connection: socket.socket) -> None:
        self._connecting.discard(dial)
        self.put(connection)
        if self._waiting:
            self._connect_more()

    def _unreachable(self, dial: "_Dial", reason: str) -> None:
        self._connecting.discard(dial)
        self._addresses_until = 0.0
        self._failed(reason)
        if self._waiting and not self._connecting:
            self._loop.call_later(0, self._connect_more)

    def _failed(self, reason: str) -> None:
        host, port = self._endpoint
        message = f"the channel port {host}:{port} cannot be reached: {reason}"
        self._log.limited(
            "channel port",
            logged.CHANNEL_PORT_UNREACHABLE,
            message,
            address=f"{host}:{port}",
            reason=reason,
        )
        # One for each waiter: whoever comes back after it, waits for a new try.
        if self._waiting:
            self._waiting.popleft()(message)


class _Dial:
    """One try to connect: the addresses one after the other, within CONNECT_LIMIT in all."""

    __slots__ = ("_addresses", "_connected", "_connection", "_failed", "_loop", "_port", "_share", "_timer")

    def __init__(
        self,
        loop: Loop,
        addresses: list[str],
        port: int,
        connected: "Callable[[_Dial, socket.socket], None]",
        failed: "Callable[[_Dial, str], None]",
    ) -> None:
        self._loop = loop
        self._addresses = deque(addresses)
        self._port = port
        self._connected = connected
        self._failed = failed
        self._share = CONNECT_LIMIT / len(addresses)
        self._connection: socket.socket | None = None
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Try the first address; one of the two callbacks is called, now or later."""
        self._next("it has no address")

    def cancel(self) -> None:
        """Give up without a word. Harmless when it is over."""
        if self._connection is not None:
            self._drop()

    def _next(self, reason: str) -> None:
        while self._addresses:
            address = self._addresses.popleft()
            try:
                self._connection = _connect(address, self._port)
            except OSError as error:
                reason = error.strerror or str(error)
                continue
            self._loop.register(self._connection.fileno(), WRITE, self._on_ready)
            self._timer = self._loop.call_later(self._share, self._too_late)
            return
        self._failed(self, reason)

    def _on_ready(self, _events: int) -> None:
        assert self._connection is not None
        error = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._drop()
            self._next(os.strerror(error))
        else:
            connection = self._leave()
            self._loop.modify(connection.fileno(), READ)
            self._connected(self, connection)

    def _too_late(self) -> None:
        self._drop()
        self._next(f"no answer within {self._share:g} s")

    def _leave(self) -> socket.socket:
        assert self._connection is not None
        assert self._timer is not None
        self._timer.cancel()
        connection, self._connection = self._connection, None
        return connection

    def _drop(self) -> None:
        connection = self._leave()
        self._loop.forget(connection.fileno())
        connection.close()


def _connect(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        for option in CHANNEL_OPTIONS:
            connection.setsockopt(*option)
        connection.connect((address, port))
    except BlockingIOError:
        pass
    except OSError:
        connection.close()
        raise
    return connection
