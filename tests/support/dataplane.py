"""Both ends of the data plane in one process: a proxy's loop and a channel server's loop, a thread each.

Tickets are minted by the real `Tickets` and go to the proxy as a link would bring them.
"""

import asyncio
import contextlib
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tests.support.recording import RecordingLog
from tfd.config.model import Listener
from tfd.protocol.address import Address
from tfd.protocol.drivers.hosting import HostingSelector
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.drivers.relaying.tickets import TicketCallback
from tfd.proxy import ListenerStatistics, Proxy, Route, Ticket, TicketFailure
from tflocation.channels import ChannelServer
from tflocation.logs import DriverLog
from tflocation.tickets import Grant, PortTarget, Tickets

T = TypeVar("T")
LIMIT = 30.0
ACCOUNT = "account"


class Location:
    """A channel server in a thread of its own."""

    def __init__(self, host: str = "127.0.0.1", tickets: Tickets | None = None) -> None:
        self.host = host
        self.counters: Counter[str] = Counter()
        self.tickets = tickets or Tickets()
        self.drivers = Loop(DriverLog(logging.getLogger("tests.location")))
        self.server = ChannelServer(
            self.drivers, self.tickets, logging.getLogger("tests.location"), self.counters, lambda _: None
        )
        self.loop = asyncio.SelectorEventLoop(HostingSelector(self.drivers))
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.port = 0

    def start(self, port: int = 0) -> None:
        """Listen."""
        future = asyncio.run_coroutine_threadsafe(self.server.start(self.host, port), self.loop)
        future.result(LIMIT)
        self.port = self.server.ports[0]

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` in the server's loop and give its result."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(LIMIT)

    def mint(self, container: str, port: int, count: int) -> list[Grant]:
        """Give tickets for a port of 127.0.0.1."""
        target = PortTarget("127.0.0.1", port)
        return self.call(
            lambda: [
                self.tickets.mint(ACCOUNT, container, target, self.loop.time(), "chacha20poly1305")
                for _ in range(count)
            ]
        )

    def stop(self) -> None:
        """Close the server and its loop."""
        self.call(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(LIMIT)
        self.loop.close()
        self.drivers.close()


class Link:
    """Gives the proxy tickets for backends: a route's container is the name of one of `targets`."""

    def __init__(self, loop: Loop, location: Location, cipher: str = "chacha20poly1305") -> None:
        self._loop = loop
        self._location = location
        self._cipher = cipher
        self.targets: dict[str, tuple[str, int]] = {}
        self.failure = ""
        self.asked = 0

    def take_ticket(self, route: Route, port: int, callback: TicketCallback) -> None:
        """Mint in the location's thread and answer in the proxy's."""
        self.asked += 1
        self._location.loop.call_soon_threadsafe(self._mint, route, port, callback)

    def _mint(self, route: Route, port: int, callback: TicketCallback) -> None:
        answer: Ticket | TicketFailure
        if self.failure:
            answer = TicketFailure(self.failure)
        else:
            target = PortTarget(*self.targets.get(route.container, ("127.0.0.1", port)))
            now = self._location.loop.time()
            grant = self._location.tickets.mint(ACCOUNT, route.container, target, now, self._cipher)
            answer = Ticket(grant.id, grant.key, grant.cipher, self._location.host, self._location.port)
        self._loop.call_from_thread(lambda: callback(answer))


class DataPlane:
    """A proxy, a location, and what leads from one to the other."""

    def __init__(self, location: Location) -> None:
        self.log = RecordingLog()
        self.location = location
        self.loop = Loop(self.log)
        self.link = Link(self.loop, location)
        self.proxy = Proxy(self.loop, self.log, self.link)
        self._thread = threading.Thread(target=self.loop.run, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` in the proxy's loop and give its result, or raise what it raises."""
        done = threading.Event()
        results: list[T] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                results.append(function())
            except Exception as error:  # noqa: BLE001 - raised again in the test's thread
                errors.append(error)
            done.set()

        self.loop.call_from_thread(run)
        if not done.wait(LIMIT):
            raise AssertionError(f"the proxy's loop has not answered within {LIMIT} s")
        if errors:
            raise errors[0]
        return results[0]

    def serve(self, *listeners: Listener) -> None:
        """Apply these listeners."""
        self.call(lambda: self.proxy.apply(listeners))

    def route(self, container: str, target: tuple[str, int] | None) -> None:
        """Lead a declared container's connections to a backend, or hold them."""
        if target is None:
            self.call(lambda: self.proxy.set_route(container, None))
            return
        name = f"{target[0]}-{target[1]}"
        self.link.targets[name] = target
        self.call(lambda: self.proxy.set_route(container, Route("here", name)))

    def address(self, name: str, index: int = 0) -> tuple[str, int]:
        """Give where the listener's socket is bound."""
        address = self.call(lambda: self.proxy.addresses(name))[index]
        assert isinstance(address, tuple)
        return str(address[0]), int(address[1])

    def connect(self, name: str = "web") -> socket.socket:
        """Connect to the listener as a client."""
        return socket.create_connection(self.address(name), timeout=LIMIT)

    def statistics(self, name: str = "web") -> ListenerStatistics:
        """Give the listener's counts."""
        return self.call(self.proxy.statistics)[name]

    def stop(self) -> None:
        """Close the proxy and its loop."""
        self.call(self.proxy.close)
        self.loop.stop()
        self._thread.join(LIMIT)
        self.loop.close()


