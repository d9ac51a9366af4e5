"""tflocation.toml: one table of keys, from which the parser and its messages come."""

import difflib
import re
import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

from tflocation.limits import GIB, KIB, MIB, TIB, Limits

DEFAULT_PATH = Path("/etc/tflocation.toml")
CONTROL_PORT = 2020
CHANNEL_PORT = 2021
MAX_FILE = 1024 * KIB
"""Bytes; a longer file is a mistake (a wrong path), not a configuration."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the file: where it is (line where known), what was found, what is allowed."""

    file: str
    line: int | None
    text: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.text}"


class ConfigErrors(Exception):  # noqa: N818 - several at once
    """The file cannot be used; `problems` holds every mistake of it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port; an empty host means all addresses of the machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host or '*'}:{self.port}"


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of the service; each field is a key of the file of the same name."""

    name: str = field(default_factory=lambda: default_name(socket.gethostname()))
    listen: Address = Address("", CONTROL_PORT)
    channel_listen: Address = Address("", CHANNEL_PORT)
    address: Address | None = None
    engine: Path | None = None
    project: str = "tfd"
    pool: str | None = None
    network: str | None = None
    subnet: IPv4Network | None = None
    registries: tuple[str, ...] = ("docker.io",)
    insecure_registries: tuple[str, ...] = ()
    registry_credentials: Path | None = None
    pull_timeout: int = 900
    image_size: int = 16 * GIB
    cache_directory: Path | None = None
    cache_size: int = 20 * GIB
    log_level: str = "info"
    limits: Limits = field(default_factory=Limits)
    account_limits: Mapping[str, Limits] = field(default_factory=dict)

    def limits_of(self, account: str) -> Limits:
        """Give the limits that hold for the account of this name."""
        return self.account_limits.get(account, self.limits)


class _Invalid(Exception):  # noqa: N818 - carries what is allowed
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


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Invalid("text that is not empty")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise _Invalid("1 to 63 letters, digits, dots, dashes and underscores, a letter or digit first")
    return value


def _bridge(value: object) -> str:
    # Its containers' interfaces are named after it, and a name has 15 characters (IFNAMSIZ).
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9-]{0,10}", value):
        raise _Invalid("1 to 11 lower-case letters, digits and dashes, a letter first")
    return value


def _address(default_port: int) -> Callable[[object], Address]:
    def parse(value: object) -> Address:
        try:
            return parse_address(_text(value), default_port)
        except ValueError as error:
            raise _Invalid(str(error)) from error

    return parse


def _public_address(value: object) -> Address:
    address = _address(CONTROL_PORT)(value)
    if not address.host or address.port == 0:
        raise _Invalid('the "host:port" under which clients reach this location')
    return address


def _path(value: object) -> Path:
    path = Path(_text(value))
    if not path.is_absolute():
        raise _Invalid("an absolute path")
    return path


def _engine(value: object) -> Path | None:
    return None if value == "auto" else _path(value)


def _subnet(value: object) -> IPv4Network:
    try:
        network = ip_network(_text(value))
    except ValueError as error:
        raise _Invalid('an IPv4 network such as "10.94.0.0/16"') from error
    if not isinstance(network, IPv4Network) or not 8 <= network.prefixlen <= 28:
        raise _Invalid("an IPv4 network with a prefix from /8 to /28")
    return network


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _Invalid("a list of texts")
    return tuple(_text(item) for item in value)


def _size(value: object) -> int:
    try:
        return parse_size(value)
    except ValueError as error:
        raise _Invalid(str(error)) from error


def _seconds(value: object) -> int:
    try:
        return parse_duration(_text(value))
    except ValueError as error:
        raise _Invalid(str(error)) from error


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1_000_000:
        raise _Invalid("a whole number from 0 to 1000000")
    return value


def _log_level(value: object) -> str:
    if value not in LOG_LEVELS:
        raise _Invalid("one of " + ", ".join(LOG_LEVELS))
    return str(value)


Parser = Callable[[object], object]

