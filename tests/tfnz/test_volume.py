"""Volumes: made, found, snapshot and rolled back, destroyed by whoever may."""

import posixpath
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.user import User
from tests.support.waiting import wait_for
from tfnz.location import Location
from tfnz.volume import Volume

LIMIT = 30.0

paths = st.lists(st.sampled_from(["a", "ab", "b", ".", "..", ""]), max_size=5).map(
    lambda p: "/" + "/".join(p)
)


def lies_in(path: str, upper: str) -> bool:
    """Whether a path is another one or lies below it."""
    path, upper = posixpath.normpath(path).lstrip("/"), posixpath.normpath(upper).lstrip("/")
    return not upper or path == upper or path.startswith(upper + "/")


@pytest.mark.covers("Volume.trees_intersect")
@given(st.lists(paths, max_size=4), paths)
def test_trees_meet_by_whole_names(current: list[str], proposed: str) -> None:
    """The pair is a path and one that it lies in, both among those given; None when there is none."""
    meeting = [path for path in current if lies_in(path, proposed) or lies_in(proposed, path)]
    found = Volume.trees_intersect(current, proposed)

    assert (found is not None) == bool(meeting)
    if found is not None:
        lower, upper = found
        assert lies_in(lower, upper)
        meant = [path for path in found if lies_in(proposed, path) and lies_in(path, proposed)]
        assert meant


def test_names_that_begin_alike_do_not_meet() -> None:
    """/mnt2 is not in /mnt."""
    assert Volume.trees_intersect(["/mnt", "/srv/"], "/mnt2") is None
    assert Volume.trees_intersect(["/srv", "/mnt/deep//er/"], "/mnt") == ("/mnt/deep/er", "/mnt")
    assert Volume.trees_intersect(iter(["/mnt"]), "/mnt/") == ("/mnt", "/mnt")


@pytest.mark.engine
@pytest.mark.covers("tfnz.volume.Volume", "Volume.uuid", "Volume.tag", "Volume.user", "Volume.display_name")
@pytest.mark.covers("Volume.connection", "Location.create_volume", "Location.volume", "Location.all_volumes")
@pytest.mark.covers("Location.destroy_volume", "Location.ensure_volume", "Location.node_and_volume")
def test_a_volume_is_found_by_every_name(session: Location, at_home: Path) -> None:  # noqa: ARG001 - HOME
    """Here at once, in other sessions too; it outlives the session, and is gone for all when destroyed."""
    volume = session.create_volume(tag="Test/Names", asynchronous=False, size=1 << 26)

    assert volume.tag == b"test/names"
    assert volume.user == session.user_pk
    assert volume.connection() is session.connection
    assert repr(volume) == f"<Volume '{volume.display_name()}'>"
    for key in (volume.uuid, volume.uuid.decode(), "test/names", volume.display_name()):
        assert session.volume(key) is session.ensure_volume(key) is volume
        assert session.node_and_volume(key) == (session.node(), volume)
    assert volume in session.all_volumes()
    with pytest.raises(ValueError, match="test/names"):
        session.create_volume(tag="test/names")
    with Location(quiet=True) as other:
        theirs = other.volume(volume.uuid)
        told: list[tuple[object, int]] = []
        theirs.termination_callback = lambda *what: told.append(what)
        session.destroy_volume(volume)
        assert wait_for(lambda: told, LIMIT, "the callback") == [(theirs, 0)]
        assert theirs not in other.volumes
    for key in (volume.uuid, "test/names"):
        with pytest.raises(KeyError):
            session.volume(key)
        with pytest.raises(KeyError):
            session.node_and_volume(key)


@pytest.mark.engine
def test_ensure_makes_what_is_not_there(session: Location) -> None:
    """With the key as its tag; a key with two colons is ValueError, and so is one that is no tag."""
    volume = session.ensure_volume("ensured")

    assert volume.tag == b"ensured"
    assert session.ensure_volume("ensured") is volume
    for key in ("a:b:c", "no tag", "2" * 22):
        with pytest.raises(ValueError, match=r"."):
            session.ensure_volume(key)
    session.destroy_volume(volume)


@pytest.mark.engine
@pytest.mark.covers("Volume.termination_callback")
def test_destroying_twice_is_told(session: Location) -> None:
    """One text for what is destroyed, unknown or another's; the callback comes once, in this thread."""
    told: list[tuple[object, int, threading.Thread]] = []
    volume = session.create_volume(
        termination_callback=lambda found, code: told.append((found, code, threading.current_thread()))
    )
    session.destroy_volume(volume)

    assert told == [(volume, 0, threading.current_thread())]
    for use in (
        lambda: session.destroy_volume(volume),
        lambda: session.destroy_volume(None),  # type: ignore[arg-type]  # what a program may pass
        volume.snapshot,
        volume.rollback,
        lambda: session.best_node().spawn_container("busybox", volumes=[(volume, "/mnt")]),
    ):
        with pytest.raises(ValueError, match="no such volume, or it is destroyed already"):
            use()
    assert len(told) == 1


