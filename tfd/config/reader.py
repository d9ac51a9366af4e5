"""Reads a configuration file: bytes, text, TOML, values, and what must hold between them.

It is imported when a file is to be read and holds nothing afterwards.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any, NoReturn

from tfd.config import checks
from tfd.config.kinds import LocationName, Name
from tfd.config.lines import Lines
from tfd.config.model import Config, Container, Daemon, Listener, LocationAddress, Metrics
from tfd.config.problems import ConfigErrors, Place, Problem, Report, shown
from tfd.config.sources import file_type, image_stamp, joined
from tfd.config.table import CONTAINER, DAEMON, LISTENER, LOCATION, METRICS, TOP

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tfd.config.kinds import Kind
    from tfd.config.table import Section

SIZE_LIMIT = 2**20  # bytes; far more than thousands of containers need
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# tomllib needs time by the square of a dotted key's parts: 20,000 took 6 s here.
_LONG_KEY = re.compile(r"""(?<![\w"'-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){100}""", re.ASCII)
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def load(path: str | os.PathLike[str], known_locations: Collection[str] | None = None) -> Config:
    """Read and check the configuration file at `path`.

    `known_locations` are the names of the locations joined; with them, a container's `location` that is
    neither joined nor declared is an error too. Raises ConfigErrors with everything that is wrong, and
    nothing else.
    """
    name = os.fspath(path)
    return parse(_read_bytes(name), name, os.path.dirname(joined(os.getcwd(), name)), known_locations)


def parse(data: bytes, file: str, directory: str, known_locations: Collection[str] | None = None) -> Config:
    """Check a configuration given as bytes; `file` is its name in messages.

    Relative paths in it start from `directory`. ConfigErrors as load() does.
    """
    text = _decode(data, file)
    document = _parse_toml(text, file)
    report = Report(file, directory, Lines(text).find)
    config = _build(document, Place(report), known_locations)
    report.raise_problems()
    return config


def _fail(file: str, line: int | None, found: str, allowed: str, hint: str = "") -> NoReturn:
    raise ConfigErrors([Problem(file, line, "", found, allowed, hint)])


def _read_bytes(file: str) -> bytes:
    allowed = "a TOML file"
    try:
        mode = os.stat(file).st_mode
        if not stat.S_ISREG(mode):
            _fail(file, None, file_type(mode), allowed)
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            data = opened.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        _fail(file, None, "no such file", allowed, "write it, or name another one with --config")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        _fail(file, None, f"a file that cannot be read: {reason}", allowed)
    if len(data) > SIZE_LIMIT:
        _fail(file, None, f"more than {SIZE_LIMIT} bytes", f"at most {SIZE_LIMIT}")
    return data


def _decode(data: bytes, file: str) -> str:
    if data.startswith(BYTE_ORDER_MARK):
        _fail(file, 1, "a byte-order mark", "UTF-8 without one", "save the file as plain UTF-8")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x} at offset {error.start}"
        _fail(file, line, found, "UTF-8", "save the file as plain UTF-8")


def _parse_toml(text: str, file: str) -> Mapping[str, object]:
    import tomllib

    if match := _LONG_KEY.search(text):
        line = text.count("\n", 0, match.start()) + 1
        _fail(file, line, "a key of 100 dotted parts or more", "keys of at most 4 parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        _fail(file, None, "lists or tables too deep in each other", "a depth of at most 4")
    except ValueError as error:
        message = str(error)
        position = _POSITION.search(message)
        if position is None:
            _fail(file, None, f"what is not TOML: {message}", "TOML 1.0")
        line = int(position[1]) if position[1] else text.count("\n") + 1
        column = f" in column {position[2]}" if position[2] else ""
        _fail(file, line, f"what is not TOML{column}: {message[: position.start()]}", "TOML 1.0")


def _build(document: Mapping[str, object], top: Place, known_locations: Collection[str] | None) -> Config:
    for name in [name for name in document if name not in TOP]:
        top.at(name).unknown(name, "an unknown table or key", tuple(TOP))
    containers = _containers(document.get("container", {}), top.at("container"))
    locations = _locations(document.get("location", {}), top.at("location"))
    listeners = _listeners(document.get("listener", []), top.at("listener"))
    daemon = DAEMON.read(document.get("daemon", {}), top.at("daemon"))
    names = _names(document, "container")
    checks.check_containers(containers, names, top)
    metrics = _metrics(document, top.at("metrics"))
    checks.check_listeners(listeners, names, top)
    checks.check_addresses(listeners, metrics, top)
    if known_locations is not None:
        known = _names(document, "location") | dict.fromkeys(sorted(known_locations))
        checks.check_locations(containers, known, top)
    served = tuple(listener for _, listener in listeners)
    return Config(Daemon(**daemon or {}), containers, served, locations, metrics)


def _names(document: Mapping[str, object], table: str) -> dict[str, None]:
    """Names of all tables under `table`, right or wrong, so that one mistake is told once."""
    tables = document.get(table)
    return dict.fromkeys(tables) if isinstance(tables, dict) else {}


def _named(value: object, place: Place, section: Section, names: Kind) -> dict[str, dict[str, Any]]:
    """Read tables by their names."""
    if not isinstance(value, dict):
        place.wrong(shown(value), f"tables with names: {section.header}")
        return {}
    found: dict[str, dict[str, Any]] = {}
    for name, raw in value.items():
        inner = place.at(name)
        if not isinstance(raw, dict):
            hint = f"the table needs a name: {section.header}" if name in section.names else ""
            hint = "write it with single brackets" if isinstance(raw, list) else hint
            inner.wrong(shown(raw), f"a table: {section.header}", hint)
            continue
        if names.read(name, inner) is not None:
            values = section.read(raw, inner)
            found[name] = values or {}
    return found


def _containers(value: object, place: Place) -> dict[str, Container]:
    containers: dict[str, Container] = {}
    for name, values in _named(value, place, CONTAINER, Name()).items():
        image = str(values.get("image", ""))
        containers[name] = Container(
            **{"name": name, "image": image, "image_stamp": image_stamp(image), **values}
        )
    return containers


def _locations(value: object, place: Place) -> dict[str, LocationAddress]:
    named = _named(value, place, LOCATION, LocationName())
    return {name: LocationAddress(**{"name": name, **values}) for name, values in named.items()}


def _metrics(document: Mapping[str, object], place: Place) -> Metrics:
    values = METRICS.read(document["metrics"], place) if "metrics" in document else None
    return Metrics(**values or {})


def _listeners(value: object, place: Place) -> list[tuple[int, Listener]]:
    """Read the listeners with their positions; what is missing in a wrong one stays empty."""
    if not isinstance(value, list):
        hint = "write [[listener]], with two brackets" if isinstance(value, dict) else ""
        place.wrong(shown(value), "a list of tables: [[listener]]", hint)
        return []
    listeners: list[tuple[int, Listener]] = []
    for position, raw in enumerate(value):
        values = LISTENER.read(raw, place.at(position))
        if values is not None:
            first = raw["bind"] if "binds" in values else ""
            name = first[0] if isinstance(first, list) and first else first
            empty: dict[str, Any] = {"name": name, "binds": (), "container": "", "port": 0}
            listeners.append((position, Listener(**empty | values)))
    return listeners
