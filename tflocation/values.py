"""What a value of tflocation.toml may be: a parser for each kind, raising Invalid with what is allowed."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from pathlib import Path

from tflocation.limits import GIB, KIB, MIB, TIB

CONTROL_PORT = 2020

Parser = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table of the file: how its value is read, and what its manual says.

    `default` is what a missing key means, as the file writes it; where no value says that, it is empty and
    `absent` says it in words.
    """

    parse: Parser
    doc: str
    default: str = ""
    absent: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port; an empty host means all addresses of the machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host or '*'}:{self.port}"


class Invalid(Exception):  # noqa: N818 - carries what is allowed
    """A value that its key does not take."""


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+)\s*([smhdw]?)")
_FACTORS = {"": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LOG_LEVELS = ("debug", "info", "warning", "error")


def default_name(host: str) -> str:
    """Give the location's name where none is set: the host name without its domain."""
    short = re.sub(r"[^A-Za-z0-9._-]", "-", host.split(".", maxsplit=1)[0])
    return short if NAME.fullmatch(short) else "location"


def parse_size(value: object) -> int:
    """Bytes from a number or from text like "512 MiB" or "2G" (binary units).

    Raises ValueError on anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or float(match[1]) <= 0:
        raise ValueError('a size in bytes, or text such as "512 MiB" or "2 GiB"')
    return int(float(match[1]) * _FACTORS[match[2].upper()])


def parse_duration(text: str) -> int:
    """Seconds from text like "90", "15m", "12h", "1d", "2w".

    Raises ValueError on anything else.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or len(match[1]) > 9 or int(match[1]) == 0:
        raise ValueError('a duration such as "90s", "15m", "12h", "1d" or "2w"')
    return int(match[1]) * _SECONDS[match[2]]


def parse_address(text: str, default_port: int) -> Address:
    """Give an address from "host:port", "[v6]:port", "host" or "*:port".

    Raises ValueError on anything else.
    """
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%a-z]+)\]|([^\s:\[\]/]*))(?::(\d{1,5}))?", text.strip())
    if match is None or not text.strip():
        raise ValueError('"host:port" or "[v6 address]:port"')
    port = int(match[3]) if match[3] else default_port
    if port > 65535:
        raise ValueError("a port from 0 to 65535")
    host = match[1] or match[2] or ""
    return Address("" if host == "*" else host, port)


def text(value: object) -> str:
    """Take text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise Invalid("text that is not empty")
    return value


def name(value: object) -> str:
    """Take a name."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise Invalid("1 to 63 letters, digits, dots, dashes and underscores, a letter or digit first")
    return value


def bridge(value: object) -> str:
    """Take a bridge's name."""
    # Its containers' interfaces are named after it, and a name has 15 characters (IFNAMSIZ).
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9-]{0,10}", value):
        raise Invalid("1 to 11 lower-case letters, digits and dashes, a letter first")
    return value


def address(default_port: int) -> Callable[[object], Address]:
    """Give the parser of an address whose port may be left out."""

    def parse(value: object) -> Address:
        try:
            return parse_address(text(value), default_port)
        except ValueError as error:
            raise Invalid(str(error)) from error

    return parse


def public_address(value: object) -> Address:
    """Take an address that others can dial."""
    found = address(CONTROL_PORT)(value)
    if not found.host or found.port == 0:
        raise Invalid('the "host:port" under which clients reach this location')
    return found


def path(value: object) -> Path:
    """Take an absolute path."""
    found = Path(text(value))
    if not found.is_absolute():
        raise Invalid("an absolute path")
    return found


def engine(value: object) -> Path | None:
    """Take the path of a socket; None for "auto"."""
    return None if value == "auto" else path(value)


def subnet(value: object) -> IPv4Network:
    """Take an IPv4 network."""
    try:
        network = ip_network(text(value))
    except ValueError as error:
        raise Invalid('an IPv4 network such as "10.94.0.0/16"') from error
    if not isinstance(network, IPv4Network) or not 8 <= network.prefixlen <= 28:
        raise Invalid("an IPv4 network with a prefix from /8 to /28")
    return network


def texts(value: object) -> tuple[str, ...]:
    """Take a list of texts."""
    if not isinstance(value, list):
        raise Invalid("a list of texts")
    return tuple(text(item) for item in value)


def size(value: object) -> int:
    """Take a number of bytes."""
    try:
        return parse_size(value)
    except ValueError as error:
        raise Invalid(str(error)) from error


def seconds(value: object) -> int:
    """Take a duration."""
    try:
        return parse_duration(text(value))
    except ValueError as error:
        raise Invalid(str(error)) from error


def count(value: object) -> int:
    """Take a whole number."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1_000_000:
        raise Invalid("a whole number from 0 to 1000000")
    return value


def log_level(value: object) -> str:
    """Take a level of the log."""
    if value not in LOG_LEVELS:
        raise Invalid("one of " + ", ".join(LOG_LEVELS))
    return str(value)
