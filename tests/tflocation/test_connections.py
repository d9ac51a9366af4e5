"""Sets of allowed connections in the engine's memory area."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.tflocation.test_inventory import container
from tflocation import connections

IDS = st.sampled_from([f"tf-{n}" for n in range(4)])
PAIRS = st.sets(st.tuples(IDS, st.sampled_from(["db", "cache"]), IDS), max_size=30)
NAMES = st.sampled_from(["a", "a.b", "b"])


@given(st.lists(st.tuples(NAMES, NAMES, PAIRS), max_size=8))
def test_what_is_written_is_read_and_nothing_else(
    sets: list[tuple[str, str, set[connections.Pair]]],
) -> None:
    """The last set of each account and environment holds, whatever came before."""
    memory = {"account.alice": "untouched"}
    expected: dict[tuple[str, str], set[connections.Pair]] = {}
    for account, environment, pairs in sets:
        for key, value in connections.write(memory, account, environment, pairs).items():
            if value is None:
                del memory[key]
            else:
                memory[key] = value
        expected[account, environment] = pairs
    union: dict[str, set[connections.Pair]] = {}
    for (account, _), pairs in expected.items():
        if pairs:
            union.setdefault(account, set()).update(pairs)
    assert connections.read(memory) == union
    assert memory["account.alice"] == "untouched"


def test_a_large_set_is_cut_into_small_entries() -> None:
    """No value of the memory area is longer than some KiB."""
    pairs = [(f"tf-{number:020}", "name" * 15, f"tf-{number:020}") for number in range(4096)]
    changes = connections.write({}, "alice", "prod", pairs)
    assert max(len(value) for value in changes.values() if value is not None) < 8192
    assert connections.read({key: value or "" for key, value in changes.items()})["alice"] == set(pairs)


def test_only_an_accounts_own_living_containers_are_connected() -> None:
    """Whatever an entry says, no other account's container is reached."""
    known = [container(1), container(2), container(3, "bob")]
    sets = {"alice": [("tf-1", "db", "tf-2"), ("tf-1", "bobs", "tf-3"), ("tf-1", "gone", "tf-9")]}
    assert connections.allowed(sets, known) == ({("tf-1", "tf-2")}, {"tf-1": {"db": "10.0.0.1"}})


@given(st.text() | st.lists(st.lists(st.text(max_size=3) | st.integers(), max_size=4)).map(json.dumps))
def test_entries_that_others_wrote_wrongly_are_left_out(value: str) -> None:
    """Nothing in the memory area raises."""
    connections.read({"connections.alice/prod/0": value, "connections.": value})
