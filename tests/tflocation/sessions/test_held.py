"""Containers that a session holds: their consoles, sleep and tags, and their end with the session."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.product import Location
from tests.support.waiting import wait_for
from tests.tflocation.sessions.conftest import FOREVER, Holder, new_uuid
from tfd.protocol.errors import CommandError
from tfd.protocol.pipe import Kind

pytestmark = [pytest.mark.engine, pytest.mark.root]

LIMIT = 60.0
KIB = 1 << 10
_ECHO = "echo begun; while read -r line; do echo got $line; case $line in *end) exit 4; esac; done"
ECHO = ("sh", "-c", _ECHO)


@pytest.fixture(scope="module")
def observer(ann: Holder, again: Callable[[Holder], Holder]) -> Holder:
    """Another session of the same account."""
    return again(ann)


def test_a_console_has_several_readers(ann: Holder) -> None:
    """Each sees all from the beginning, and the exit code, also one that comes after the end."""
    container = ann.create(*ECHO)
    first, second = (ann.pipe("container.console", id=container["id"]) for _ in range(2))
    first.until(lambda: b"begun" in first.output(), "the process to begin")
    first.send(Kind.DATA, b"a line\n")
    second.until(lambda: b"got a line" in second.output(), "what the other one typed")
    assert ann.call("container.log", id=container["id"], lines=1) == {"log": b"got a line\r\n"}
    first.send(Kind.DATA, b"end\n")
    late = ann.pipe("container.console", id=container["id"])

    expected = b"begun\r\na line\r\ngot a line\r\nend\r\ngot end\r\n"
    for reader in (first, second, late):
        assert reader.finish() == {"code": 4}
        assert reader.output() == expected
    ann.call("container.destroy", id=container["id"])


def test_a_reader_that_sleeps_stops_nothing(ann: Holder) -> None:
    """The process writes on while nobody reads; who wakes up late gets the last output, not all."""
    size = 2560 * KIB
    script = f"yes | head -c {size}; echo; echo over; exit 6"
    container = ann.create("sh", "-c", f"read -r _; {script}")
    console = ann.pipe("container.console", id=container["id"])
    console.send(Kind.DATA, b"\n")

    def ended() -> bool:
        state = ann.call("container.get", id=container["id"])["container"]["state"]
        return bool(state == "failed")

    wait_for(ended, LIMIT, "the process to end")
    assert console.finish() == {"code": 6}
    assert console.output().endswith(b"\r\nover\r\n")
    assert len(console.output()) < size
    assert len(ann.call("container.log", id=container["id"])["log"]) == 256 * KIB
    ann.call("container.destroy", id=container["id"])


def test_one_that_is_asleep_begins_when_woken(ann: Holder) -> None:
    """Nothing runs before it, twice is once, and its console misses nothing."""
    container = ann.create("sh", "-c", "echo woken; exec sleep 1000", asleep=True)
    assert container["asleep"]
    console = ann.pipe("container.console", id=container["id"])
    assert ann.run(container, "ps | grep -c '[s]leep 1000'")[1] == b"0\n"
    for _ in range(2):
        ann.call("container.wake", id=container["id"])
    console.until(lambda: b"woken" in console.output(), "the process to begin")

    assert not ann.call("container.get", id=container["id"])["container"]["asleep"]
    assert console.output() == b"woken\r\n"
    ann.call("container.destroy", id=container["id"])
    assert console.finish()["code"] == "not-found"


def test_a_reboot_is_no_end(ann: Holder) -> None:
    """Processes end and files stay, or come back as they were; the console goes on and misses nothing."""
    container = ann.create(
        "sh", "-c", "echo booted; [ -e /left ] && echo with what was left; exec sleep 1000"
    )
    console = ann.pipe("container.console", id=container["id"])
    process = ann.pipe("process.start", id=container["id"], line="echo >/left; echo up; sleep 1000")
    process.until(lambda: b"up" in process.output(), "the process to run")
    first = ann.call("container.reboot", id=container["id"])["container"]

    assert process.finish()["code"] != 0
    assert (first["state"], first["ip"], first["asleep"]) == ("running", container["ip"], False)
    assert ann.run(container, "ls /left")[0] == 0
    ann.call("container.reboot", id=container["id"], reset=True)
    assert ann.run(container, "ls /left")[0] == 1
    last = b"booted\r\n"
    console.until(lambda: console.output().count(last) == 3, "the last start")
    assert console.output() == last * 2 + b"with what was left\r\n" + last
    ann.call("container.destroy", id=container["id"])


def test_one_that_is_asleep_stays_so_when_rebooted(ann: Holder) -> None:
    """It begins when it is woken, however often it was started."""
    container = ann.create("sh", "-c", "echo woken; exec sleep 1000", asleep=True)
    assert ann.call("container.reboot", id=container["id"])["container"]["asleep"]
    console = ann.pipe("container.console", id=container["id"])
    ann.call("container.wake", id=container["id"])
    console.until(lambda: b"woken" in console.output(), "the process to begin")

    assert console.output() == b"woken\r\n"
    ann.call("container.destroy", id=container["id"])


def test_a_tag_is_given_once(ann: Holder, join: Callable[[], Holder]) -> None:
    """To one container of the account at a time; another account may have the same."""
    container = ann.create(tag="prod/db")
    assert (container["tag"], container["uuid"]) == ("prod/db", container["key"])
    with pytest.raises(CommandError) as caught:
        ann.create(tag="prod/db")
    assert caught.value.code == "exists"
    other = join()
    assert other.create(tag="prod/db")["tag"] == "prod/db"
    other.call("session.end")
    ann.call("container.destroy", id=container["id"])
    again = ann.create(tag="prod/db")

    ann.call("container.destroy", id=again["id"])


def test_a_declared_container_has_a_log_and_no_terminal(ann: Holder) -> None:
    """It is told what there is in its place."""
    container = ann.create("sh", "-c", "echo a line; exec sleep 1000", held=False)
    wait_for(
        lambda: b"a line" in ann.call("container.log", id=container["id"])["log"], LIMIT, "its first line"
    )
    with pytest.raises(CommandError) as caught:
        ann.call("container.console", id=container["id"])

    assert caught.value.code == "unavailable"
    assert container["holder"] == ""
    ann.call("container.destroy", id=container["id"])


def test_the_end_of_a_session_takes_what_it_holds(join: Callable[[], Holder]) -> None:
    """Its containers and pipes go at once; what is not held stays, and the session goes on."""
    session = join()
    kept, held = session.create(held=False), session.create()
    process = session.pipe("process.start", id=kept["id"], line="sleep 1000")
    assert session.call("session.end") == {}

    assert session.ids() == {kept["id"]}
    with pytest.raises(CommandError):
        session.call("pipe.attach", pipe=process.id)
    again = session.create()
    assert session.ids() == {kept["id"], again["id"]}
    assert held["id"] not in session.ids()
    session.call("session.end")
    session.call("container.destroy", id=kept["id"])


def gone(observer: Holder, container: dict[str, Any]) -> None:
    """Wait until a container is destroyed."""
    wait_for(lambda: container["id"] not in observer.ids(), LIMIT, "the lease to end")


def test_a_client_that_vanishes_loses_its_containers(ann: Holder, again: Callable[[Holder], Holder]) -> None:
    """After the lease, without a word; another session's of the account stay."""
    mine, lost = ann.create(), again(ann)
    container = lost.create()
    lost.vanish()
    gone(ann, container)

    assert mine["id"] in ann.ids()
    ann.call("container.destroy", id=mine["id"])


