"""What the SDK's objects have in common: readiness, death, tags, collections."""

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

import tfnz
from tfd.protocol.command_types import TAG, UUID_ALPHABET
from tfd.protocol.schema import Mismatch
from tfnz import Killable, Taggable, TaggedCollection, Waitable
from tfnz.base import new_uuid

LIMIT = 10.0
SHORT = 0.01
ALICE, BOB = b"a" * 32, b"b" * 32

uuids = st.text(UUID_ALPHABET, min_size=22, max_size=22)
tags = st.from_regex(r"[a-z][a-z0-9._/-]{0,20}", fullmatch=True).filter(lambda tag: len(tag) != 22)


@pytest.mark.covers("tfnz.Waitable", "Waitable.wait_until_ready", "Waitable.is_ready")
@pytest.mark.covers("Waitable.mark_as_ready", "Waitable.mark_not_ready")
def test_who_waits_goes_on_when_it_is_ready() -> None:
    """The waiter on another thread gets the object itself, and later ones need not wait."""
    thing = Waitable()
    results: list[Waitable] = []
    waiter = threading.Thread(target=lambda: results.append(thing.wait_until_ready(LIMIT)))
    waiter.start()
    assert not thing.is_ready()
    thing.mark_as_ready()
    thing.mark_as_ready()
    waiter.join(LIMIT)

    assert results == [thing]
    assert thing.wait_until_ready(None) is thing
    thing.mark_not_ready()
    thing.mark_not_ready()
    with pytest.raises(TimeoutError, match="not ready after"):
        thing.wait_until_ready(SHORT)


def test_who_waits_for_what_failed_is_told_at_once() -> None:
    """A failed start wakes the waiter with its reason instead of the time-out."""
    thing = Waitable()
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            thing.wait_until_ready(None)
        except ValueError as error:
            errors.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    thing.mark_as_failed("the image is broken")
    waiter.join(LIMIT)

    assert "the image is broken" in str(errors[0])


def test_something_may_be_ready_from_the_start() -> None:
    """`locked=False` is ready."""
    assert Waitable(locked=False).wait_until_ready(0).is_ready()


@pytest.mark.covers("tfnz.Killable", "Killable.dead", "Killable.mark_as_dead", "Killable.bail_if_dead")
@pytest.mark.covers("Killable.ensure_alive")
def test_what_is_dead_stays_dead() -> None:
    """Before death nothing is raised, after it ValueError."""
    thing = Killable()
    thing.ensure_alive()
    assert not thing.bail_if_dead()
    thing.mark_as_dead()
    thing.mark_as_dead()

    assert thing.dead
    assert thing.bail_if_dead()
    with pytest.raises(ValueError, match="dead already"):
        thing.ensure_alive()


@pytest.mark.covers("tfnz.Taggable", "Taggable.user", "Taggable.uuid", "Taggable.tag", "Taggable.uuid_key")
@pytest.mark.covers("Taggable.tag_key", "Taggable.display_name", "Taggable.global_display_name")
def test_names_of_what_is_tagged() -> None:
    """Text becomes bytes; the names are made of uuid and tag."""
    uuid = new_uuid().decode()
    tagged, plain = Taggable(ALICE, uuid, "prod/db"), Taggable(ALICE, uuid)

    assert (tagged.user, tagged.uuid, tagged.tag) == (ALICE, uuid.encode(), b"prod/db")
    assert tagged.uuid_key() == plain.uuid_key() == (ALICE, uuid.encode())
    assert tagged.tag_key() == (ALICE, b"prod/db")
    assert plain.tag_key() == (None, None)
    assert tagged.display_name() == f"{uuid}:prod/db"
    assert plain.display_name() == uuid
    assert tagged.global_display_name() == f"YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=:{uuid}:prod/db"


@pytest.mark.parametrize(("user", "uuid"), [(b"", b"x"), (ALICE, b""), (None, "x"), (ALICE, None)])
def test_a_user_and_a_uuid_are_needed(user: bytes, uuid: bytes) -> None:
    """Without one of them it is RuntimeError."""
    with pytest.raises(RuntimeError, match="user and a uuid"):
        Taggable(user, uuid)


@pytest.mark.covers("Taggable.valid_tag")
@given(st.one_of(st.text(max_size=70), tags, uuids))
def test_a_tag_is_valid_where_the_location_takes_it(tag: str) -> None:
    """What `valid_tag` gives passes the protocol's own check, and what it refuses would not pass."""
    try:
        expected = TAG.check(tag.lower(), "tag")
    except Mismatch:
        with pytest.raises(ValueError, match=r"not a tag|looks like a uuid"):
            Taggable.valid_tag(tag)
    else:
        assert Taggable.valid_tag(tag) == expected.encode()
        assert Taggable.valid_tag(tag.encode()) == expected.encode()


def test_no_tag_is_no_tag() -> None:
    """None stays None."""
    assert Taggable.valid_tag(None) is None


def test_ids_are_of_the_alphabet_and_new() -> None:
    """22 characters each, no two alike."""
    made = {new_uuid() for _ in range(1000)}

    assert len(made) == 1000
    assert {chr(byte) for uuid in made for byte in uuid} == set(UUID_ALPHABET)
    assert {len(uuid) for uuid in made} == {22}


