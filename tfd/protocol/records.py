"""Frozen dataclasses as msgpack and back: the form is derived from their fields, so none can be forgotten.

A record is a map of its fields' names to their values. Reading checks every value against its annotation; a
field that is missing takes its default, and a name that is unknown is passed over, so that a version with one
field more can give to one without it, and the other way round.
"""

import types
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgpack

from tfd.protocol.dataclass import defaults, is_dataclass
from tfd.protocol.errors import ProtocolError, UsageError

T = TypeVar("T")
_Reader = Callable[[Any], Any]


class RecordError(ProtocolError):
    """These bytes are not the record that they should be; the message names the field."""


def pack(record: object) -> bytes:
    """Give a frozen dataclass as bytes."""
    data: bytes = msgpack.packb(record, default=_plain)
    return data


def unpack(kind: type[T], data: bytes | memoryview) -> T:
    """Give the record of this dataclass that `pack` made into `data`. Raises RecordError."""
    try:
        value = msgpack.unpackb(data)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise RecordError(f"no msgpack: {error}") from None
    annotation: Any = kind
    record: T = _reader(annotation)(value)
    return record


def _plain(value: object) -> object:
    """Give what msgpack knows for what it does not."""
    if isinstance(value, Enum):
        return value.name
    kind: Any = type(value)
    return {name: getattr(value, name) for name in _names(kind)}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    if not is_dataclass(kind):
        raise UsageError(f"{kind.__name__} is no dataclass")
    names: tuple[str, ...] = kind.__match_args__
    return names


@cache
def _reader(annotation: Any) -> _Reader:
    """Give what turns msgpack's value into one of this annotation, or raises RecordError."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (types.UnionType, Union) and len(arguments) == 2 and arguments[1] is type(None):
        return _optional(_reader(arguments[0]))
    if origin is tuple:
        return _sequence(arguments)
    if isinstance(annotation, type):
        if is_dataclass(annotation):
            return _record(annotation)
        if issubclass(annotation, Enum):
            return _member(annotation)
        if annotation in (bool, int, float, str, bytes):
            return _scalar(annotation)
    raise UsageError(f"no record can hold a {annotation}")


def _optional(inner: _Reader) -> _Reader:
    return lambda value: None if value is None else inner(value)


def _scalar(kind: type) -> _Reader:
    # As JSON has it, 1 is a number like 1.0, but True is none.
    allowed = (float, int) if kind is float else (kind,)

    def read(value: Any) -> Any:
        if type(value) not in allowed:
            raise RecordError(f"{type(value).__name__} in the place of {kind.__name__}")
        return value

    return read


def _member(kind: type[Enum]) -> _Reader:
    def read(value: Any) -> Enum:
        if not isinstance(value, str) or value not in kind.__members__:
            raise RecordError(f"no {kind.__name__} of that name")
        return kind[value]

    return read


def _sequence(arguments: tuple[Any, ...]) -> _Reader:
    if len(arguments) == 2 and arguments[1] is ...:
        item = _reader(arguments[0])
        return lambda value: tuple(item(part) for part in _list(value))
    items = [_reader(argument) for argument in arguments]

    def read(value: Any) -> tuple[Any, ...]:
        parts = _list(value)
        if len(parts) != len(items):
            raise RecordError(f"{len(parts)} values in the place of {len(items)}")
        return tuple(item(part) for item, part in zip(items, parts, strict=True))

    return read


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise RecordError(f"{type(value).__name__} in the place of a list")
    return value


def _record(kind: type) -> _Reader:
    hints = get_type_hints(kind)
    readers = {name: _reader(hints[name]) for name in _names(kind)}
    required = readers.keys() - defaults(kind).keys()

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise RecordError(f"{type(value).__name__} in the place of a {kind.__name__}")
        taken = {}
        for name, reader in readers.items():
            if name in value:
                try:
                    taken[name] = reader(value[name])
                except RecordError as error:
                    raise RecordError(f"{kind.__name__}.{name}: {error}") from None
            elif name in required:
                raise RecordError(f"{kind.__name__}.{name} is missing")
        return kind(**taken)

    return read