@pytest.mark.engine
def test_two_who_destroy_at_once(session: Location, at_home: Path) -> None:  # noqa: ARG001 - HOME
    """One succeeds, the other is told; each has its callback once."""
    volume = session.create_volume()
    with Location(quiet=True) as other:
        theirs = wait_for(lambda: volume.uuid in other.volumes and other.volume(volume.uuid), LIMIT, "it")
        assert theirs
        told: list[object] = []
        outcomes: list[str] = []
        volume.termination_callback = theirs.termination_callback = told.append

        def destroy(location: Location, which: Volume) -> None:
            try:
                location.destroy_volume(which)
                outcomes.append("destroyed")
            except ValueError:
                outcomes.append("told")

        threads = [
            threading.Thread(target=destroy, args=pair) for pair in ((session, volume), (other, theirs))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        wait_for(lambda: len(told) == 2, LIMIT, "both callbacks")

        assert "destroyed" in outcomes
        assert set(told) == {volume, theirs}
        assert volume not in session.volumes
        assert theirs not in other.volumes


@pytest.mark.engine
def test_who_comes_too_late_to_destroy_is_called_back(session: Location, at_home: Path) -> None:  # noqa: ARG001
    """Also where the word that it is gone comes while the command is under way."""
    volume = session.create_volume()
    with Location(quiet=True) as other:
        theirs = wait_for(lambda: volume.uuid in other.volumes and other.volume(volume.uuid), LIMIT, "it")
        assert theirs
        told: list[object] = []
        errors: list[str] = []
        theirs.termination_callback = told.append
        go_on = threading.Event()

        def hold() -> None:
            go_on.wait(LIMIT)

        def destroy() -> None:
            try:
                other.destroy_volume(theirs)
            except ValueError as error:
                errors.append(str(error))

        # What comes for the other session waits until its command does as well.
        other.connection.loop.call_from_thread(hold)
        session.destroy_volume(volume)
        late = threading.Thread(target=destroy)
        late.start()
        wait_for(lambda: theirs.in_hand, LIMIT, "the other to begin")
        go_on.set()
        late.join(LIMIT)
        wait_for(lambda: told, LIMIT, "the callback")

        assert told == [theirs]
        assert len(errors) == 1
        assert "destroyed already" in errors[0]


@pytest.mark.engine
@pytest.mark.covers("Volume.snapshot", "Volume.rollback")
def test_back_to_the_snapshot_as_often_as_wanted(session: Location) -> None:
    """While a container has it mounted; without a snapshot it is empty again, as created."""
    node = session.best_node()
    volume = node.create_volume()
    container = node.spawn_container("busybox", volumes=[(volume, "/mount/point/")])
    container.put("/mount/point/first", b"1")
    volume.rollback()
    with pytest.raises(ValueError, match=r"."):
        container.fetch("/mount/point/first")
    container.put("/mount/point/test", b"I am a test")
    volume.snapshot()
    for _ in range(2):
        container.put("/mount/point/test", b"I am a carrot")
        assert container.fetch("/mount/point/test") == b"I am a carrot"
        volume.rollback()
        assert container.fetch("/mount/point/test") == b"I am a test"
    container.put("/mount/point/later", b"")
    volume.snapshot()
    volume.rollback()
    assert container.fetch("/mount/point/later") == b""
    node.destroy_container(container)
    session.destroy_volume(volume)


@pytest.mark.engine
@pytest.mark.covers("Node.create_volume", "Node.destroy_volume")
def test_a_mounted_volume(session: Location, at_home: Path) -> None:  # noqa: ARG001 - HOME
    """The location refuses to destroy it; the node does so once this session's containers have ended."""
    node = session.best_node()
    volume = node.create_volume(tag="mounted")
    container = node.spawn_container("busybox", volumes=[(volume, "/mnt")]).wait_until_ready()
    with pytest.raises(ValueError, match=r"."):
        session.destroy_volume(volume)
    assert session.volume("mounted") is volume
    with Location(quiet=True) as other:
        theirs = other.volume("mounted")
        with pytest.raises(ValueError, match=r"."):
            other.best_node().destroy_volume(theirs)
        node.destroy_volume(volume)

        assert volume not in session.volumes
        container.put("/mnt/still", b"there")
        assert container.fetch("/mnt/still") == b"there"
        node.destroy_container(container)
        wait_for(lambda: theirs not in other.volumes, LIMIT, "the volume to leave")
    call = session.connection.call

    def left() -> bool:
        return any(record["name"] == volume.name for record in call("volume.list", {})["volumes"])

    wait_for(lambda: not left(), LIMIT, "the volume to be destroyed")


@pytest.mark.engine
def test_a_volume_is_free_when_its_container_is_destroyed(session: Location) -> None:
    """At once: no program needs to wait between the two."""
    node = session.best_node()
    volume = node.create_volume()
    node.destroy_container(node.spawn_container("busybox", volumes=[(volume, "/mnt")]))
    session.destroy_volume(volume)

    assert volume not in session.volumes


@pytest.mark.engine
def test_containers_share_a_volume(session: Location) -> None:
    """What one writes, the other reads."""
    node = session.best_node()
    volume = node.create_volume()
    one, other = (node.spawn_container("busybox", volumes=[(volume, "/mnt")]) for _ in range(2))
    one.put("/mnt/shared", b"by one")

    assert other.fetch("/mnt/shared") == b"by one"
    for container in (one, other):
        node.destroy_container(container)
    session.destroy_volume(volume)


@pytest.mark.engine
def test_another_accounts_volume_does_not_exist(session: Location, new_user: Callable[[str], User]) -> None:
    """Neither by uuid nor by tag, in a list or a command."""
    volume = session.create_volume(tag="private")
    program = f"""
from tfnz.location import Location
with Location(quiet=True) as location:
    assert location.all_volumes() == []
    for key in ({volume.uuid!r}, "private"):
        try: location.node_and_volume(key)
        except KeyError: print("KeyError")
    for command in ("volume.snapshot", "volume.rollback", "volume.destroy"):
        try: location.connection.call(command, {{"name": {volume.name!r}}})
        except ValueError as error: print(error)
    location.destroy_volume(location.create_volume(tag="private"))
"""
    done = new_user("stranger").python(program)

    assert done.stderr == ""
    assert done.stdout.splitlines() == ["KeyError"] * 2 + [f"there is no volume {volume.name}"] * 3
    session.destroy_volume(volume)
