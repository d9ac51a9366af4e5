"""The one table of commands: who may send each, with which parameters, and whether it may be repeated.

Both ends read it: the location checks every request against it, the client learns which requests
it may send again after a reconnect.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any

from tfd.protocol.errors import Code, CommandError
from tfd.protocol.schema import (
    Binary,
    Choice,
    Flag,
    Integer,
    ListOf,
    MapOf,
    Mismatch,
    Number,
    Parameter,
    Row,
    Table,
    Text,
    shown,
)


class Role(IntEnum):
    """What an account may do; each role may do all that the lower ones may."""

    GUEST = 0
    USER = 1
    ADMIN = 2


class Repeat(Enum):
    """What a second execution of the same request does."""

    IDEMPOTENT = "idempotent"
    """The same as one: it is simply sent and executed again when the answer is unknown."""
    KEYED = "keyed"
    """Harm: within a session the location executes it once and keeps the answer. With a parameter `key`
    the location also recognises it in a later session."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `stream` says that the request opens a stream with its id."""

    name: str
    parameters: tuple[Parameter, ...]
    role: Role
    repeat: Repeat
    doc: str
    stream: bool = False

    @property
    def has_key(self) -> bool:
        """Whether the location recognises a repeated request even in another session."""
        return any(parameter.name == "key" for parameter in self.parameters)


EVENTS = frozenset({"heartbeat", "container.changed", "container.gone", "container.health", "session.ended"})

_PART = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"

