"""Ports below 1024 for a service that has no privilege: a small one binds them and hands the sockets over.

The service connects to a Unix socket that only its user may open (tfd-bind.socket), and says where to bind.
For each connection systemd runs this module, which may do no more (tfd-bind@.service). One request is a line,
"HOST PORT" with a numeric host; the answer is an errno (errno(3)), or the bound socket with "bound", or with
"waiting" where no interface has the address yet.
"""

import contextlib
import errno
import os
import socket
import sys
from typing import Final

from tfd.protocol.drivers.systemd.listeners import SocketName

ADDRESS: Final = "/run/tfd-bind.sock"
FIRST_FREE: Final = 1024
"""The lowest port that needs no privilege (ip(7), ip_unprivileged_port_start)."""

_LIMIT: Final = 5.0
_THERE: Final = b"bound"
_LONGEST: Final = 128
_IP_FREEBIND: Final = 15  # linux/in.h; the socket module does not have it


def bind(sock: socket.socket, name: SocketName) -> bool:
    """Bind a TCP socket to a numeric address as listeners need it; tell whether an interface has the address.

    Where none has it, the address works as soon as one does. Raises OSError.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        # So that 0.0.0.0 and [::] are two addresses, whatever net.ipv6.bindv6only says.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind(name)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        sock.bind(name)
        return False
    return True


def ask(name: SocketName, address: str = ADDRESS) -> tuple[socket.socket, bool]:
    """Have the other service bind a numeric address; give the socket, and what `bind` tells.

    Raises OSError, after 5 s too.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_LIMIT)
        connection.connect(address)
        connection.sendall(f"{name[0]!s} {name[1]!s}\n".encode())
        answer, descriptors, _, _ = socket.recv_fds(connection, _LONGEST, 1)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    if descriptors:
        return socket.socket(fileno=descriptors[0]), answer == _THERE
    number = int(answer) if answer.isdigit() else errno.EPROTO
    raise OSError(number, os.strerror(number))


def serve(connection: socket.socket) -> None:
    """Answer one request; whatever it says, nothing but a low port is bound."""
    connection.settimeout(_LIMIT)
    with contextlib.suppress(OSError):  # who asked has gone, and there is nobody to tell
        try:
            request = connection.recv(_LONGEST)
            sock, there = _bound(request.decode("ascii", "replace"))
            with sock:
                socket.send_fds(connection, [_THERE if there else b"waiting"], [sock.fileno()])
        except OSError as error:
            connection.sendall(str(error.errno or errno.EPROTO).encode())


def _bound(request: str) -> tuple[socket.socket, bool]:
    host, _, rest = request.partition(" ")
    port, newline, more = rest.partition("\n")
    plain = port.isascii() and port.isdecimal() and len(port) < 5
    if not newline or more or not plain or not 0 < int(port) < FIRST_FREE:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    try:
        flags = socket.AI_NUMERICHOST | socket.AI_PASSIVE
        found = socket.getaddrinfo(host.encode(), int(port), type=socket.SOCK_STREAM, flags=flags)[0]
    except (socket.gaierror, ValueError):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from None
    sock = socket.socket(found[0], socket.SOCK_STREAM)
    try:
        return sock, bind(sock, found[4])
    except OSError:
        sock.close()
        raise


if __name__ == "__main__":
    with socket.socket(fileno=sys.stdin.fileno()) as accepted:
        serve(accepted)
