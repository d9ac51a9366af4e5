"""What watchers are told: each change once, and enough to follow."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tflocation.watching import Told, Watching

ACCOUNTS = st.sampled_from(["alice", "bob"])
NAMES = st.sampled_from(["sdk/a", "sdk/b", "prod/c"])
SIZES = st.integers(0, 2)
LISTS = st.dictionaries(ACCOUNTS, st.dictionaries(NAMES, SIZES, max_size=3), max_size=2)
STEPS = st.one_of(
    st.tuples(st.just("list"), LISTS),
    st.tuples(st.just("one"), ACCOUNTS, NAMES, SIZES),
    st.tuples(st.just("gone"), ACCOUNTS, NAMES),
)


def volume(name: str, size: int) -> dict[str, Any]:
    """Give a record, as far as it matters here."""
    return {"name": name, "uuid": f"uuid of {name}", "used": size, "users": []}


@given(st.lists(STEPS, max_size=20))
def test_who_follows_the_events_knows_the_volumes(steps: list[tuple[Any, ...]]) -> None:
    """Applied in order, the events of an account lead to the volumes that it has."""
    watching = Watching()
    followed: dict[str, dict[str, Any]] = {"alice": {}, "bob": {}}
    for kind, *arguments in steps:
        if kind == "list":
            records = {a: [volume(n, s) for n, s in own.items()] for a, own in arguments[0].items()}
            told = watching.take_volumes(records, watching.stamp)
        elif kind == "one":
            told = watching.take_volume(arguments[0], volume(*arguments[1:]))
        else:
            told = watching.drop_volume(*arguments)
        assert told is not None
        for event in told:
            assert event.account is not None
            if event.event == "volume.changed":
                followed[event.account][event.body["volume"]["name"]] = event.body["volume"]
            else:
                del followed[event.account][event.body["name"]]
    for account, known in followed.items():
        assert sorted(known.values(), key=str) == sorted(watching.volumes(account), key=str)


def test_a_list_older_than_what_was_told_meanwhile_is_not_taken() -> None:
    """A volume that was made while the list was on its way is not told as gone."""
    watching = Watching()
    asked_at = watching.stamp
    watching.take_volume("alice", volume("sdk/a", 1))
    assert watching.take_volumes({}, asked_at) is None
    assert watching.volumes("alice") == [volume("sdk/a", 1)]


def test_who_uses_a_volume_is_told_for_known_volumes_alone() -> None:
    """A container's end changes the record; one of a volume that left tells nothing."""
    watching = Watching()
    watching.take_volume("alice", volume("sdk/a", 1))
    used = volume("sdk/a", 1) | {"users": ["tf-1"]}
    assert watching.use_volume("alice", "sdk/a", ["tf-1"]) == [
        Told("alice", "volume.changed", {"volume": used})
    ]
    assert watching.use_volume("alice", "sdk/a", ["tf-1"]) == []
    assert watching.use_volume("bob", "sdk/a", ["tf-1"]) == []


def test_nodes_are_everybodys_and_told_when_they_differ() -> None:
    """A node that went away is told by its name."""
    watching = Watching()
    one, two = {"name": "one", "idle": 1.0}, {"name": "two", "idle": 1.0}
    assert len(watching.take_nodes([one, two])) == 2
    assert watching.take_nodes([one, two]) == []
    assert watching.take_nodes([one | {"idle": 2.0}]) == [
        Told(None, "node.gone", {"name": "two"}),
        Told(None, "node.changed", {"node": one | {"idle": 2.0}}),
    ]


def test_keys_and_domains_are_told_to_their_account() -> None:
    """Only what changed of the keys, and all of the domains."""
    watching = Watching()
    assert watching.take_keys({"alice": {"a": 1, "b": b"2"}, "bob": {}}) == [
        Told("alice", "keys.changed", {"changes": {"a": 1, "b": b"2"}})
    ]
    assert watching.take_keys({"alice": {"a": 1.0}}) == [
        Told("alice", "keys.changed", {"changes": {"b": None, "a": 1.0}})
    ]
    assert watching.take_keys({}) == [Told("alice", "keys.changed", {"changes": {"a": None}})]
    domains = [{"name": "example.net", "shared": False, "own": True}]
    assert watching.take_domains("alice", domains) == [Told("alice", "domains.changed", {"domains": domains})]
    assert watching.take_domains("alice", list(domains)) == []
    assert watching.take_domains("bob", []) == []
