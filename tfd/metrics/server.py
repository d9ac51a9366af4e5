"""A small HTTP/1.1 server on the daemon's loop: one request a connection, bounded in size, number and time.

Rule of this file: no client, whatever it sends or does not read, costs more than a bounded place for a
bounded time, and none keeps others out: where all places are taken, who was longest at its request goes.
"""

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from tfd.config.model import Metrics
from tfd.metrics.access import refusal
from tfd.metrics.request import Refusal, Request, RequestReader
from tfd.metrics.response import Response, line
from tfd.protocol import logged
from tfd.protocol.address import Address
from tfd.protocol.drivers.log import Log
from tfd.protocol.drivers.loop import BROKEN, READ, WRITE, Loop, Timer
from tfd.protocol.drivers.relaying.listener import BindError, BoundAddress
from tfd.protocol.drivers.relaying.proxy_protocol import SocketAddress
from tfd.protocol.drivers.relaying.sockets import ENDS_IN_ORDER
from tfd.protocol.drivers.systemd.listeners import KeptListeners

MAX_CLIENTS: Final = 32
REQUEST_LIMIT: Final = 10.0
"""Seconds from a connection to the end of its request."""

ANSWER_LIMIT: Final = 30.0
"""Seconds for a client to take its answer."""

LINGER_LIMIT: Final = 2.0
"""Seconds in which a client may end by itself: with bytes unread, a close would reset what it still reads."""

_PIECE: Final = 4096

Answer = Callable[[Request], Response]


class Server:
    """Listens where `[metrics]` says, and answers.

    Args:
        loop: the loop that serves.
        log: where defects are told.
        answer: gives the answer to a request that was understood.
        kept: listening sockets that outlive the process, where there is a service manager that keeps them.

    """

    def __init__(self, loop: Loop, log: Log, answer: Answer, kept: KeptListeners | None = None) -> None:
        self._loop = loop
        self._log = log
        self._answer = answer
        self._kept = kept
        self._metrics = Metrics()
        self._bound: dict[Address, BoundAddress] = {}
        self._clients: dict[int, _Client] = {}

    @property
    def bound(self) -> dict[Address, BoundAddress]:
        """The addresses that are served."""
        return dict(self._bound)

    def prepare(self, metrics: Metrics, offered: Mapping[Address, BoundAddress]) -> "Prepared":
        """Bind what is neither bound yet nor `offered`. Nothing else changes before `Prepared.use`.

        Raises BindError.
        """
        bound: dict[Address, BoundAddress] = {}
        former = {**offered, **self._bound}
        try:
            for address in metrics.binds:
                bound[address] = former.get(address) or BoundAddress(
                    self._loop, self._log, address, self._kept
                )
        except BindError:
            self._close_all_but(former, bound)
            raise
        return Prepared(lambda: self._use(metrics, bound), lambda: self._close_all_but(former, bound))

    def release(self, addresses: Iterable[Address]) -> None:
        """Leave addresses to another, who serves them already."""
        for address in addresses:
            self._bound.pop(address, None)

    def addresses(self) -> list[SocketAddress]:
        """Give what the sockets are bound to, as getsockname() has it."""
        return [name for bound in self._bound.values() for name in bound.names]

    def leave(self) -> None:
        """Close our copies of the sockets; where they are kept, clients queue for the next process."""
        for bound in self._bound.values():
            bound.leave()
        self._bound = {}

    def close(self) -> None:
        """Listen no longer, and drop the clients."""
        self._use(Metrics(), {})
        for client in list(self._clients.values()):
            client.close()

    def _use(self, metrics: Metrics, bound: dict[Address, BoundAddress]) -> None:
        self._metrics = metrics
        former, self._bound = self._bound, bound
        self._close_all_but(bound, former)
        for address in bound.values():
            address.serve(self._accepted, (ENDS_IN_ORDER,))

    @staticmethod
    def _close_all_but(kept: Mapping[Address, BoundAddress], some: dict[Address, BoundAddress]) -> None:
        for address, unwanted in some.items():
            if address not in kept:
                unwanted.close()

    def _accepted(self, connection: socket.socket, peer: SocketAddress) -> None:
        if len(self._clients) >= MAX_CLIENTS:
            # The first of the dictionary is the oldest.
            oldest = next((client for client in self._clients.values() if client.is_asking), None)
            if oldest is None:
                connection.close()
                return
            oldest.close()
        number = connection.fileno()
        self._clients[number] = _Client(
            self._loop,
            connection,
            lambda request: self._answered(request, peer),
            lambda: self._clients.pop(number, None),
        )

    def _answered(self, request: Request, peer: SocketAddress) -> Response:
        try:
            return refusal(self._metrics, peer, request.host) or self._answer(request)
        except Exception as error:  # noqa: BLE001 - whoever asks shall hear of a defect, and tfd shall go on
            message = f"a defect of tfd; please report it: {request.path} of [metrics] failed"
            self._log.limited("metrics", logged.DEFECT, message, reason=repr(error))
            return line(500, "a defect of tfd, which its log tells more of")


class Prepared:
    """Addresses that are bound and not served yet: exactly one of the two is to be called."""

    def __init__(self, use: Callable[[], None], undo: Callable[[], None]) -> None:
        self.use = use
        self.undo = undo


class _Client:
    """One connection: its request, its answer, its end."""

    def __init__(
        self, loop: Loop, connection: socket.socket, answer: Answer, closed: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._answer = answer
        self._closed = closed
        self._reader = RequestReader()
        self._output: memoryview | None = None
        self._limit: Timer = loop.call_later(REQUEST_LIMIT, self._too_slow)
        loop.register(connection.fileno(), READ, self._ready)

    @property
    def is_asking(self) -> bool:
        """Whether its request is not complete."""
        return self._output is None

    def close(self) -> None:
        self._limit.cancel()
        self._loop.unregister(self._connection.fileno())
        self._connection.close()
        self._closed()

    def _ready(self, events: int) -> None:
        try:
            if self._output is None:
                self._read()
            elif self._output:
                self._write(self._output)
            elif not self._connection.recv(_PIECE) or events & BROKEN:
                self.close()
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def _read(self) -> None:
        data = self._connection.recv(_PIECE)
        if not data:
            self.close()
            return
        result = self._reader.receive(data)
        if isinstance(result, Refusal):
            self._respond(line(result.status, result.reason).encode())
        elif result is not None:
            self._respond(self._answer(result).encode(head_only=result.method == "HEAD"))

    def _too_slow(self) -> None:
        self._respond(line(408, f"the request took longer than {REQUEST_LIMIT:g} s").encode())

    def _respond(self, data: bytes) -> None:
        self._wait(ANSWER_LIMIT)
        self._output = memoryview(data)
        self._loop.modify(self._connection.fileno(), WRITE)

    def _write(self, output: memoryview) -> None:
        self._output = output[self._connection.send(output) :]
        if not self._output:
            self._connection.shutdown(socket.SHUT_WR)
            self._wait(LINGER_LIMIT)
            self._loop.modify(self._connection.fileno(), READ)

    def _wait(self, limit: float) -> None:
        self._limit.cancel()
        self._limit = self._loop.call_later(limit, self.close)
