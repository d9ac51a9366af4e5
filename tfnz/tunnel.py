"""A TCP listener here that leads to a port of a container."""

import logging
import socket as sockets
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast
from weakref import ref

from tfd.protocol.address import Address
from tfd.protocol.drivers.relaying.connection import Connection as Relayed
from tfd.protocol.drivers.relaying.driver import Counts
from tfd.protocol.drivers.relaying.listener import BindError, BoundAddress
from tfd.protocol.drivers.relaying.proxy_protocol import SocketAddress
from tfd.protocol.drivers.relaying.sockets import CLIENT_OPTIONS
from tfnz import relaying
from tfnz.base import Ending, Killable, Waitable, as_text, new_uuid

if TYPE_CHECKING:
    from tfnz.connection import Connection
    from tfnz.container import Container
    from tfnz.facets.tunnels import Tunnels
    from tfnz.node import Node

TIMEOUT: Final = 30.0
"""Seconds that a connection waits for the container's port to accept it."""

HIGHEST_PORT: Final = 65535
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - decided: without an address a tunnel serves all
_TRIES: Final = 16

log = logging.getLogger(__name__)


class LocalPort(int):
    """A port number that may also be called, for programs of either kind."""

    def __call__(self) -> int:
        """Give the number."""
        return int(self)


