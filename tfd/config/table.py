"""The one table of keys: the parser, its messages and docs/configuration.md are made from it.

Defaults are those of the dataclasses in model.py; `absent` says in words what a missing key means where the
default is no value. `field` is the dataclass's field, where its name isn't the key's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tfd.config.addresses import AddressOf
from tfd.config.kinds import (
    Boolean,
    Choice,
    HttpPath,
    ListOf,
    LocationName,
    Name,
    NetworkOf,
    Number,
    Text,
    TextTable,
    Whole,
    as_table,
)
from tfd.config.model import Container, Daemon, Health, Listener, LocationAddress, Metrics, Restart
from tfd.config.sources import Files, ImageOf, Volumes
from tfd.config.units import Seconds, Size
from tfd.protocol.dataclass import dataclass
from tfd.protocol.drivers.relaying.proxy_protocol import ProxyProtocol

if TYPE_CHECKING:
    from tfd.config.kinds import Kind
    from tfd.config.problems import Place

PORT = Whole(1, 65535, "a port")
DAY = 86400.0


class LogLevel(StrEnum):
    """How much the log tells."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table in the document."""

    name: str
    kind: Kind
    doc: str
    example: str
    field: str = ""
    required: bool = False
    absent: str = ""

    @property
    def attribute(self) -> str:
        """The field of the model that holds its value."""
        return self.field or self.name


