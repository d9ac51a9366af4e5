"""Records: every value comes back, and what is none is told."""

from dataclasses import dataclass, field
from enum import Enum

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.errors import UsageError
from tfd.protocol.records import RecordError, pack, unpack


class Colour(Enum):
    """Some names, whose values msgpack does not know."""

    RED = object()
    BLUE = b"blue"


@dataclass(frozen=True)
class Inner:
    """A record within another."""

    colour: Colour
    count: int = 7


@dataclass(frozen=True)
class Outer:
    """A record with a field of each sort."""

    name: str
    data: bytes
    flag: bool
    share: float
    inner: Inner | None
    rows: tuple[tuple[str, int], ...]
    endpoint: tuple[str, int] | None = None


@dataclass(frozen=True)
class Older:
    """What a former version had in the place of Inner."""

    colour: Colour


@dataclass(frozen=True)
class Listing:
    """A field that no record may have."""

    names: list[str] = field(default_factory=list)


numbers = st.integers(-(1 << 63), (1 << 64) - 1)
rows = st.tuples(st.text(max_size=5), numbers)
inners = st.builds(Inner, st.sampled_from(Colour), numbers)
outers = st.builds(
    Outer,
    st.text(),
    st.binary(),
    st.booleans(),
    st.floats(allow_nan=False) | st.integers(0, 9),
    st.none() | inners,
    st.lists(rows, max_size=3).map(tuple),
    st.none() | rows,
)


@given(record=outers)
def test_every_record_comes_back(record: Outer) -> None:
    """unpack(pack(record)) is the record."""
    assert unpack(Outer, pack(record)) == record


@given(record=outers, data=st.data())
def test_a_record_cut_short_is_told(record: Outer, data: st.DataObject) -> None:
    """A beginning of a record is never a record."""
    packed = pack(record)
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(RecordError):
        unpack(Outer, packed[:cut])


@given(data=st.binary(max_size=60))
def test_random_bytes_are_told(data: bytes) -> None:
    """Whatever the bytes are, RecordError is all that is raised."""
    with pytest.raises(RecordError):
        unpack(Outer, data)


@given(
    record=outers,
    name=st.sampled_from(["name", "data", "flag", "share", "inner", "rows", "endpoint"]),
    value=st.none()
    | st.integers().filter(lambda n: abs(n) < 1 << 60)
    | st.text(max_size=3)
    | st.lists(st.integers(0, 3), max_size=3),
)
def test_a_wrong_value_is_told_or_right(record: Outer, name: str, value: object) -> None:
    """A field of another type is an error that names it, and never a record with a wrong value."""
    changed = msgpack.unpackb(pack(record)) | {name: value}
    read, told = None, ""
    try:
        read = unpack(Outer, msgpack.packb(changed))
    except RecordError as error:
        told = str(error)

    assert f"Outer.{name}" in told if read is None else unpack(Outer, pack(read)) == read


def test_versions_with_one_field_more_or_less_understand_each_other() -> None:
    """A missing field takes its default, an unknown one is passed over."""
    assert unpack(Inner, pack(Older(Colour.RED))) == Inner(Colour.RED, 7)
    assert unpack(Older, pack(Inner(Colour.BLUE, 3))) == Older(Colour.BLUE)


def test_a_missing_field_without_default_is_named() -> None:
    """The message says what is missing."""
    with pytest.raises(RecordError, match=r"Inner\.colour is missing"):
        unpack(Inner, msgpack.packb({"count": 1}))


def test_a_field_that_no_record_can_have_is_a_callers_mistake() -> None:
    """It is told at the first reading, whatever is read."""
    with pytest.raises(UsageError, match="list"):
        unpack(Listing, pack(Inner(Colour.RED)))
