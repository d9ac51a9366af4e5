"""Which container or volume a word means: each kind of name, what is unknown, what is ambiguous."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfnz.base import new_uuid
from tfnz.cli.manage.selecting import Ambiguous, NotFound, Record, find_container, find_volume, title

FIRST = "AAAAAAAAAAAAAAAAAAAAAA"
SECOND = "AABBBBBBBBBBBBBBBBBBBB"


def container(uuid: str, name: str = "", tag: str | None = None) -> Record:
    """A container as the location tells it."""
    return {"uuid": uuid, "id": f"c-{uuid.lower()}", "name": name or f"sdk/{uuid}/0", "tag": tag}


HELD = container(FIRST)
TAGGED = container(SECOND, tag="web")
DECLARED = container("CCCCCCCCCCCCCCCCCCCCCC", "prod/database/0")
REPLICAS = [container(letter * 22, f"prod/front/{number}") for number, letter in enumerate("DE")]
ALL = [HELD, TAGGED, DECLARED, *REPLICAS]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (FIRST, HELD),
        ("AAA", HELD),
        ("AAB", TAGGED),
        ("web", TAGGED),
        ("WEB", TAGGED),
        (f"c-{FIRST.lower()}", HELD),
        ("prod/database", DECLARED),
        ("prod/database/0", DECLARED),
        ("database", DECLARED),
        ("prod/front/1", REPLICAS[1]),
        ("front/1", REPLICAS[1]),
    ],
)
def test_each_kind_of_name_is_understood(key: str, expected: Record) -> None:
    """A uuid or its beginning, an id, a tag, and the name of a declared one with or without its ends."""
    assert find_container(ALL, key) is expected


@pytest.mark.parametrize("key", ["prod/front", "front", "AA"])
def test_a_name_of_several_lists_them(key: str) -> None:
    """The message names each, so that one can be chosen."""
    with pytest.raises(Ambiguous, match=r"means 2 containers: .+, .+; name one of them"):
        find_container(ALL, key)


@pytest.mark.parametrize("key", ["", "nothing", "sdk", "0", "prod"])
def test_what_is_nobodys_name_is_not_found(key: str) -> None:
    """The message says where the names are told; an empty word is not the beginning of every uuid."""
    with pytest.raises(NotFound, match="tf ps"):
        find_container(ALL, key)


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_every_container_is_found_by_its_title(declared: list[bool], data: st.DataObject) -> None:
    """What `tf ps` prints can be typed."""
    uuids = [new_uuid().decode() for _ in declared]
    containers = [
        container(uuid, f"env/name-{number}/0" if is_declared else "")
        for number, (uuid, is_declared) in enumerate(zip(uuids, declared, strict=True))
    ]
    one = data.draw(st.sampled_from(containers))

    assert find_container(containers, title(one)) is one


def test_volumes_by_uuid_tag_both_and_beginning() -> None:
    """As wherever a volume's key is taken."""
    tagged = {"uuid": FIRST, "name": f"sdk/{FIRST}", "tag": "prod/db"}
    other = {"uuid": SECOND, "name": f"sdk/{SECOND}", "tag": None}
    for key in (FIRST, "AAA", "prod/db", "Prod/DB", f"{FIRST}:prod/db", f"prod/db:{FIRST}", f"sdk/{FIRST}"):
        assert find_volume([tagged, other], key) is tagged, key
    with pytest.raises(Ambiguous):
        find_volume([tagged, other], "AA")
    with pytest.raises(NotFound, match="tf volume list"):
        find_volume([tagged, other], "none")
