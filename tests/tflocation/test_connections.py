"""Sets of allowed connections in the engine's memory area."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tflocation.test_inventory import container
from tfd.protocol.errors import Code, CommandError
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
    memory = {
        "connections.alice/prod/0": value,
        "connections.": value,
        "allowed.a/b": value,
        "allowed.": value,
    }
    connections.read(memory)
    connections.without(memory, {"b"})


SINGLES = st.tuples(NAMES, IDS, IDS, st.booleans())


@given(st.lists(SINGLES, max_size=20), st.lists(st.tuples(NAMES, NAMES, PAIRS), max_size=3), st.sets(IDS))
def test_single_pairs_and_sets_do_not_disturb_each_other(
    singles: list[tuple[str, str, str, bool]],
    sets: list[tuple[str, str, set[connections.Pair]]],
    living: set[str],
) -> None:
    """A single pair is open as it was said last; a set stays as it was written; the dead are forgotten."""
    memory: dict[str, str] = {}
    expected: set[tuple[str, str, str]] = set()
    for account, source, target, allow in singles:
        _take(memory, connections.write_single(memory, account, source, target, allow=allow))
        pair = {(account, source, target)}
        expected = expected | pair if allow else expected - pair
    for account, environment, pairs in sets:
        _take(memory, connections.write(memory, account, environment, pairs))
    before = connections.read({key: value for key, value in memory.items() if key.startswith("connections.")})
    assert _singles(memory) == expected
    _take(memory, connections.without(memory, living))
    assert _singles(memory) == {pair for pair in expected if pair[1] in living and pair[2] in living}
    assert before == connections.read(
        {key: value for key, value in memory.items() if key.startswith("connections.")}
    )
    assert not connections.without(memory, living)


def test_a_single_pair_gives_no_name() -> None:
    """It opens the way, and leaves /etc/hosts to the declared set."""
    known = [container(1), container(2), container(3, "bob")]
    memory: dict[str, str] = {}
    for target in ("tf-2", "tf-3"):
        _take(memory, connections.write_single(memory, "alice", "tf-1", target, allow=True))
    assert connections.allowed(connections.read(memory), known) == ({("tf-1", "tf-2")}, {})


def test_one_container_has_a_limited_number_of_single_pairs() -> None:
    """Beyond it the account is told; taking one away is always possible."""
    memory = {"allowed.alice/tf-1": json.dumps([f"tf-{n}" for n in range(connections.MAX_SINGLES)])}
    with pytest.raises(CommandError, match=str(connections.MAX_SINGLES)) as caught:
        connections.write_single(memory, "alice", "tf-1", "tf-new", allow=True)
    assert caught.value.code == Code.LIMIT
    assert connections.write_single(memory, "alice", "tf-1", "tf-0", allow=False)


def _take(memory: dict[str, str], changes: connections.Changes) -> None:
    for key, value in changes.items():
        if value is None:
            del memory[key]
        else:
            memory[key] = value


def _singles(memory: dict[str, str]) -> set[tuple[str, str, str]]:
    single = {key: value for key, value in memory.items() if key.startswith("allowed.")}
    return {
        (account, source, target)
        for account, pairs in connections.read(single).items()
        for source, _, target in pairs
    }
