"""Control messages: one ZeroMQ frame is one MessagePack array `[version, kind, id, name, body]`.

Whatever the bytes are, `decode` gives a `Message` or raises `ProtocolError`, and its memory is bounded
by the frame's length. MessagePack's extension types are refused: none of our values needs one.
"""

from collections.abc import Mapping, Sized
from enum import IntEnum
from typing import Any

import msgpack

from tfd.protocol.dataclass import dataclass
from tfd.protocol.errors import ProtocolError, UsageError, VersionError
from tfd.protocol.text import printable

VERSION = 1
MAX_MESSAGE = 1 << 20
"""Bytes; the sockets' MAXMSGSIZE is the same figure."""
MAX_NESTING = 16
MAX_CHUNK = 64 * 1024
"""Bytes of one STREAM data body: short enough that a heartbeat behind it is not late on a slow line."""
MAX_ID = (1 << 53) - 1
MAX_NAME = 64

MAX_ITEMS = 4096
"""Items of one list or map. The decoder allocates a list from its announced length, before its items have
come, and to 1,024 levels: announcements of a whole frame's length would ask it for gigabytes."""

_TYPE_NAMES = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "text",
    bytes: "bytes",
    list: "a list",
    dict: "a map",
    type(None): "nil",
}


class Kind(IntEnum):
    """What a message is."""

    REQUEST = 1
    REPLY = 2
    ERROR = 3
    EVENT = 4
    STREAM = 5


STREAM_BODIES: Mapping[str, type] = {"data": bytes, "credit": int, "end": type(None), "abort": str}


@dataclass(frozen=True, slots=True)
class Message:
    """One control message.

    `body` is a map for every kind but STREAM, whose body goes by its name: bytes for data, an integer
    for credit, text for abort, nil for end.
    """

    kind: Kind
    id: int
    name: str
    body: Any


def encode(message: Message) -> bytes:
    """Give the frame of a message.

    Raises UsageError when the body holds what the wire cannot carry, or the frame is over MAX_MESSAGE.
    """
    try:
        _check_values(message.body, 1)
        frame: bytes = msgpack.packb(
            [VERSION, int(message.kind), message.id, message.name, message.body],
            strict_types=False,
            use_bin_type=True,
        )
    except ProtocolError as error:
        raise UsageError(f"{message.name}: {error}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"{message.name}: the body cannot be encoded: {error}") from error
    if len(frame) > MAX_MESSAGE:
        raise UsageError(f"{message.name}: the message is {len(frame)} bytes; allowed: up to {MAX_MESSAGE}")
    return frame


def decode(frame: bytes) -> Message:
    """Give the message of a frame.

    Raises ProtocolError for every other sequence of bytes; its subclass VersionError when the frame is a
    message of another protocol version.
    """
    if len(frame) > MAX_MESSAGE:
        raise ProtocolError(f"the message is {len(frame)} bytes; allowed: up to {MAX_MESSAGE}")
    fields = _unpack(frame)
    if not isinstance(fields, list) or not fields:
        raise ProtocolError(f"the message is {describe(fields)}, not an array")
    version = _integer(fields[0], "version", 0)
    if version != VERSION:
        raise VersionError(version)
    if len(fields) != 5:
        raise ProtocolError(f"the message has {len(fields)} fields; allowed: 5")
    number = _integer(fields[1], "kind", 0)
    try:
        kind = Kind(number)
    except ValueError:
        raise ProtocolError(f"the message's kind is {number}; allowed: 1 to 5") from None
    # Only what concerns the session as a whole, and belongs to no request, has id 0.
    message_id = _integer(fields[2], "id", 0 if kind in (Kind.ERROR, Kind.EVENT) else 1)
    name = fields[3]
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME:
        raise ProtocolError(f"the message's name is not text of 1 to {MAX_NAME} characters")
    body = fields[4]
    _check_body(kind, name, body)
    return Message(kind, message_id, name, body)


def describe(value: object) -> str:
    """Name the type of a decoded value in a few words, for messages to people."""
    return _TYPE_NAMES.get(type(value), "an unknown type")


def one_line(text: object) -> str:
    """Give a peer's or an error's text as one printable line of bounded length; not text gives ''."""
    if not isinstance(text, str):
        return ""
    return printable(" ".join(text[:1000].split()))


def _unpack(frame: bytes) -> Any:
    try:
        fields = msgpack.unpackb(
            frame,
            raw=False,
            strict_map_key=False,  # checked with the rest of the values, so that one place decides
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
            max_ext_len=0,
        )
    # StackError and FormatError of msgpack are ValueErrors; a list or map as a map's key is a TypeError.
    except (ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise ProtocolError(f"the message is not MessagePack: {error or type(error).__name__}") from error
    except msgpack.UnpackException as error:
        raise ProtocolError(f"the message is not MessagePack: {error or type(error).__name__}") from error
    _check_values(fields, 0)
    return fields


def _check_values(value: Any, depth: int) -> None:
    """Refuse what no message holds; `depth` counts the containers around the value."""
    kind = type(value)
    if kind is list or kind is tuple:
        _check_extent(value, depth)
        for item in value:
            _check_values(item, depth + 1)
    elif kind is dict:
        _check_extent(value, depth)
        for key, item in value.items():
            if not isinstance(key, str):
                raise ProtocolError(f"a map has {describe(key)} as a key; allowed: text")
            _check_values(item, depth + 1)
    elif not isinstance(value, str | int | float | bytes | None):
        raise ProtocolError("a value has an extension type; allowed: none")


def _check_extent(container: Sized, depth: int) -> None:
    if depth >= MAX_NESTING:
        raise ProtocolError(f"values are nested more than {MAX_NESTING} deep")
    if len(container) > MAX_ITEMS:
        raise ProtocolError(f"a list or map has {len(container)} items; allowed: up to {MAX_ITEMS}")


def _integer(value: object, field: str, minimum: int) -> int:
    if type(value) is not int or not minimum <= value <= MAX_ID:
        raise ProtocolError(f"the message's {field} is not an integer of {minimum} to {MAX_ID}")
    return value


def _check_body(kind: Kind, name: str, body: object) -> None:
    if kind is not Kind.STREAM:
        if type(body) is not dict:
            raise ProtocolError(f"{name}: the body is {describe(body)}; allowed: a map")
        return
    allowed = STREAM_BODIES.get(name)
    if allowed is None:
        raise ProtocolError(f"stream message {name!r} is not known; allowed: {', '.join(STREAM_BODIES)}")
    if type(body) is not allowed:
        raise ProtocolError(f"stream {name}: the body is {describe(body)}; allowed: {_TYPE_NAMES[allowed]}")
    if isinstance(body, bytes) and len(body) > MAX_CHUNK:
        raise ProtocolError(f"stream data: {len(body)} bytes; allowed: up to {MAX_CHUNK}")
