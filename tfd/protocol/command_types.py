"""What the table of commands is made of: the shape of a command, and the types that its parameters have."""

import re
from enum import Enum, IntEnum

from tfd.protocol.dataclass import dataclass
from tfd.protocol.schema import (
    Binary,
    Choice,
    Flag,
    Integer,
    ListOf,
    MapOf,
    Number,
    Parameter,
    Row,
    Scalar,
    Table,
    Text,
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


UUID_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""Of the 22-character ids of the SDK's objects: digits and letters that people do not confuse."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_PART = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"

SESSION_ID = Binary(16, 16)
TOKEN = Binary(16, 16)
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
SDK_UUID = Text(
    22,
    pattern=re.compile(rf"[{UUID_ALPHABET}]{{22}}"),
    says="22 letters and digits without 0, 1, I, O and l",
)
TAG = Text(
    63,
    pattern=re.compile(r"(?![2-9a-km-z]{22}\Z)[!-9;-@\[-~]{1,63}"),
    says="1 to 63 lower-case printable ASCII characters without blanks and colons, not a UUID's 22",
)
DOMAIN = Text(
    253,
    pattern=re.compile(rf"{_LABEL}(?:\.{_LABEL})*"),
    says="a domain name of lower-case ASCII labels, up to 253 characters",
)
KEY = Text(64, pattern=re.compile(r"[!-~]+"), says="1 to 64 printable ASCII characters")
PATH = Text(
    4096,
    pattern=re.compile(r"/(?!(?:.*/)?\.\.?(?:/|\Z))[^\x00-\x1f\x7f]*"),
    says="an absolute path without . or .. or control characters in it",
)
SIZE = Integer(0, 1 << 44, size=True)
VOLUME_SIZE = Integer(1 << 20, 1 << 50, size=True)
ADDRESS = Text(270, pattern=re.compile(r"[0-9A-Za-z.:\[\]-]+"), says="host:port")
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
ENVIRONMENT = MapOf(
    Text(256, pattern=re.compile(r"[!-<>-~]+"), says="a variable's name: printable ASCII without ="),
    Text(128 * 1024, minimum=0),
    1024,
)
CONTAINER_CONFIG = Table(
    (
        Parameter("command", ARGUMENTS, required=False),
        Parameter("entrypoint", ARGUMENTS, required=False),
        Parameter("environment", ENVIRONMENT, required=False),
        Parameter("volumes", ListOf(Row((("name", VOLUME_NAME), ("mount", PATH))), 64), required=False),
        Parameter("files", MapOf(PATH, FILE, 256), required=False),
        Parameter("memory", Integer(1 << 20, 1 << 44, size=True), required=False),
        Parameter("cpus", Number(0.01, 4096), required=False),
        Parameter("processes", Integer(1, 1 << 22), required=False),
    )
)
TERMINAL = Table(
    (
        Parameter("columns", Integer(1, 65535)),
        Parameter("rows", Integer(1, 65535)),
        Parameter(
            "name",
            Text(
                64, pattern=re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*"), says="a terminal's name (terminfo(5))"
            ),
            required=False,
        ),
    )
)
"""A terminal of `columns` and `rows` characters; `name` is what TERM says there."""
PIPE_ID = Binary(16, 16)
OUTPUT_PLACE = Binary(16, 16)
"""A place in a container's output: 8 random bytes that name the record, and a position in it."""
STORED_KEY = Text(255)
STORED_VALUE = Scalar(64 * 1024)
"""What the key-value store keeps; nil stands for no entry."""
CERTIFICATE = Binary(1, 256 * 1024)
"""A private key and its chain of certificates, PEM."""
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

ID_PARAMETER = (Parameter("id", CONTAINER_ID),)
LAYER = Table((Parameter("digest", DIGEST), Parameter("size", SIZE)))
MANIFEST_AND_NAMES = (Parameter("manifest", MANIFEST), Parameter("names", ListOf(IMAGE, 64)))
PAIR = Row((("from", CONTAINER_ID), ("name", NAME), ("to", CONTAINER_ID)))


def declare(
    name: str,
    doc: str,
    *parameters: Parameter,
    role: Role = Role.USER,
    repeat: Repeat = Repeat.IDEMPOTENT,
    stream: bool = False,
) -> Command:
    """Give one row of the table of commands."""
    return Command(name, parameters, role, repeat, doc, stream)
