"""Key-value stores in the memory area: what is written is read, all or nothing, within limits."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.errors import Code, CommandError
from tflocation import keyvalues
from tflocation.keyvalues import MAX_KEYS, MAX_SIZE, MAX_TOTAL, Value

KEYS = st.sampled_from(["a", "a/b", "schlüssel", "\n", '"', "🔑"]) | st.text(min_size=1, max_size=20)
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=40),
    st.binary(max_size=40),
)
ACCOUNTS = st.sampled_from(["a", "a.b", "ab"])


def store(memory: dict[str, str], account: str, changes: dict[str, Any], **expect: Any) -> None:
    """Write as the engine does."""
    for key, value in keyvalues.write(memory, account, changes, expect).items():
        if value is None:
            del memory[key]
        else:
            memory[key] = value


@given(st.lists(st.tuples(ACCOUNTS, st.dictionaries(KEYS, st.none() | VALUES, max_size=8)), max_size=12))
def test_what_is_written_is_read_with_its_type(writes: list[tuple[str, dict[str, Value | None]]]) -> None:
    """Each account reads what it wrote last, of the type that it wrote, and nothing of another's."""
    memory = {"account.a": "untouched"}
    expected: dict[str, dict[str, Value]] = {}
    for account, changes in writes:
        store(memory, account, changes)
        merged = expected.get(account, {}) | changes
        expected[account] = {key: value for key, value in merged.items() if value is not None}
    for account in ("a", "a.b", "ab"):
        found, wanted = keyvalues.read(memory, account), expected.get(account, {})
        assert found == wanted
        assert all(type(found[key]) is type(value) for key, value in wanted.items())
    assert memory["account.a"] == "untouched"
    assert {a: s for a, s in expected.items() if s} == keyvalues.read_all(memory)


@given(st.dictionaries(KEYS, VALUES, max_size=8), st.dictionaries(KEYS, VALUES, max_size=8))
def test_the_difference_leads_from_one_store_to_the_other(
    old: dict[str, Value], new: dict[str, Value]
) -> None:
    """A watcher that applies the changes has the new store, types included."""
    changes = keyvalues.difference(old, new)
    result = {key: value for key, value in (old | changes).items() if value is not None}
    assert result == new
    assert all(type(result[key]) is type(value) for key, value in new.items())
    assert not keyvalues.difference(new, dict(new))


@pytest.mark.parametrize(("present", "expected"), [(1, True), (1, 1.0), ("1", b"1"), (None, 0), ("x", None)])
def test_a_value_other_than_expected_stops_the_change(present: Value | None, expected: Value | None) -> None:
    """1, 1.0, true and "1" are four values; absence is one too."""
    memory: dict[str, str] = {}
    store(memory, "a", {"k": present})
    with pytest.raises(CommandError) as caught:
        keyvalues.write(memory, "a", {"other": 1}, {"k": expected})
    assert caught.value.code == Code.BUSY
    assert keyvalues.write(memory, "a", {"other": 1}, {"k": present})


def test_a_store_that_is_too_large_is_refused_as_a_whole() -> None:
    """Bytes of keys and values are counted, and keys; the message says the limit."""
    with pytest.raises(CommandError, match="256 KiB") as caught:
        keyvalues.write({}, "a", {f"k{n}": b"x" * 65536 for n in range(4)}, {})
    assert caught.value.code == Code.LIMIT
    with pytest.raises(CommandError, match=f"{MAX_KEYS}; {MAX_KEYS + 1} asked"):
        keyvalues.write({}, "a", {f"k{n}": 1 for n in range(MAX_KEYS + 1)}, {})
    memory: dict[str, str] = {}
    store(memory, "a", {"k": b"x" * (MAX_SIZE - 1)})
    store(memory, "a", {"k": "now a short one"})
    assert keyvalues.read(memory, "a") == {"k": "now a short one"}
    assert len(memory) == 1


def test_the_stores_of_all_accounts_have_a_limit_together() -> None:
    """Many accounts cannot fill the engine's database; an account's own store may still shrink."""
    memory: dict[str, str] = {}
    full = {"k": b"\xff" * (MAX_SIZE - 1)}
    for number in range(MAX_TOTAL * 3 // MAX_SIZE // 4 - 1):
        store(memory, f"a{number}", full)
    with pytest.raises(CommandError, match="16 MiB in all"):
        store(memory, "one too many", full)
    store(memory, "a0", {"k": b"\xff" * 1000})
    store(memory, "a1", {"k": None})


@given(
    st.text()
    | st.recursive(
        st.none() | st.text(max_size=3) | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(json.dumps)
)
def test_what_another_program_wrote_harms_nobody_else(value: str) -> None:
    """It is told to its owner, left out for watchers, and never overwritten."""
    memory = {"keys.a/0000": value, "keys.b/0000": '{"k":1}', "keys.": value}
    assert keyvalues.read_all(memory)["b"] == {"k": 1}
    if "a" not in keyvalues.read_all(memory):
        with pytest.raises(CommandError, match="administrator"):
            keyvalues.read(memory, "a")
        with pytest.raises(CommandError, match="administrator"):
            keyvalues.write(memory, "a", {"k": 2}, {})
