"""How an address becomes listening sockets: taken over, lent by systemd, or bound anew."""

import contextlib
import errno
import os
import socket
import stat
from typing import Final

from tfd.protocol import logged
from tfd.protocol.address import Address
from tfd.protocol.drivers.log import Log
from tfd.protocol.drivers.relaying.proxy_protocol import SocketAddress
from tfd.protocol.drivers.systemd.listeners import KeptListeners
from tfd.protocol.drivers.systemd.low_ports import ask, bind
from tfd.protocol.errors import TfdError

_UNIX_MODE: Final = 0o666


class BindError(TfdError):
    """An address cannot be bound; the message names it and says why."""

    def __init__(self, address: Address, message: str) -> None:
        super().__init__(f"cannot listen on {address}: {message}")
        self.address = address
        self.message = message


class Listening:
    """One listening socket, and what goes with it.

    Args:
        sock: the socket, which becomes this object's.
        kept: where it is kept under the name `stored`; None where it is not.
        stored: that name.
        identity: device and inode of a Unix socket's file that was made for it, and is removed with it.

    """

    __slots__ = ("_identity", "_kept", "_stored", "socket")

    def __init__(
        self,
        sock: socket.socket,
        kept: KeptListeners | None = None,
        stored: str = "",
        identity: tuple[int, int] | None = None,
    ) -> None:
        self.socket = sock
        self._kept = kept
        self._stored = stored
        self._identity = identity

    def close(self) -> None:
        """End it for good. Raises OSError where its file cannot be removed; all else is done then."""
        path = self.socket.getsockname() if self._identity is not None else ""
        if self._kept is not None and self._stored:
            # The service manager's copy would go on listening until it comes to closing it.
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self._kept.forget(self._stored)
        self.socket.close()
        if path and _identity(path) == self._identity:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def leave(self) -> None:
        """Close this process's copy alone."""
        self.socket.close()


def listen(address: Address, log: Log, kept: KeptListeners | None) -> list[Listening]:
    """Give the listening sockets of an address, all of them non-blocking. Raises BindError."""
    try:
        if address.passed:
            return _passed(address, kept)
        return [_unix(address, kept)] if address.is_unix else _tcp(address, log, kept)
    except OSError as error:
        raise BindError(address, error.strerror or str(error)) from error


def close_unwanted(kept: KeptListeners, log: Log) -> None:
    """Close for good what the process before listened on, and nobody took over."""
    for before in kept.take_rest():
        name = before.socket.getsockname()
        text = f"listening no longer on {_shown(name)}, which the configuration does not name"
        log.event(logged.LISTENER_CLOSED, text, listener=_shown(name))
        identity = None
        with contextlib.suppress(OSError):
            if before.socket.family == socket.AF_UNIX:
                found = _identity(name)
                identity = found if found is not None and _mark(found) == before.mark else None
            Listening(before.socket, kept, before.name, identity).close()


def _shown(name: SocketAddress) -> str:
    return str(Address(path=name) if isinstance(name, str) else Address(str(name[0]), int(name[1])))


def _passed(address: Address, kept: KeptListeners | None) -> list[Listening]:
    sockets = kept.passed(address.passed) if kept is not None else []
    if not sockets:
        names = ", ".join(kept.passed_names) if kept is not None else ""
        raise BindError(
            address,
            f"systemd passed {f'only {names}' if names else 'no sockets'}; have a .socket unit with "
            f"FileDescriptorName={address.passed} and Service= this one, and start both anew",
        )
    return [Listening(sock) for sock in sockets]


def _tcp(address: Address, log: Log, kept: KeptListeners | None) -> list[Listening]:
    # As bytes, since Python loads its tables of Unicode for a text, whatever is in it.
    name = address.host.encode("ascii") if address.host.isascii() else address.host
    found = socket.getaddrinfo(name, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[Listening] = []
    try:
        for family, _, _, _, numeric in found:
            before = kept.find(family, numeric) if kept is not None else None
            if before is not None:
                before.socket.listen(_backlog())
                made.append(Listening(before.socket, kept, before.name))
            elif kept is not None and (lent := kept.lent(family, numeric)) is not None:
                made.append(Listening(lent))
            else:
                sock = _bind_tcp(family, numeric, address, log)
                made.append(Listening(sock, kept, kept.keep(sock) if kept is not None else ""))
                sock.setblocking(False)
                sock.listen(_backlog())
    except OSError:
        for listening in made:
            listening.close()
        raise
    return made


def _bind_tcp(
    family: int, numeric: SocketAddress | tuple[int, bytes], address: Address, log: Log
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        there = bind(sock, numeric)
    except PermissionError:
        sock.close()
        sock, there = _low_port(numeric)
    except OSError:
        sock.close()
        raise
    if not there:
        message = f"no interface has the address of {address} yet; waiting for it"
        log.event(logged.LISTENER_WAITING, message, address=str(address))
    return sock


def _low_port(numeric: SocketAddress | tuple[int, bytes]) -> tuple[socket.socket, bool]:
    try:
        return ask(numeric)
    except (FileNotFoundError, ConnectionRefusedError, PermissionError) as error:
        text = "permission denied: it takes root, CAP_NET_BIND_SERVICE, or the unit tfd-bind.socket"
        raise OSError(errno.EACCES, text) from error


def _unix(address: Address, kept: KeptListeners | None) -> Listening:
    path = address.path
    before = kept.find(socket.AF_UNIX, address.path) if kept is not None else None
    if kept is not None and before is not None:
        identity = _identity(path)
        if identity is not None and before.mark == _mark(identity):
            before.socket.listen(_backlog())
            return Listening(before.socket, kept, before.name, identity)
        # Its file is gone or another's: no client comes to it any more.
        Listening(before.socket, kept, before.name).close()
    lent = kept.lent(socket.AF_UNIX, address.path) if kept is not None else None
    if lent is not None:
        return Listening(lent)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        _remove_stale(path)
        sock.bind(address.path)
        # As open as a port on 127.0.0.1; the directory's permissions say who gets this far.
        os.chmod(path, _UNIX_MODE)
        identity = _identity(path)
        sock.listen(_backlog())
        stored = kept.keep(sock, _mark(identity)) if kept is not None and identity is not None else ""
    except OSError:
        sock.close()
        raise
    return Listening(sock, kept, stored, identity)


def _identity(path: str) -> tuple[int, int] | None:
    """Give a file's device and inode, None where there is no such file. Raises OSError."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _mark(identity: tuple[int, int]) -> str:
    return f"{identity[0]}-{identity[1]}"


def _backlog() -> int:
    """Give the kernel's limit: SOMAXCONN of the C library may be an older kernel's 128."""
    try:
        with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return socket.SOMAXCONN


def _remove_stale(path: str) -> None:
    """Remove a socket file on which nobody answers. Raises OSError where it is anything else."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "a file of that name exists and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # its backlog is full, so somebody listens
    raise OSError(errno.EADDRINUSE, "another process listens there")
