"""Local sockets: bound before anything changes, accepted from without ever spinning, removed when closed."""

import errno
import socket
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tfd.protocol import logged
from tfd.protocol.address import Address
from tfd.protocol.drivers.log import Log
from tfd.protocol.drivers.loop import READ, Loop, Timer
from tfd.protocol.drivers.relaying.proxy_protocol import SocketAddress
from tfd.protocol.errors import TfdError

if TYPE_CHECKING:
    from pathlib import Path

# A burst on one socket must not keep the others waiting.
_ACCEPTS_AT_ONCE: Final = 64
_PAUSE: Final = 0.5
# No more descriptors or memory: the connection stays in the backlog, so epoll would tell of it again at once.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_UNIX_MODE: Final = 0o666

Accepted = Callable[[socket.socket, SocketAddress], None]


class BindError(TfdError):
    """An address cannot be bound; the message names it and says why."""

    def __init__(self, address: Address, message: str) -> None:
        super().__init__(f"cannot listen on {address}: {message}")
        self.address = address
        self.message = message


class BoundAddress:
    """The listening sockets of one address: several where its host is a name with several addresses.

    The sockets are bound and listening from the start; nothing is accepted before `serve`. Raises BindError.
    """

    def __init__(self, loop: Loop, log: Log, address: Address) -> None:
        self.address = address
        self._loop = loop
        self._log = log
        self._accepted: Accepted | None = None
        self._timer: Timer | None = None
        self._watched = False
        self._identity: tuple[int, int] | None = None
        try:
            self._sockets = [self._unix()] if address.is_unix else self._tcp()
        except OSError as error:
            raise BindError(address, error.strerror or str(error)) from error

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; they stay this object's."""
        return tuple(self._sockets)

    @property
    def names(self) -> list[SocketAddress]:
        """What getsockname() gives for each socket."""
        return [listening.getsockname() for listening in self._sockets]

    def serve(self, accepted: Accepted) -> None:
        """Call `accepted` with each new connection (non-blocking) and its peer from now on."""
        self._accepted = accepted
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
        for listening in self._sockets:
            listening.close()
        if self._identity is not None:
            from pathlib import Path

            path = Path(self.address.path)
            try:
                status = path.lstat()
                if (status.st_dev, status.st_ino) == self._identity:
                    path.unlink()
            except OSError as error:
                if error.errno != errno.ENOENT:
                    self._log.event("warning", f"cannot remove {path}: {error.strerror}")

    def accept(self, listening: socket.socket) -> None:
        """Accept what waits, up to a bound."""
        for _ in range(_ACCEPTS_AT_ONCE):
            # `accepted` may have paused or closed this address.
            if not self._watched or self._accepted is None:
                return
            try:
                connection, peer = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._exhausted(error)
                    return
                continue  # that one connection went away before it was accepted (accept(2))
            connection.setblocking(False)
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

    def _tcp(self) -> list[socket.socket]:
        host, port = self.address.host, self.address.port
        # As bytes, since Python loads its tables of Unicode for a text, whatever is in it.
        name = host.encode("ascii") if host.isascii() else host
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        sockets: list[socket.socket] = []
        try:
            for family, _, _, _, address in found:
                listening = socket.socket(family, socket.SOCK_STREAM)
                sockets.append(listening)
                listening.setblocking(False)
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    # So that 0.0.0.0 and [::] are two addresses, whatever net.ipv6.bindv6only says.
                    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self._bind(listening, address)
                listening.listen(_backlog())
        except OSError:
            for listening in sockets:
                listening.close()
            raise
        return sockets

    def _bind(self, listening: socket.socket, address: SocketAddress | tuple[int, bytes]) -> None:
        try:
            listening.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            # Started before the network: the address is bound now and works as soon as an interface has it.
            listening.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            listening.bind(address)
            message = f"no interface has the address of {self.address} yet; waiting for it"
            self._log.event(logged.LISTENER_WAITING, message, address=str(self.address))

    def _unix(self) -> socket.socket:
        from pathlib import Path

        path = Path(self.address.path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            _remove_stale(path)
            listening.bind(str(path))
            # As open as a port on 127.0.0.1; the directory's permissions say who gets this far.
            path.chmod(_UNIX_MODE)
            status = path.lstat()
            self._identity = (status.st_dev, status.st_ino)
            listening.listen(_backlog())
        except OSError:
            listening.close()
            raise
        return listening


class _Acceptor:
    """The loop's callback for one listening socket."""

    __slots__ = ("_bound", "_listening")

    def __init__(self, bound: BoundAddress, listening: socket.socket) -> None:
        self._bound = bound
        self._listening = listening

    def __call__(self, _events: int) -> None:
        self._bound.accept(self._listening)


_IP_FREEBIND: Final = 15  # linux/in.h; the socket module does not have it


def _backlog() -> int:
    """Give the kernel's limit: SOMAXCONN of the C library may be an older kernel's 128."""
    try:
        with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:  # noqa: PTH123 - small
            return int(file.read())
    except (OSError, ValueError):
        return socket.SOMAXCONN


def _remove_stale(path: "Path") -> None:
    """Remove a socket file on which nobody answers. Raises OSError where it is anything else."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "a file of that name exists and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # its backlog is full, so somebody listens
    raise OSError(errno.EADDRINUSE, "another process listens there")
