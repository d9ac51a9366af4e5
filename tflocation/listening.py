"""Listening TCP sockets, for both ports of the service."""

import socket
from pathlib import Path

from tfd.protocol.drivers.systemd.listeners import SocketName


def listening_at(family: int, address: SocketName, *, both_families: bool = False) -> socket.socket:
    """Give a socket that listens at an address and never blocks. Raises OSError.

    One of IPv6 takes clients of IPv4 as well where it is for `both_families`.
    """
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both_families)
        listening.bind(address)
        listening.listen(_backlog())
    except OSError:
        listening.close()
        raise
    return listening


def _backlog() -> int:
    """Give the kernel's limit: SOMAXCONN of the C library may be an older kernel's 128."""
    try:
        return int(Path("/proc/sys/net/core/somaxconn").read_text("ascii"))
    except (OSError, ValueError):
        return socket.SOMAXCONN