class Tunnel(Waitable, Killable, Ending):
    """A TCP listener here, and the connections that it has accepted. Made by `Container.attach_tunnel`.

    Connections are relayed both ways with back-pressure, each direction ends on its own, and a service that
    refuses is tried for `timeout` seconds. Leaving `with` destroys it. Attributes: `uuid`, `port` (in the
    container), `lp` (here), `bind` (None for all addresses), `timeout` (seconds), `proxies` (the open
    connections, by a number).

    Args:
        container: where to; it is ready.
        port: 1..65535.
        localport: 0 for one that the system picks.
        bind: an address or a name of this machine, None for all addresses, IPv4 and IPv6.
        timeout: seconds.

    """

    def __init__(
        self,
        container: "Tunnels",
        port: int,
        localport: int,
        bind: str | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        Waitable.__init__(self, locked=False)
        Killable.__init__(self)
        self.uuid = new_uuid()
        self.port = port
        self.lp = localport
        self.bind = bind
        self.node: Node = container.node()
        self.created = False
        self.sess = b""
        self.proxies: dict[int, Relayed] = {}
        self._container = ref(container)
        self._tunnels = container.location().tunnels
        self._connection: Connection = container.conn()
        self._target = relaying.Target(
            f"tunnel {as_text(self.uuid)}", container.container_id(), port, float(timeout)
        )
        self._through: relaying.Relaying | None = None
        self._bound: list[BoundAddress] = []
        self._counts = Counts()
        self._last = 0

    def __repr__(self) -> str:
        return f"<Tunnel '{as_text(self.uuid)}' localport={self.lp} port={self.port}>"

    def _leave(self) -> None:
        self.destroy()

    def container(self) -> "Container | None":
        """Give the container that it leads to."""
        return cast("Container | None", self._container())

    @property
    def localport(self) -> LocalPort:
        """The port here, which may also be called. Raises ValueError once the tunnel is destroyed.

        Called, it gives a plain int: socket.getaddrinfo takes no other (CPython's socketmodule.c).
        """
        self.ensure_alive()
        return LocalPort(self.lp)

    @property
    def timeout(self) -> float:
        """Seconds that a new connection waits for the container's port."""
        return self._target.connect_timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._target.connect_timeout = float(seconds)

    @property
    def socket(self) -> sockets.socket | None:
        """The first listening socket, None when there is none."""
        return self._bound[0].sockets[0] if self._bound else None

    @property
    def fd(self) -> int | None:
        """Its descriptor."""
        listening = self.socket
        return listening.fileno() if listening is not None else None

    def connect(self) -> None:
        """Listen. Repeatable. Raises OSError where the address cannot be had, ValueError once destroyed."""
        self.ensure_alive()
        if self.created:
            return
        plane = self._connection.data_plane
        self._connection.on_loop(lambda: self._listen(relaying.of(plane)))
        self.created = True
        self._tunnels[self.uuid] = self
        log.info("Creating remote tunnel: %s (%d -> %d)", as_text(self.uuid), self.lp, self.port)
        if self.bind is None:
            addresses = " and ".join(str(bound.address.host) for bound in self._bound)
            log.info(
                "It listens on all addresses: %s; bind it to 127.0.0.1 to keep it to this machine", addresses
            )

    def destroy(self, with_command: bool = True) -> None:  # noqa: ARG002 - as programs pass it
        """Stop listening and reset all connections. Repeatable.

        Args:
            with_command: without meaning; programs written for 20ft pass it.

        """
        if self.dead:
            return
        self.mark_as_dead()
        self._tunnels.pop(self.uuid, None)
        if self.created:
            with suppress(ValueError):  # the connection is closed, and with it all that it listened on
                self._connection.on_loop(self._close)
        log.info("Destroyed remote tunnel: %s", as_text(self.uuid))

    # In the loop's thread.

    def _listen(self, through: relaying.Relaying) -> None:
        self._through = through
        if self.bind is None:
            self._bound = self._bind_everywhere()
        else:
            self._bound = [self._bind_one(self.bind, self.lp)]
        self.lp = _port(self._bound[0])
        through.serve(self._target)
        for bound in self._bound:
            bound.serve(self._accepted, CLIENT_OPTIONS)

    def _bind_everywhere(self) -> list[BoundAddress]:
        """Bind one port on all addresses of both families; a machine may have but one of them."""
        for _ in range(_TRIES):
            first = self._bind_one(_EVERYWHERE[0], self.lp)
            if not sockets.has_ipv6:
                return [first]
            try:
                return [first, self._bind_one(_EVERYWHERE[1], _port(first))]
            except OSError as error:
                if not _is_taken(error):
                    return [first]
                first.close()
                if self.lp:
                    raise
        raise OSError(f"no port was free for both IPv4 and IPv6 in {_TRIES} tries")

    def _bind_one(self, host: str, port: int) -> BoundAddress:
        try:
            return BoundAddress(self._connection.loop, self._connection.log, Address(host, port))
        except BindError as error:
            cause = error.__cause__
            number = cause.errno if isinstance(cause, OSError) else None
            raise OSError(number, str(error)) from error

    def _accepted(self, client: sockets.socket, peer: SocketAddress) -> None:
        assert self._through is not None
        self._last += 1
        number = self._last
        relayed = self._through.relay(
            self._target, self._counts, client, peer, lambda: _ignore(self.proxies.pop(number, None))
        )
        self.proxies[number] = relayed

    def _close(self) -> None:
        for bound in self._bound:
            bound.close()
        self._bound = []
        for relayed in list(self.proxies.values()):
            relayed.abort()


def attach(
    container: "Tunnels",
    port: int | str,
    localport: int | str | None = None,
    bind: str | None = None,
    timeout: float = TIMEOUT,
) -> Tunnel:
    """Make a tunnel and enter it in its location. `localport` None is the same as `port`.

    Raises ValueError for a port that is none, OSError where the address cannot be had.
    """
    remote = port_number(port, lowest=1)
    local = remote if localport is None else port_number(localport, lowest=0)
    if bind is not None and not isinstance(bind, str):
        raise ValueError(f"bind: {bind!r} is not an address")
    tunnel = Tunnel(container, remote, local, bind, timeout)
    tunnel.connect()
    return tunnel


def port_number(port: int | str, *, lowest: int) -> int:
    """Give a TCP port as a number. Raises ValueError for what is none."""
    try:
        number = int(port) if isinstance(port, int | str) and not isinstance(port, bool) else -1
    except ValueError:
        number = -1
    if not lowest <= number <= HIGHEST_PORT:
        raise ValueError(f"{port!r} is not a TCP port; allowed: {lowest} to {HIGHEST_PORT}")
    return number


def _port(bound: BoundAddress) -> int:
    name = bound.names[0]
    assert isinstance(name, tuple)
    return name[1]


def _is_taken(error: OSError) -> bool:
    import errno

    return error.errno == errno.EADDRINUSE


def _ignore(_value: object) -> None:
    """Take a value that is of no interest."""