def test_a_client_that_comes_back_keeps_its_containers(ann: Holder, observer: Holder) -> None:
    """However often it is cut, as long as it is there again within the lease."""
    container = ann.create()
    for _ in range(3):
        ann.vanish()
        observer.call("container.list")
        ann.return_()
        assert container["id"] in ann.ids()
    ann.call("container.destroy", id=container["id"])


def test_a_creation_whose_session_died_is_not_left(ann: Holder, again: Callable[[Holder], Holder]) -> None:
    """What was made for a client that did not wait for the answer goes with the lease."""
    lost, uuid = again(ann), new_uuid()
    lost.ask(
        "container.create",
        name=f"sdk/{uuid}/0",
        key=uuid,
        image="busybox",
        config={"command": list(FOREVER)},
        held=True,
    )
    lost.vanish()

    def made() -> str | None:
        records = ann.call("container.list")["containers"]
        return next((record["id"] for record in records if record["key"] == uuid), None)

    container_id = wait_for(made, LIMIT, "the container to be made")
    gone(ann, {"id": container_id})


@pytest.mark.slow
def test_a_restarted_service_waits_for_its_sessions(
    location: Location, ann: Holder, again: Callable[[Holder], Holder]
) -> None:
    """After a kill, who comes back within the lease keeps what it holds, and who does not loses it."""
    lost = again(ann)
    kept, container = ann.create(*ECHO), lost.create()
    console = ann.pipe("container.console", id=kept["id"])
    console.until(lambda: b"begun" in console.output(), "the process to begin")
    lost.vanish()
    ann.vanish()
    location.kill()
    location.start()
    ann.return_()
    with pytest.raises(CommandError):
        ann.call("pipe.attach", pipe=console.id)
    wait_for(lambda: _answers(ann), LIMIT, "the engine to be followed")
    gone(ann, container)
    assert kept["id"] in ann.ids()
    other = ann.pipe("container.console", id=kept["id"])
    other.send(Kind.DATA, b"end\n")

    assert other.finish() == {"code": 4}
    # LXD types a reset of the terminal into a console that lost its reader, where it is not quick to let go.
    assert other.output().replace(b"^[c", b"").replace(b"\x1bc", b"") == b"begun\r\nend\r\ngot end\r\n"
    ann.call("container.destroy", id=kept["id"])


def _answers(session: Holder) -> bool:
    try:
        session.ids()
    except CommandError:
        return False
    return True


def test_a_revoked_account_loses_its_containers(location: Location, join: Callable[[], Holder]) -> None:
    """At once, without waiting for any lease."""
    doomed = join()
    container = doomed.create()
    done = location.command("--config", location.config, "revoke", doomed.account)
    assert done.returncode == 0, done.stderr

    destroyed = f"container={container['id']}"
    wait_for(
        lambda: any("container destroyed" in line and destroyed in line for line in location.lines()),
        LIMIT,
        "the container to be destroyed",
    )
