"""PROXY protocol headers, which tell a container who its client is.

Source: haproxy's doc/proxy-protocol.txt, versions 1 (section 2.1) and 2 (section 2.2). No I/O.
"""

from __future__ import annotations

import os
import socket
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_VERSION_2_PROXY: Final = b"\x21"
_TCP4: Final = b"\x11"
_TCP6: Final = b"\x21"
_UNIX_STREAM: Final = b"\x31"
_UNIX_PATH_SIZE: Final = 108

SocketAddress = tuple[str, int] | tuple[str, int, int, int] | str | bytes
"""What accept() and getsockname() give for TCP over IPv4, TCP over IPv6, and Unix sockets."""


class ProxyProtocol(StrEnum):
    """Which PROXY protocol header a container gets first (haproxy's proxy-protocol.txt)."""

    OFF = "off"
    V1 = "v1"
    V2 = "v2"


def header(version: ProxyProtocol, source: SocketAddress, destination: SocketAddress) -> bytes:
    """Give the header for a connection from `source` to `destination`, b"" for ProxyProtocol.OFF."""
    if version is ProxyProtocol.OFF:
        return b""
    if isinstance(source, tuple) and isinstance(destination, tuple):
        return _tcp(version, source, destination)
    if version is ProxyProtocol.V1:
        return b"PROXY UNKNOWN\r\n"
    addresses = b"".join(_unix_path(address) for address in (source, destination))
    return _version_2(_UNIX_STREAM, addresses)


def _tcp(
    version: ProxyProtocol,
    source: tuple[str, int] | tuple[str, int, int, int],
    destination: tuple[str, int] | tuple[str, int, int, int],
) -> bytes:
    from_ip, to_ip = bare_address(source[0]), bare_address(destination[0])
    if from_ip.version != to_ip.version:
        # One header has one family: an IPv4 address is written as IPv6 has it (RFC 4291, 2.5.5.2).
        from_ip, to_ip = _as_v6(from_ip), _as_v6(to_ip)
    if version is ProxyProtocol.V1:
        return f"PROXY TCP{from_ip.version} {from_ip} {to_ip} {source[1]} {destination[1]}\r\n".encode()
    ports = source[1].to_bytes(2, "big") + destination[1].to_bytes(2, "big")
    return _version_2(_TCP4 if from_ip.version == 4 else _TCP6, from_ip.packed + to_ip.packed + ports)


def _version_2(family: bytes, addresses: bytes) -> bytes:
    return SIGNATURE + _VERSION_2_PROXY + family + len(addresses).to_bytes(2, "big") + addresses


def _unix_path(address: SocketAddress) -> bytes:
    path = b"" if isinstance(address, tuple) else os.fsencode(address)
    return path[:_UNIX_PATH_SIZE].ljust(_UNIX_PATH_SIZE, b"\0")


def bare_address(text: str) -> IPv4Address | IPv6Address:
    """Give an address as clients know it: no scope, and IPv4 where a socket for both has mapped it."""
    from ipaddress import IPv6Address, ip_address  # 0.3 MB, for those who allow or tell addresses

    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _as_v6(address: IPv4Address | IPv6Address) -> IPv6Address:
    from ipaddress import IPv6Address

    if isinstance(address, IPv6Address):
        return address
    return IPv6Address(b"\0" * 10 + b"\xff\xff" + socket.inet_aton(str(address)))
