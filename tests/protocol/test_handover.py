"""The state that one process leaves to the next."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.handover import END, HandOverError, Unreadable, begin, frame, read


@dataclass(frozen=True)
class Apple:
    """One sort of record."""

    size: int


@dataclass(frozen=True)
class Pear:
    """Another one."""

    name: str


KINDS = (Apple, Pear)
fruit = st.builds(Apple, st.integers(0, 1 << 40)) | st.builds(Pear, st.text(max_size=20))
baskets = st.lists(fruit, max_size=6)


def written(records: list[object]) -> bytes:
    """Give a complete state."""
    return begin("tfd", "1.0") + b"".join(map(frame, records)) + END


@given(records=baskets)
def test_every_state_comes_back(records: list[object]) -> None:
    """What is read is what was written, in its order."""
    assert list(read(written(records), "tfd", KINDS)) == records


@given(records=baskets, data=st.data())
def test_a_state_cut_short_gives_what_is_whole(records: list[object], data: st.DataObject) -> None:
    """The records before the cut are read, and one line tells that there is no end."""
    line = len(begin("tfd", "1.0"))
    whole = written(records)
    cut = data.draw(st.integers(line, len(whole) - 1))
    *read_back, last = read(whole[:cut], "tfd", KINDS)

    assert read_back == records[: len(read_back)]
    assert isinstance(last, Unreadable)


@given(records=baskets, at=st.integers(0), change=st.integers(1, 255))
def test_a_changed_byte_raises_nothing_after_the_line(records: list[object], at: int, change: int) -> None:
    """Each thing that is read is a record or an Unreadable, whatever was changed."""
    line = len(begin("tfd", "1.0"))
    state = bytearray(written(records))
    state[line + at % (len(state) - line)] ^= change

    for thing in read(bytes(state), "tfd", KINDS):
        assert isinstance(thing, (*KINDS, Unreadable))


@given(rubbish=st.binary(max_size=300))
def test_random_bytes_are_not_recognised(rubbish: bytes) -> None:
    """A state without its first line is refused as a whole."""
    with pytest.raises(HandOverError):
        read(rubbish, "tfd", KINDS)


def test_one_bad_record_spoils_no_other() -> None:
    """What is unknown or wrong in itself stands between those that are right."""

    @dataclass(frozen=True)
    class Plum:
        """A record that the reader does not know."""

    state = written([Apple(1), Plum(), Pear("x")])
    things = list(read(state, "tfd", KINDS))

    assert things[::2] == [Apple(1), Pear("x")]
    assert things[1] == Unreadable("a record called 'Plum' is not known here")


def test_another_schema_is_refused_and_names_both() -> None:
    """The message says whose state it is, and what this version reads."""
    with pytest.raises(HandOverError, match=r"tfd 9\.9 left has schema 77, this one reads 1"):
        read(begin("tfd", "9.9", schema=77) + END, "tfd", KINDS)


def test_another_programs_state_is_refused() -> None:
    """The message names it."""
    with pytest.raises(HandOverError, match="one of tflocation"):
        read(begin("tflocation", "1.0") + END, "tfd", KINDS)