SESSION_ID = Binary(16, 16)
TOKEN = Binary(16, 16)
TICKET_ID = Binary(16, 16)
CIPHER = Text(32, pattern=re.compile(r"[a-z0-9-]+"), says="a cipher's name")
PROGRAM = Text(64, pattern=re.compile(r"[ -~]+"), says="1 to 64 printable ASCII characters")
HEARTBEAT = Number(0.1, 60, "s")
PORT = Integer(1, 65535)
NAME = Text(
    63, pattern=re.compile(_PART), says="1 to 63 letters, digits, '-', '_' or '.', a letter or digit first"
)
DIGEST = Text(71, pattern=re.compile(r"sha256:[0-9a-f]{64}"), says="sha256: and 64 hexadecimal digits")
IMAGE = Text(
    255,
    pattern=re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]*"),
    says="an image's name or digest, up to 255 characters",
)
CONTAINER_ID = Text(63, pattern=re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*"), says="a container's id")
CONTAINER_NAME = Text(
    136,
    pattern=re.compile(rf"{_PART}/{_PART}/[0-9]{{1,6}}"),
    says="environment/NAME/replica, replica a number",
)
VOLUME_NAME = Text(127, pattern=re.compile(rf"{_PART}/{_PART}"), says="environment/NAME")
KEY = Text(64, pattern=re.compile(r"[!-~]+"), says="1 to 64 printable ASCII characters")
PATH = Text(
    4096,
    pattern=re.compile(r"/(?!(?:.*/)?\.\.?(?:/|\Z))[^\x00-\x1f\x7f]*"),
    says="an absolute path without . or .. or control characters in it",
)
SIZE = Integer(0, 1 << 44, size=True)
MANIFEST = Binary(2, 512 * 1024)
PROBE = Table(
    (
        Parameter("kind", Choice(("tcp", "http"))),
        Parameter("port", PORT),
        Parameter(
            "path",
            Text(1024, pattern=re.compile(r"/[!-~]*"), says="a path: / and printable ASCII without spaces"),
            required=False,
        ),
        Parameter("interval", Number(0.1, 3600, "s")),
        Parameter("timeout", Number(0.1, 3600, "s")),
        Parameter("rise", Integer(1, 100)),
        Parameter("fall", Integer(1, 100)),
    )
)
FILE = Table((Parameter("digest", DIGEST), Parameter("mode", Integer(0, 0o777))))
"""What a file in a container is: the blob with its contents, and its permission bits; root owns it."""
ARGUMENTS = ListOf(Text(128 * 1024, minimum=0), 1024)
CONTAINER_CONFIG = Table(
    (
        Parameter("command", ARGUMENTS, required=False),
        Parameter("entrypoint", ARGUMENTS, required=False),
        Parameter(
            "environment",
            MapOf(
                Text(
                    256, pattern=re.compile(r"[!-<>-~]+"), says="a variable's name: printable ASCII without ="
                ),
                Text(128 * 1024, minimum=0),
                1024,
            ),
            required=False,
        ),
        Parameter("volumes", ListOf(Row((("name", VOLUME_NAME), ("mount", PATH))), 64), required=False),
        Parameter("files", MapOf(PATH, FILE, 256), required=False),
        Parameter("memory", Integer(1 << 20, 1 << 44, size=True), required=False),
        Parameter("cpus", Number(0.01, 4096), required=False),
        Parameter("processes", Integer(1, 1 << 22), required=False),
    )
)
WELCOME = Table(
    (
        Parameter("version", Integer(1, 1 << 16)),
        Parameter("location", Text(255)),
        Parameter("account", Text(255, minimum=0)),
        Parameter("role", Choice(tuple(role.name.lower() for role in Role))),
        Parameter("resumed", Flag()),
        Parameter("cipher", CIPHER),
        Parameter("heartbeat", HEARTBEAT),
        Parameter("channel_port", PORT),
    )
)
"""The reply of hello."""

_ID = (Parameter("id", CONTAINER_ID),)
_LAYER = Table((Parameter("digest", DIGEST), Parameter("size", SIZE)))
_MANIFEST_AND_NAMES = (Parameter("manifest", MANIFEST), Parameter("names", ListOf(IMAGE, 64)))
_PAIR = Row((("from", CONTAINER_ID), ("name", NAME), ("to", CONTAINER_ID)))


def _declare(
    name: str,
    doc: str,
    *parameters: Parameter,
    role: Role = Role.USER,
    repeat: Repeat = Repeat.IDEMPOTENT,
    stream: bool = False,
) -> Command:
    return Command(name, parameters, role, repeat, doc, stream)


_ALL = (
    _declare(
        "hello",
        "Opens or resumes the session. -> version, location, account, role, resumed, cipher, heartbeat, "
        "channel_port",
        Parameter("versions", ListOf(Integer(1, 1 << 16), 16, minimum=1)),
        Parameter("session", SESSION_ID),
        Parameter("resume", Flag()),
        Parameter("ciphers", ListOf(CIPHER, 16, minimum=1)),
        Parameter("program", PROGRAM),
        Parameter("heartbeat", HEARTBEAT, required=False),
        role=Role.GUEST,
    ),
    _declare(
        "join",
        "Proves an invite's token; the key of the connection becomes an account. -> account, role",
        Parameter("token", TOKEN),
        Parameter("name", NAME, required=False),
        role=Role.GUEST,
    ),
    _declare(
        "location.status",
        "Tells how the location does. -> name, version, engine, uptime (s), sessions, channels, counters",
    ),
    _declare("node.list", "Tells the nodes and their resources. -> nodes"),
    _declare("container.list", "Tells the account's containers. -> containers"),
    _declare(
        "container.create",
        "Creates and starts a container; the same account, name and key again give the existing one. "
        "-> container",
        Parameter("name", CONTAINER_NAME),
        Parameter("key", KEY),
        Parameter("node", NAME, required=False),
        Parameter("image", IMAGE),
        Parameter("config", CONTAINER_CONFIG),
        repeat=Repeat.KEYED,
    ),
    _declare("container.start", "Starts a stopped container. -> container", *_ID),
    _declare(
        "container.stop",
        "Stops a container: its stop signal, then a kill after `timeout`. -> container",
        *_ID,
        Parameter("timeout", Number(0, 3600, "s"), required=False),
    ),
    _declare("container.destroy", "Destroys a container; its volumes stay. -> nothing", *_ID),
    _declare("container.get", "Tells one container. -> container", *_ID),
    _declare(
        "connections.set",
        "Sets which containers of an environment reach which: the whole set, every other pair is closed. "
        "`name` goes to from's /etc/hosts with to's address. -> nothing",
        Parameter("environment", NAME),
        Parameter("pairs", ListOf(_PAIR, 4096)),
    ),
    _declare(
        "health.watch",
        "Probes a container from the location's side while the session lives. -> nothing; events follow",
        *_ID,
        Parameter("probe", PROBE),
    ),
    _declare("health.forget", "Ends the probes of a container. -> nothing", *_ID),
    _declare(
        "image.find", "Looks an image up at the location. -> image (digest or nil)", Parameter("name", IMAGE)
    ),
    _declare(
        "image.pull",
        "Looks an image up at the location, else in its registries; may take minutes. -> image (digest)",
        Parameter("name", IMAGE),
    ),
    _declare(
        "image.offer",
        "Describes an image that the client can bring. -> missing (digests of blobs to be sent)",
        Parameter("config", DIGEST),
        Parameter("config_size", SIZE),
        Parameter("layers", ListOf(_LAYER, 512)),
        *_MANIFEST_AND_NAMES,
    ),
    _declare(
        "blob.put",
        "Sends one blob from `offset` on, by a stream of data under the location's credit; the location "
        "ends the stream once the digest is verified. -> offset (bytes)",
        Parameter("digest", DIGEST),
        Parameter("size", SIZE),
        stream=True,
    ),
    _declare(
        "image.commit",
        "Makes an engine image of the blobs that were sent; may take minutes. -> image (digest)",
        Parameter("config", DIGEST),
        *_MANIFEST_AND_NAMES,
    ),
    _declare("image.list", "Tells the location's images. -> images"),
    _declare("image.destroy", "Destroys an image. -> nothing", Parameter("image", IMAGE)),
    _declare(
        "volume.ensure",
        "Gives the volume of that name, created when there is none. -> volume",
        Parameter("name", VOLUME_NAME),
        Parameter("node", NAME, required=False),
        Parameter("size", Integer(1 << 20, 1 << 50, size=True), required=False),
    ),
    _declare("volume.list", "Tells the account's volumes. -> volumes"),
    _declare("volume.destroy", "Destroys a volume and its data. -> nothing", Parameter("name", VOLUME_NAME)),
    _declare(
        "ticket.take",
        "Takes one-time tickets for channels to a container's port. -> tickets, cipher",
        *_ID,
        Parameter("port", PORT),
        Parameter("count", Integer(1, 64)),
    ),
    _declare(
        "account.invite",
        "Makes an invite for a new account. -> invite (one line)",
        Parameter("name", NAME),
        Parameter("role", Choice(("user", "admin"))),
        Parameter("expires", Number(1, 366 * 86400, "s")),
        Parameter("address", Text(270, pattern=re.compile(r"[0-9A-Za-z.:\[\]-]+"), says="host:port")),
        role=Role.ADMIN,
        repeat=Repeat.KEYED,
    ),
    _declare("account.list", "Tells the accounts. -> accounts", role=Role.ADMIN),
    _declare(
        "account.revoke",
        "Ends an account: its sessions and channels close at once. -> nothing",
        Parameter("name", NAME),
        role=Role.ADMIN,
    ),
)

COMMANDS: Mapping[str, Command] = MappingProxyType({command.name: command for command in _ALL})


def check(name: str, params: Any, role: Role) -> dict[str, Any]:
    """Give the parameters of a request, checked; those not given or nil are absent, numbers are floats.

    Raises CommandError: unknown-command, denied (the role is too low) or bad-parameter, with a message
    that names the command, the parameter, what was found and what is allowed.
    """
    command = COMMANDS.get(name)
    if command is None:
        raise CommandError(Code.UNKNOWN_COMMAND, f"{shown(name)} is not a command of this location")
    if role < command.role:
        needed, has = command.role.name.lower(), role.name.lower()
        raise CommandError(Code.DENIED, f"{name}: the account's role is {has}; allowed: {needed}")
    try:
        return Table(command.parameters).check(params, "")
    except Mismatch as error:
        raise CommandError(Code.BAD_PARAMETER, f"{name}: {error}") from None