@dataclass(frozen=True, slots=True)
class Section:
    """One kind of table in the document, and the dataclass that it becomes."""

    header: str
    model: type[Any]
    doc: str
    keys: tuple[Key, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The keys that it knows."""
        return tuple(key.name for key in self.keys)

    def read(self, value: object, place: Place) -> dict[str, Any] | None:
        """Read a table's keys into values by their fields in the model.

        What is wrong or missing is reported and left out; None means that the value is no table at all.
        """
        table = as_table(value, place, f"a table: {self.header}")
        if table is None:
            return None
        for name in [name for name in table if name not in self.names]:
            place.at(name).unknown(name, "an unknown key", self.names)
        values: dict[str, Any] = {}
        for key in self.keys:
            if key.name in table:
                read = key.kind.read(table[key.name], place.at(key.name))
                if read is not None:
                    values[key.attribute] = read
            elif key.required:
                place.at(key.name).wrong("nothing", key.kind.allowed, "this key is required")
        return values


HEALTH = Section(
    "health",
    Health,
    "The question whether a container is good, asked from the location's side. Without `health`, a TCP "
    "connection to the port that the listener names has to be accepted.",
    (
        Key("port", PORT, "The container's port that is asked.", "80", required=True),
        Key(
            "http",
            HttpPath(),
            "Asks with an HTTP GET of this path; an answer from 200 to 399 is good.",
            '"/health"',
            absent="a TCP connection is enough",
        ),
        Key("interval", Seconds(0.1, 3600), "Time between two questions.", '"2s"'),
        Key("timeout", Seconds(0.1, 600), "Time after which no answer is a bad one.", '"2s"'),
        Key("rise", Whole(1, 100), "Good answers in a row that make a container good.", "2"),
        Key("fall", Whole(1, 100), "Bad answers in a row that make it bad, so that it is replaced.", "3"),
    ),
)


@dataclass(frozen=True, slots=True)
class HealthOf:
    """The value of `health`."""

    allowed: str = "a table such as { port = 80 }"

    def read(self, value: object, place: Place) -> Health | None:
        """Read the table."""
        if as_table(value, place, self.allowed) is None:
            return None
        values = HEALTH.read(value, place) or {}
        return Health(**values) if "port" in values else None


DAEMON = Section(
    "[daemon]",
    Daemon,
    "What concerns tfd as a whole. The table and each of its keys may be left out.",
    (
        Key(
            "environment",
            Name(),
            "Containers and volumes belong to it: two environments never touch each other's.",
            '"prod"',
        ),
        Key("log_level", Choice(LogLevel), "How much the log tells.", '"debug"'),
        Key(
            "heartbeat",
            Seconds(0.5, 60),
            "Time between two signs of life to a location; after three missed ones it counts as gone.",
            '"2s"',
        ),
        Key(
            "lease",
            Seconds(1, DAY),
            "How long a location that is gone may take to return, before its containers go elsewhere.",
            '"30s"',
        ),
    ),
)

CONTAINER = Section(
    "[container.NAME]",
    Container,
    "A container that tfd keeps alive. NAME is its name: lower-case letters, digits and inner dashes, at "
    "most 40 characters. A change of `image`, `command`, `entrypoint`, `environment`, `volumes`, `files` (or "
    "of what is in these files), `memory`, `cpus` or `processes` replaces the running container; the other "
    "keys change in place.",
    (
        Key(
            "image",
            ImageOf(),
            "What runs. A path starts from this file's directory; such an image is brought to the location.",
            '"nginx"',
            required=True,
        ),
        Key(
            "command",
            ListOf(Text()),
            "Arguments.",
            '["nginx", "-g", "daemon off;"]',
            absent="the image's own",
        ),
        Key(
            "entrypoint",
            ListOf(Text()),
            "The program, before the arguments. With it, the image's own arguments are left out.",
            '["/bin/sh", "-c"]',
            absent="the image's own",
        ),
        Key(
            "environment",
            TextTable(),
            "Environment variables.",
            '{ LANG = "C.UTF-8" }',
            absent="the image's own",
        ),
        Key(
            "volumes",
            Volumes(),
            "Named volumes and where they are mounted. A volume is made once and never deleted by tfd.",
            '["pages:/srv/pages"]',
            absent="none",
        ),
        Key(
            "files",
            Files(),
            "Files that are written before the container starts. A path on this machine starts from this "
            "file's directory; a file may have 16 MiB.",
            '{ "/etc/motd" = { content = "hello" } }',
            absent="none",
        ),
        Key(
            "memory",
            Size(4 * 2**20, 16 * 2**40),
            "Limit of memory.",
            '"512M"',
            absent="the location's default",
        ),
        Key("cpus", Number(0.01, 4096), "Limit of processors.", "1.5", absent="the location's default"),
        Key("processes", Whole(1, 2**22), "Limit of processes.", "200", absent="the location's default"),
        Key("restart", Choice(Restart), "When a process that has ended is started again.", '"on-failure"'),
        Key(
            "health",
            HealthOf(),
            "How its health is asked for; the keys are in the table below.",
            "{ port = 80 }",
            absent="a TCP connection to the listener's port",
        ),
        Key(
            "location",
            ListOf(LocationName(), one=True, distinct=True, empty=False),
            "Where it may run.",
            '["attic", "cellar"]',
            field="locations",
            absent="the best node of all locations",
        ),
        Key(
            "connects_to",
            ListOf(Name(), distinct=True),
            "Containers that it may reach, by their names; every other pair is closed.",
            '["database"]',
            absent="none",
        ),
        Key(
            "log",
            Boolean(),
            "Whether its output goes to the journal, under its name: `journalctl -t NAME`.",
            "false",
        ),
        Key(
            "enabled",
            Boolean(),
            "false removes the container and keeps its declaration and its volumes.",
            "false",
        ),
    ),
)

LISTENER = Section(
    "[[listener]]",
    Listener,
    "Local sockets, and the container that they lead to. There may be any number of these tables.",
    (
        Key(
            "bind",
            ListOf(AddressOf(listening=True), one=True, empty=False),
            'Where tfd listens. `"0.0.0.0:80"` is every IPv4 address, `"[::]:80"` every IPv6 address. '
            '`"systemd:NAME"` is what a .socket unit with `FileDescriptorName=NAME` listens on, '
            "see packaging/tfd.socket.",
            '"127.0.0.1:8080"',
            field="binds",
            required=True,
        ),
        Key("container", Name(), "The container, by its name in this file.", '"web"', required=True),
        Key("port", PORT, "The container's port.", "80", required=True),
        Key(
            "proxy_protocol",
            Choice(ProxyProtocol),
            "Sends the container a PROXY protocol header first, which tells it the client's address.",
            '"v2"',
        ),
        Key(
            "connect_timeout",
            Seconds(0, DAY),
            "How long a connection waits for a container that is down or starting, before it is reset.",
            '"30s"',
        ),
        Key("max_connections", Whole(1, 1_000_000), "Open connections at a time; more are reset.", "1000"),
        Key(
            "allow",
            ListOf(NetworkOf(), distinct=True, empty=False),
            "Networks whose addresses may connect.",
            '["192.0.2.0/24"]',
            absent="every address",
        ),
    ),
)

LOCATION = Section(
    "[location.NAME]",
    LocationAddress,
    "Where a location is reached, instead of the address that `tfd join` stored. A joined location needs no "
    "table.",
    (
        Key(
            "address",
            ListOf(AddressOf(listening=False), one=True, distinct=True, empty=False),
            "Its address, or several, tried in their order.",
            '"location.example.net:2020"',
            field="addresses",
            required=True,
        ),
    ),
)

METRICS = Section(
    "[metrics]",
    Metrics,
    "Where tfd shows how it is, over HTTP: a page for people on `/`, Prometheus metrics on `/metrics`, and "
    "more (see docs/observing.md). Without the table, nowhere. No password is asked for: whoever "
    "reaches it may look, and nobody can change anything.",
    (
        Key(
            "bind",
            ListOf(AddressOf(listening=True), one=True, distinct=True, empty=False),
            "Where tfd listens: loopback or a Unix socket, unless `allow` says who else may look.",
            '"127.0.0.1:9164"',
            field="binds",
            required=True,
        ),
        Key(
            "allow",
            ListOf(NetworkOf(), distinct=True, empty=False),
            'Networks whose addresses may look, besides this machine; `["0.0.0.0/0", "::/0"]` is everybody.',
            '["192.0.2.7"]',
            absent="this machine alone",
        ),
    ),
)

TOP = {
    "daemon": DAEMON,
    "container": CONTAINER,
    "listener": LISTENER,
    "location": LOCATION,
    "metrics": METRICS,
}
"""The tables of a document by their names."""