KEYS: Mapping[str, Parser] = {
    "name": _name,
    "listen": _address(CONTROL_PORT),
    "channel_listen": _address(CHANNEL_PORT),
    "address": _public_address,
    "engine": _engine,
    "project": _name,
    "pool": _name,
    "network": _bridge,
    "subnet": _subnet,
    "registries": _texts,
    "insecure_registries": _texts,
    "registry_credentials": _path,
    "pull_timeout": _seconds,
    "image_size": _size,
    "cache_directory": _path,
    "cache_size": _size,
    "log_level": _log_level,
}

LIMIT_KEYS: Mapping[str, Parser] = {
    "containers": _count,
    "memory": _size,
    "volumes": _size,
    "container_memory": _size,
    "volume_size": _size,
}


def load(path: Path, *, required: bool = True) -> Config:
    """Read the file; where it is absent and not `required`, the defaults.

    Raises ConfigErrors with every mistake of the file.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        if not required:
            return Config()
        raise ConfigErrors([Problem(str(path), None, "there is no such file")]) from None
    except OSError as error:
        raise ConfigErrors([Problem(str(path), None, f"cannot be read: {error.strerror}")]) from error
    if len(raw) > MAX_FILE:
        raise ConfigErrors([Problem(str(path), None, f"is longer than {MAX_FILE} bytes")])
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigErrors([Problem(str(path), line, "is not UTF-8")]) from error
    return parse(text, str(path))


def parse(text: str, file: str) -> Config:
    """Give the settings of a file's text; `file` is named in the messages.

    Raises ConfigErrors with every mistake.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"line (\d+)", str(error))
        raise ConfigErrors([Problem(file, int(match[1]) if match else None, str(error))]) from error
    except RecursionError as error:
        raise ConfigErrors([Problem(file, None, "is nested too deeply")]) from error
    reader = _Reader(file, text)
    limits_table = document.pop("limits", {})
    values = reader.table(document, KEYS, "", extra=("limits",))
    values |= reader.limits(limits_table)
    if reader.problems:
        raise ConfigErrors(reader.problems)
    return Config(**values)


class _Reader:
    """Turns tables into values and collects what is wrong with them."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._lines = text.splitlines()
        self.problems: list[Problem] = []

    def table(
        self, table: Mapping[str, object], keys: Mapping[str, Parser], where: str, extra: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in table.items():
            parser = keys.get(key)
            if parser is None:
                self._unknown(key, (*keys, *extra), where)
                continue
            try:
                values[key] = parser(value)
            except _Invalid as error:
                self._note(where, key, f"{where}{key} = {_shown(value)}: allowed is {error}")
        return values

    def limits(self, table: object) -> dict[str, Any]:
        if not isinstance(table, dict):
            self._note("", "limits", f"limits = {_shown(table)}: allowed is a table [limits]")
            return {}
        defaults = Limits(
            **self.table({k: v for k, v in table.items() if not isinstance(v, dict)}, LIMIT_KEYS, "limits.")
        )
        base = {item.name: getattr(defaults, item.name) for item in fields(Limits)}
        accounts = {
            name: Limits(**(base | self.table(own, LIMIT_KEYS, f"limits.{name}.")))
            for name, own in table.items()
            if isinstance(own, dict)
        }
        return {"limits": defaults, "account_limits": accounts}

    def _unknown(self, key: str, known: tuple[str, ...], where: str) -> None:
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; allowed are {', '.join(known)}"
        self._note(where, key, f"{where}{key} is not a setting{hint}")

    def _note(self, where: str, key: str, text: str) -> None:
        self.problems.append(Problem(self._file, self._line(where.rstrip("."), key), text))

    def _line(self, table: str, key: str) -> int | None:
        """Give the first line that sets `key` in `table`; None where the file writes it in an unusual way."""
        current = ""
        for number, line in enumerate(self._lines, 1):
            header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
            if header:
                current = header[1].replace('"', "")
                if f"{table}.{key}".lstrip(".") == current:
                    return number
            elif current == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return number
        return None


def _shown(value: object) -> str:
    """Give a value as the message quotes it: one line, not long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
