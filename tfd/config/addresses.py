"""Addresses as the configuration writes them: "host:port", "[v6]:port" and "unix:/path"."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from tfd.config.kinds import InnerPath
from tfd.config.problems import shown
from tfd.protocol.address import Address
from tfd.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from tfd.config.problems import Place

UNIX_LENGTH = 107  # bytes of sockaddr_un.sun_path without its NUL, unix(7)
HOST_LENGTH = 253  # RFC 1035, 2.3.4

_LABEL = r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_PASSED = re.compile(r"[ -9;-~]{1,255}")  # systemd's fdname_is_valid()
_BRACKETS = re.compile(r"\[([^\[\]]*)\]:([^:]*)")


@dataclass(frozen=True, slots=True)
class AddressOf:
    """An address to listen on, which may also be a Unix socket's or systemd's, or one to connect to."""

    listening: bool

    @property
    def allowed(self) -> str:
        """How the addresses are written."""
        more = ', "unix:/path" or "systemd:NAME"' if self.listening else ""
        return f'"host:port", "[v6]:port"{more}, with a port from 1 to 65535'

    def read(self, value: object, place: Place) -> Address | None:
        """Read one address; a host name stays a name."""
        if isinstance(value, str) and self.listening:
            if value.startswith("unix:"):
                return _read_unix(value, place)
            if value.startswith("systemd:"):
                return _read_passed(value, place)
        if isinstance(value, str) and (address := parse(value)):
            return address
        place.wrong(shown(value), self.allowed, _hint(value))
        return None


def parse(text: str) -> Address | None:
    """Return the address that `text` names as host and port, or None when it is none."""
    if match := _BRACKETS.fullmatch(text):
        host, port = _canonical_v6(match[1]), _port(match[2])
    else:
        name, _, number = text.rpartition(":")
        host, port = _canonical_name(name), _port(number)
    return Address(host, port) if host and port else None


def _read_unix(value: str, place: Place) -> Address | None:
    path = InnerPath("an absolute path after unix:").read(value.removeprefix("unix:"), place)
    if path is None:
        return None
    if len(path.encode()) > UNIX_LENGTH:
        place.wrong(f"a path of {len(path.encode())} bytes", f"at most {UNIX_LENGTH} for a Unix socket")
        return None
    return Address(path=path)


def _read_passed(value: str, place: Place) -> Address | None:
    name = value.removeprefix("systemd:")
    if _PASSED.fullmatch(name):
        return Address(passed=name)
    place.wrong(
        shown(value),
        "after systemd: a FileDescriptorName=, at most 255 characters of printable ASCII without ':'",
        "without FileDescriptorName=, the name is that of the unit, such as tfd.socket" if not name else "",
    )
    return None


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text):
        return 0
    return int(text) if int(text) < 65536 else 0


def _canonical_v6(text: str) -> str:
    address, percent, zone = text.partition("%")
    if percent and not re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", zone):
        return ""
    try:
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, address)) + percent + zone
    except (OSError, ValueError):
        return ""


def _canonical_name(text: str) -> str:
    if len(text) > HOST_LENGTH or not _HOST.fullmatch(text):
        return ""
    if not re.fullmatch(r"[0-9.]*", text):
        return text.lower()
    try:
        socket.inet_pton(socket.AF_INET, text)
    except OSError:
        return ""
    return text


def _hint(value: object) -> str:
    """Say what was probably meant."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536:
        return f'write "127.0.0.1:{value}", or "0.0.0.0:{value}" for every IPv4 address'
    if not isinstance(value, str) or len(value) > HOST_LENGTH:
        return ""
    if _port(value):
        return f'write "127.0.0.1:{value}", or "0.0.0.0:{value}" for every IPv4 address'
    host, _, number = value.rpartition(":")
    if _port(number) and host in ("", "*"):
        return f'write "0.0.0.0:{number}" for every IPv4 address, "[::]:{number}" for every IPv6 one'
    if _port(number) and _canonical_v6(host):
        return f'write an IPv6 address in brackets: "[{host}]:{number}"'
    if _canonical_v6(value):
        return f'write an IPv6 address in brackets, and a port: "[{value}]:80"'
    if _canonical_name(value) or _canonical_v6(value.strip("[]")):
        return "the port is missing"
    return ""