@pytest.mark.covers("tfnz.TaggedCollection", "TaggedCollection.get")
def test_a_thing_is_found_by_each_of_its_names() -> None:
    """uuid, tag, uuid:tag and tag:uuid; whoever asks by uuid alone need not be the owner."""
    uuid = new_uuid()
    thing = Taggable(ALICE, uuid, "web")
    collection = TaggedCollection([thing])

    for key in (uuid, uuid.decode(), "web", b"web", f"{uuid.decode()}:web", f"web:{uuid.decode()}", "WEB"):
        assert collection.get(ALICE, key) is thing
    assert collection[uuid] is collection[uuid.decode()] is thing
    assert uuid in collection
    assert thing in collection
    assert "web" not in collection
    assert Taggable(ALICE, uuid, "web") not in collection
    assert 7 not in collection


@pytest.mark.parametrize(
    ("key", "error"), [("nothing", KeyError), ("a:b:c", ValueError), (None, RuntimeError), (7, ValueError)]
)
def test_other_keys_are_refused(key: str, error: type[Exception]) -> None:
    """Each kind of wrong key has its own class of exception."""
    with pytest.raises(error):
        TaggedCollection([Taggable(ALICE, new_uuid(), "web")]).get(ALICE, key)


def test_another_account_finds_nothing_by_tag() -> None:
    """A tag belongs to its account."""
    collection = TaggedCollection([Taggable(ALICE, new_uuid(), "web")])

    with pytest.raises(KeyError):
        collection.get(BOB, "web")


def test_what_would_mislead_is_refused() -> None:
    """Iteration and assignment raise RuntimeError."""
    collection = TaggedCollection([Taggable(ALICE, new_uuid())])

    with pytest.raises(RuntimeError, match="values"):
        iter(collection)
    with pytest.raises(RuntimeError, match="add"):
        collection["x"] = 1


class Collections(RuleBasedStateMachine):
    """A collection against a plain list of what is in it."""

    things = Bundle("things")

    def __init__(self) -> None:
        super().__init__()
        self.collection: TaggedCollection[Taggable] = TaggedCollection()
        self.inside: list[Taggable] = []

    @rule(target=things, user=st.sampled_from([ALICE, BOB]), uuid=uuids, tag=st.none() | tags)
    def make(self, user: bytes, uuid: str, tag: str | None) -> Taggable:
        """Make a thing."""
        return Taggable(user, uuid, tag)

    @rule(target=things, like=things, uuid=uuids)
    def make_with_the_same_tag(self, like: Taggable, uuid: str) -> Taggable:
        """Make a thing with another's tag."""
        return Taggable(like.user, uuid, like.tag)

    @rule(thing=things)
    def add(self, thing: Taggable) -> None:
        """Add it; what clashes is refused and changes nothing."""
        clash = any(
            thing.uuid == other.uuid or (thing.tag is not None and thing.tag_key() == other.tag_key())
            for other in self.inside
        )
        assert self.collection.will_clash(thing.user, thing.uuid, thing.tag) == clash
        if clash:
            with pytest.raises(RuntimeError, match="already"):
                self.collection.add(thing)
        else:
            self.collection.add(thing)
            self.inside.append(thing)

    @rule(thing=things)
    def remove(self, thing: Taggable) -> None:
        """Remove it; KeyError where it is not in there."""
        if any(thing is other for other in self.inside):
            self.collection.remove(thing)
            self.inside.remove(thing)
        else:
            with pytest.raises(KeyError):
                self.collection.remove(thing)

    @invariant()
    def holds_what_was_added(self) -> None:
        """Length, values and every name agree."""
        assert len(self.collection) == len(self.inside)
        assert self.collection() == self.collection.values() == set(self.inside)
        for thing in self.inside:
            assert thing in self.collection
            assert self.collection[thing.uuid] is thing
            assert self.collection.get(thing.user, thing.uuid) is thing
            if thing.tag is not None:
                assert self.collection.get(thing.user, thing.tag) is thing
        tagged = sum(thing.tag is not None for thing in self.inside)
        assert len(self.collection.uniques) == len(self.inside) + tagged
        assert len(self.collection.objects) == len(self.collection.uuid_uuidkey) == len(self.inside)


TestCollections = Collections.TestCase


@pytest.mark.covers("TaggedCollection.add", "TaggedCollection.remove", "TaggedCollection.will_clash")
@pytest.mark.covers("TaggedCollection.values", "TaggedCollection.objects", "TaggedCollection.uuid_uuidkey")
@pytest.mark.covers("TaggedCollection.uniques")
def test_threads_leave_a_whole_collection() -> None:
    """Adding and removing on several threads at once loses nothing."""
    collection: TaggedCollection[Taggable] = TaggedCollection()
    shares = [[Taggable(ALICE, new_uuid(), f"t{share}-{n}") for n in range(200)] for share in range(4)]

    def work(things: Sequence[Taggable]) -> None:
        for thing in things:
            assert not collection.will_clash(thing.user, thing.uuid, thing.tag)
            collection.add(thing)
        for thing in things[::2]:
            collection.remove(thing)

    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)

    assert collection.values() == {thing for share in shares for thing in share[1::2]}
    assert len(collection.uniques) == 2 * len(collection.objects) == 2 * len(collection.uuid_uuidkey)


def test_the_star_gives_the_modules() -> None:
    """`from tfnz import *` gives the modules and the base classes."""
    names: dict[str, object] = {}
    exec("from tfnz import *", names)  # noqa: S102 - the statement is what is tested
    modules = {"location", "node", "container", "endpoint", "volume", "process", "tunnel", "docker"}
    classes = {"Waitable", "Killable", "Connectable", "Taggable", "TaggedCollection"}

    assert modules | classes <= names.keys()
    assert names["Waitable"] is tfnz.Waitable
    with pytest.raises(AttributeError, match="nonsense"):
        tfnz.nonsense  # noqa: B018 - the access is what is tested
