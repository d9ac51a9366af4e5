"""Dataclasses: those of the standard library in what they do, and known to its functions."""

import copy
import dataclasses
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol import dataclass as ours


@ours.dataclass(frozen=True, slots=True)
class Frozen:
    """A dataclass with a field of each sort."""

    name: str
    secret: bytes = ours.field(repr=False)
    rows: tuple[int, ...] = ()
    share: float = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    """The same of the standard library."""

    name: str
    secret: bytes = dataclasses.field(repr=False)
    rows: tuple[int, ...] = ()
    share: float = 0.5


@ours.dataclass(slots=True)
class Changing:
    """A dataclass that can be changed, one field of which is made for each."""

    count: int
    rows: list[int] = ours.field(default_factory=list)


@ours.dataclass(frozen=True, slots=True, order=True)
class Ranked:
    """A dataclass that is compared field by field."""

    first: int
    second: str


@ours.dataclass(frozen=True, slots=True)
class Single:
    """A dataclass with one field."""

    value: int


@ours.dataclass(frozen=True, slots=True)
class Empty:
    """A dataclass without a field."""


@ours.dataclass(frozen=True, slots=True)
class Checked:
    """A dataclass that looks at what it is given."""

    value: int

    def __post_init__(self) -> None:
        """Refuse what is below zero."""
        if self.value < 0:
            raise ValueError("below zero")


values = st.tuples(
    st.text(max_size=2),
    st.binary(max_size=1),
    st.lists(st.integers(0, 1), max_size=2).map(tuple),
    st.sampled_from([0.0, 0.5]),
)
ranks = st.tuples(st.integers(0, 2), st.sampled_from("ab"))


@given(values, values)
def test_it_is_equal_where_the_standard_one_is(
    one: tuple[str, bytes, tuple[int, ...], float], other: tuple[str, bytes, tuple[int, ...], float]
) -> None:
    """Equality, the hash of equals, and the text are those of the standard library."""
    assert (Frozen(*one) == Frozen(*other)) == (Standard(*one) == Standard(*other))
    assert (hash(Frozen(*one)) == hash(Frozen(*other))) or one != other
    assert repr(Frozen(*one)) == repr(Standard(*one)).replace("Standard", "Frozen")


@given(ranks, ranks)
def test_it_is_ordered_as_its_values(one: tuple[int, str], other: tuple[int, str]) -> None:
    """Each comparison is that of the fields' tuples."""
    first, second = Ranked(*one), Ranked(*other)

    assert (first < second, first <= second) == (one < other, one <= other)
    assert (first > second, first >= second) == (one > other, one >= other)


@pytest.mark.parametrize("compare", ["__lt__", "__le__", "__gt__", "__ge__", "__eq__"])
def test_another_kind_is_not_compared(compare: str) -> None:
    """Of two kinds, none is equal or before the other, whatever is in them."""
    assert getattr(Ranked(1, "a"), compare)((1, "a")) is NotImplemented
    assert Single(1) != Checked(1)  # type: ignore[comparison-overlap]  # that is the question


def test_fields_are_given_by_place_or_name() -> None:
    """What has a default may be left out, what is unknown or missing may not."""
    wrong: Any = Frozen

    assert Frozen("a", b"s") == Frozen(share=0.5, rows=(), secret=b"s", name="a")
    for arguments, names in (((), {}), (("a",), {}), (("a", b"s"), {"other": 1}), ((1, 2, 3, 4, 5), {})):
        with pytest.raises(TypeError):
            wrong(*arguments, **names)


def test_what_is_frozen_stays() -> None:
    """No field is set or deleted, and none is added."""
    frozen: Any = Frozen("a", b"s")

    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'name'"):
        frozen.name = "b"
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'name'"):
        del frozen.name
    with pytest.raises(AttributeError):
        frozen.other = 1
    assert frozen == Frozen("a", b"s")


def test_what_is_not_frozen_changes() -> None:
    """Its fields are set, no other is; it is equal by them, and has no hash."""
    changing: Any = Changing(1)
    changing.count = 2

    assert changing == Changing(2)
    with pytest.raises(AttributeError):
        changing.other = 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(changing)


def test_a_factory_makes_a_value_for_each() -> None:
    """Two objects share no list, unless it is given to both."""
    rows = [1]

    assert Changing(1).rows is not Changing(1).rows
    assert Changing(1, rows).rows is rows


def test_post_init_is_called() -> None:
    """A dataclass may refuse what it is given."""
    with pytest.raises(ValueError, match="below zero"):
        Checked(-1)


@pytest.mark.parametrize("one", [Frozen("a", b"s", (1,)), Ranked(1, "a"), Single(1), Empty(), Changing(1)])
def test_it_can_be_copied(one: object) -> None:
    """Copy and pickle give an equal one of the same kind."""
    assert copy.copy(one) == one
    assert copy.deepcopy(one) == one
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - of our own making


def test_it_can_be_matched() -> None:
    """Its fields are matched by place."""
    match Ranked(1, "a"):
        case Ranked(first, second):
            assert (first, second) == (1, "a")


def test_the_standard_library_knows_it() -> None:
    """Its functions see the fields with their types, defaults and options."""
    one = Frozen("a", b"s")
    twins = zip(dataclasses.fields(Frozen), dataclasses.fields(Standard), strict=True)

    assert dataclasses.is_dataclass(Frozen)
    for mine, standard in twins:
        assert (mine.name, mine.type, mine.default) == (standard.name, standard.type, standard.default)
        assert (mine.repr, mine.default_factory) == (standard.repr, standard.default_factory)
    assert dataclasses.fields(Changing)[1].default_factory is list
    assert dataclasses.replace(one, name="b") == Frozen("b", b"s")
    assert dataclasses.asdict(one) == {"name": "a", "secret": b"s", "rows": (), "share": 0.5}


def test_its_own_functions_do_the_same() -> None:
    """They replace fields and give them as a map; nested ones stay as they are."""
    one = Frozen("a", b"s")
    wrong: Any = {"other": 1}

    assert ours.replace(one, name="b") == Frozen("b", b"s")
    assert ours.asdict(one) == dataclasses.asdict(one)
    with pytest.raises(TypeError):
        ours.replace(one, **wrong)


@pytest.mark.parametrize("kind", [Frozen, Standard])
def test_fields_and_defaults_are_told_of_both_kinds(kind: type) -> None:
    """A dataclass is known as one, with the defaults of its fields."""
    assert ours.is_dataclass(kind)
    assert ours.defaults(kind) == {"rows": (), "share": 0.5}


def test_another_class_is_no_dataclass() -> None:
    """A class without fields is told apart from one that has them."""
    assert not ours.is_dataclass(int)
    assert not dataclasses.is_dataclass(int)


def test_what_is_not_known_here_is_refused() -> None:
    """Base classes, no slots, and an order of what can change: such a class is for the standard library."""
    make: Any = ours.dataclass

    class Derived(Empty):
        """A class with a base class."""

    with pytest.raises(TypeError, match=r"Derived has base classes: use dataclasses"):
        make(frozen=True, slots=True)(Derived)
    for options in ({"slots": False}, {"slots": True, "order": True}):
        with pytest.raises(TypeError, match="use dataclasses"):
            make(**options)
