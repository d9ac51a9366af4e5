"""The account's key-value store, seen and changed by several sessions."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.user import User
from tests.support.waiting import wait_for
from tfnz.keyvalues import KeyValues, Value, check_changes
from tfnz.location import Location

LIMIT = 30.0

keys = st.text(min_size=1, max_size=5)
values = st.one_of(
    st.binary(max_size=5),
    st.text(max_size=5),
    st.integers(-3, 3),
    st.floats(allow_nan=False, width=16),
    st.booleans(),
)


def same(one: Mapping[str, Value], other: Mapping[str, Value]) -> bool:
    """Whether both have the same values of the same types."""
    return one == other and all(type(one[key]) is type(other[key]) for key in one)


@given(st.dictionaries(keys, values), st.lists(st.dictionaries(keys, st.none() | values), max_size=5))
def test_changes_are_taken_one_after_another(
    start: dict[str, Value], changes: list[dict[str, Value | None]]
) -> None:
    """The mapping is what a dict would be, and what is told as changed is what differs."""
    store, plain = KeyValues(), dict(start)
    store.replace(start)
    for change in changes:
        before = dict(plain)
        for key, value in change.items():
            if value is None:
                plain.pop(key, None)
            else:
                plain[key] = value
        told = store.change(change)

        assert same(dict(store), plain)
        assert len(store) == len(plain)
        assert set(told) == {
            key
            for key in change
            if type(before.get(key)) is not type(plain.get(key)) or before.get(key) != plain.get(key)
        }
    assert same(dict(store), plain)
    store.replace(start)
    assert same(dict(store), start)


@given(
    st.recursive(st.none() | values | st.dates(), lambda part: st.lists(part) | st.dictionaries(keys, part))
)
def test_whatever_is_passed_is_taken_or_refused(changes: object) -> None:
    """ValueError and nothing else."""
    try:
        check_changes(changes)
    except ValueError:
        return
    assert isinstance(changes, dict)
    assert all(value is None or isinstance(value, bytes | str | int | float) for value in changes.values())


@pytest.mark.engine
@pytest.mark.covers("Location.kv", "Location.set_kv")
def test_values_come_back_with_their_types(session: Location, at_home: Path) -> None:  # noqa: ARG001 - HOME
    """When the call has returned, here and in sessions that begin later; None deletes."""
    given: dict[str, Any] = {
        "prod/db": b"\x00\xff",
        "größe": "zwölf",
        "count": -(1 << 62),
        "ratio": 0.1,
        "on": True,
        "empty": "",
    }
    session.set_kv(given)

    assert same(dict(session.kv), given)
    assert "prod/db" in session.kv
    assert session.kv.get("nothing") is None
    assert set(session.kv) == set(given)
    with pytest.raises(KeyError):
        session.kv["nothing"]
    with pytest.raises(TypeError):
        session.kv["prod/db"] = b""  # type: ignore[index]  # it is for reading
    with Location(quiet=True) as later:
        assert same(dict(later.kv), given)
    session.set_kv(dict.fromkeys(given))
    assert len(session.kv) == 0


@pytest.mark.engine
@pytest.mark.parametrize(
    "changes",
    [
        {"k": [1]},
        {"k": {}},
        {"k": object()},
        {"k": 1 << 70},
        {"k": float("nan")},
        {"k": "x" * (1 << 17)},
        {"k" * 256: 1},
        {"": 1},
        {7: 1},
        [("k", 1)],
        None,
    ],
)
def test_what_the_store_does_not_take_changes_nothing(session: Location, changes: Any) -> None:
    """ValueError, and the entries beside the wrong one are not taken either."""
    mixed = {"beside": 1, **changes} if isinstance(changes, dict) else changes
    with pytest.raises(ValueError, match=r"."):
        session.set_kv(mixed)
    assert "beside" not in session.kv


@pytest.mark.engine
def test_present_sessions_see_changes_soon(session: Location, at_home: Path) -> None:  # noqa: ARG001 - HOME
    """And their watchers are told what changed, each change once."""
    with Location(quiet=True) as other:
        told: list[Mapping[str, Any]] = []
        other.watch_kv(told.append)
        session.set_kv({"seen/a": 1, "seen/b": 2})
        session.set_kv({"seen/a": 1, "seen/b": None})
        wait_for(lambda: other.kv.get("seen/a") == 1 and "seen/b" not in other.kv, LIMIT, "the changes")
        wait_for(lambda: len(told) >= 2, LIMIT, "the watcher")

        assert told == [{"seen/a": 1, "seen/b": 2}, {"seen/b": None}]
        session.set_kv({"seen/a": None})


@pytest.mark.engine
def test_of_two_that_expect_the_same_one_wins(session: Location, at_home: Path) -> None:  # noqa: ARG001 - HOME
    """Counting up in two sessions at once loses no step."""
    session.set_kv({"counter": 0})

    def count(location: Location) -> None:
        for _ in range(5):
            while True:
                seen = location.connection.call("keys.get", {})["values"]["counter"]
                try:
                    location.set_kv({"counter": seen + 1}, expect={"counter": seen})
                except ValueError:
                    continue
                break

    with Location(quiet=True) as other:
        threads = [threading.Thread(target=count, args=(location,)) for location in (session, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
    assert session.connection.call("keys.get", {})["values"]["counter"] == 10
    session.set_kv({"counter": None}, expect={"counter": 10})


@pytest.mark.engine
def test_accounts_share_nothing(session: Location, new_user: Callable[[str], User]) -> None:
    """Another account's store is another one."""
    session.set_kv({"private": "mine"})
    program = "from tfnz.location import Location\nwith Location(quiet=True) as l: print(dict(l.kv))"

    assert new_user("other").python(program).stdout == "{}\n"
    session.set_kv({"private": None})
