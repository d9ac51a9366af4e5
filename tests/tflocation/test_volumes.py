"""What is decided about volumes: their ids and tags, and which of them leave."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.command_types import SDK_UUID, TAG
from tfd.protocol.errors import Code, CommandError
from tflocation.engines.interface import VolumeInfo
from tflocation.uuids import derived
from tflocation.volumes import Leaving, check_tag, leaving, records, uuid_of

UUID = "22222222222222222222AB"
PARTS = st.text("abcDEF0189._-", min_size=1, max_size=50).map(lambda text: "x" + text)
NAMES = st.builds(lambda one, other: f"{one}/{other}", PARTS, PARTS)
TAGS = st.sampled_from(["db", "prod/db", "x/y"])


def volume(name: str, tag: str | None = None, account: str = "alice") -> VolumeInfo:
    """Give a volume."""
    return VolumeInfo(name, account, "one", 1 << 30, 0, tag)


@given(st.dictionaries(NAMES, st.none() | TAGS, max_size=6))
def test_every_volume_has_a_uuid_and_no_tag_is_given_twice(tags: dict[str, str | None]) -> None:
    """Of the right form, whatever the names are; tags that were given are kept."""
    found = records([volume(name, tag) for name, tag in tags.items()])
    uuids = [SDK_UUID.check(record["uuid"], "uuid") for record in found]
    assert len(set(uuids)) == len(tags)
    for record in found:
        given_tag = tags[record["name"]]
        assert given_tag is None or record["tag"] == given_tag
        assert record["tag"] is None or TAG.check(record["tag"], "tag")
    derived_tags = [r["tag"] for r in found if r["tag"] is not None and tags[r["name"]] is None]
    assert len(set(derived_tags)) == len(derived_tags)
    assert not set(derived_tags) & {tag for tag in tags.values() if tag}


def test_a_declared_volume_is_found_by_its_name() -> None:
    """In lower case; one of the SDK has the tag that it was given, or none."""
    found = records([volume("Prod/DB"), volume(f"sdk/{UUID}"), volume("sdk/" + UUID[:-1] + "C", "db")])
    assert [record["tag"] for record in found] == ["prod/db", None, "db"]
    assert found[1]["uuid"] == UUID
    assert uuid_of("alice", "prod/db") != uuid_of("bob", "prod/db")


def test_a_tag_that_another_volume_has_is_refused() -> None:
    """Declared volumes' count too."""
    own = [volume("prod/db"), volume(f"sdk/{UUID}", "mail")]
    for taken in ("prod/db", "mail"):
        with pytest.raises(CommandError, match=taken) as caught:
            check_tag(taken, own)
        assert caught.value.code == Code.EXISTS
    check_tag("free", own)


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_a_derived_uuid_is_always_the_same(identity: list[str]) -> None:
    """And of the form that the SDK's own have."""
    assert derived(*identity) == derived(*identity)
    assert SDK_UUID.check(derived(*identity), "uuid")


@given(NAMES, st.text("0123456789abcdef", min_size=32, max_size=32))
def test_a_volume_that_leaves_is_remembered(name: str, holder: str) -> None:
    """What the memory area keeps is read as it was."""
    leave = Leaving("alice", name, holder)
    assert leaving({leave.key: leave.value, "other": "x"}) == {("alice", name): leave}


@given(st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_an_entry_that_another_program_wrote_has_no_holder(value: str) -> None:
    """So its volume is not destroyed under whoever uses it."""
    found = leaving({"leaving.alice/prod/db": value, "leaving.": value, "leaving.x": value})
    assert [leave.name for leave in found.values()] == ["prod/db"]
