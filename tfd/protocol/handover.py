"""What one process leaves to the next: the form of the state. Bytes in, records out; no sockets, no files.

It begins with a line that names the program, its version and the schema, and goes on with records, each in a
frame of its own (4 bytes of length, big endian), so that one that cannot be read spoils no other; an empty
frame is the end. Which dataclasses there are, each program decides; a record names its own.

A field that is added with a default needs no new schema (see `tfd.protocol.records`); whatever an older
version would misunderstand does.
"""

from collections.abc import Iterator
from typing import Final

import msgpack

from tfd.protocol import records
from tfd.protocol.dataclass import dataclass
from tfd.protocol.errors import ProtocolError

SCHEMA: Final = 1
"""Raised with every change that makes an older version misunderstand a state."""

_MAGIC: Final = b"tfd-state"
_LINE_LIMIT: Final = 256
_LENGTH: Final = 4
END: Final = bytes(_LENGTH)
"""What stands after the last record."""


class HandOverError(ProtocolError):
    """Nothing of a state can be used; the message says why, and whose it is."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands in the place of a record that cannot be used. `reason` is one line."""

    reason: str


def begin(program: str, version: str, schema: int = SCHEMA) -> bytes:
    """Give the first line of a state."""
    return b"%s %s %s %d\n" % (_MAGIC, program.encode(), version.encode(), schema)


def frame(record: object) -> bytes:
    """Give a record, which is a frozen dataclass, with its name and length."""
    data: bytes = msgpack.packb([type(record).__name__, records.pack(record)])
    return len(data).to_bytes(_LENGTH, "big") + data


def read(data: bytes | memoryview, program: str, kinds: tuple[type, ...]) -> Iterator[object]:
    """Give the records of a state, of these dataclasses, and an Unreadable for each that is none.

    Raises HandOverError, before the first record, where the state is another program's or has another schema.
    """
    view = memoryview(data)
    at = _after_line(bytes(view[:_LINE_LIMIT]), program)
    return _records(view, at, {kind.__name__: kind for kind in kinds})


def _after_line(line: bytes, program: str) -> int:
    """Check the first line and give where the records begin."""
    words = line.partition(b"\n")[0].decode("ascii", "replace").split(" ")
    if len(words) != 4 or words[0].encode() != _MAGIC or b"\n" not in line:
        raise HandOverError("the state that was left here cannot be recognised")
    _, whose, version, schema = words
    if whose != program:
        raise HandOverError(f"the state that was left here is one of {whose}")
    if schema != str(SCHEMA):
        raise HandOverError(
            f"the state that {whose} {version} left has schema {schema}, this one reads {SCHEMA}"
        )
    return line.index(b"\n") + 1


def _records(view: memoryview, at: int, kinds: dict[str, type]) -> Iterator[object]:
    while at + _LENGTH <= len(view):
        begin_at = at + _LENGTH
        at = begin_at + int.from_bytes(view[at:begin_at], "big")
        if at == begin_at:
            return
        if at > len(view):
            break
        try:
            yield _record(view[begin_at:at], kinds)
        except records.RecordError as error:
            yield Unreadable(str(error))
    yield Unreadable("the state ends before its end")


def _record(data: memoryview, kinds: dict[str, type]) -> object:
    name, content = records.unpack(tuple[str, bytes], data)
    if name not in kinds:
        raise records.RecordError(f"a record called {name[:40]!r} is not known here")
    return records.unpack(kinds[name], content)