def listener(name: str = "web", *, binds: Iterable[Address] = (), **settings: object) -> Listener:
    """Give a listener on a port of the kernel's choice that leads to the container `name`."""
    chosen = tuple(binds) or (Address("127.0.0.1", 0),)
    values: dict[str, object] = {"container": name, "port": 80, "connect_timeout": LIMIT} | settings
    return Listener(name, chosen, **values)  # type: ignore[arg-type]  # a test's settings are checked by use


@contextmanager
def data_plane(*listeners: Listener, host: str = "127.0.0.1") -> Iterator[DataPlane]:
    """Give a running data plane with these listeners, or one called "web"."""
    location = Location(host)
    location.start()
    plane = DataPlane(location)
    try:
        plane.serve(*(listeners or (listener(),)))
        yield plane
    finally:
        plane.stop()
        location.stop()


@contextmanager
def backend(
    serve: Callable[[socket.socket], None], host: str = "127.0.0.1", port: int = 0
) -> Iterator[tuple[str, int]]:
    """Give the address of a TCP server that runs `serve` in a thread for each connection."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    threads: list[threading.Thread] = []
    with socket.create_server((host, port), family=family, backlog=1024) as listening:

        def handle(connection: socket.socket) -> None:
            connection.settimeout(LIMIT)
            with connection, contextlib.suppress(OSError):  # the test judges what arrived
                serve(connection)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                thread = threading.Thread(target=handle, args=(connection,), daemon=True)
                threads.append(thread)
                thread.start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield listening.getsockname()[:2]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join(LIMIT)
            for thread in threads:
                thread.join(LIMIT)


def echo(connection: socket.socket) -> None:
    """Send back what comes, until its end."""
    while data := connection.recv(65536):
        connection.sendall(data)


def receive_all(connection: socket.socket) -> bytes:
    """Receive until the peer's end."""
    parts = []
    while data := connection.recv(65536):
        parts.append(data)
    return b"".join(parts)


def is_reset(connection: socket.socket) -> bool:
    """Tell whether a connection ended by a reset, and not as if all had been said."""
    try:
        connection.recv(1)
    except ConnectionResetError:
        return True
    return False


def receive_exactly(connection: socket.socket, count: int) -> bytes:
    """Receive `count` bytes."""
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        assert part, f"the connection ended after {len(data)} of {count} bytes"
        data += part
    return data
