"""The ends of sessions: the program's, orderly or not, and the path's, for a while or for good."""

import signal
import subprocess
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.forwarder import Forwarder
from tests.support.product import Location as Service
from tests.support.user import User
from tests.support.waiting import wait_for
from tests.tfnz.conftest import LEASE
from tfnz.connection import Disconnected
from tfnz.location import Location

pytestmark = pytest.mark.engine

LIMIT = 60.0
START = """
from tfnz.location import Location
import os, signal, sys, threading, time
location = Location(quiet=True)
node = location.best_node()
def say(text):
    print(text, flush=True)
def there():
    say(location.connection.rid.hex())
"""
ONE = START + "container = node.spawn('busybox').wait_until_ready()\n"


@pytest.fixture
def listed(session: Location) -> Callable[[], list[str]]:
    """A question to the location: the states of the account's containers."""

    def ask() -> list[str]:
        return [record["state"] for record in session.connection.call("container.list", {})["containers"]]

    return ask


@pytest.fixture
def start(user: User) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Start a program of that person's and wait for its first line; it is killed at the end."""
    running: list[subprocess.Popen[str]] = []

    def begin(program: str) -> "subprocess.Popen[str]":
        process = user.start_python(program)
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=LIMIT)[1]
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


STATES = {
    "connected": START + "there(); signal.pause()",
    "being made": START + "there(); node.spawn('busybox', pre_boot_files=[('/f', b'x' * (1 << 22))]);"
    "signal.pause()",
    "running": ONE + "there(); signal.pause()",
    "asleep": START + "node.spawn('busybox', sleep=True).wait_until_ready(); there(); signal.pause()",
    "with processes": ONE + "container.spawn_process('sleep 1000'); container.spawn_shell(); there();"
    "signal.pause()",
    "in a call": ONE + "there(); container.run_process('sleep 1000')",
    "with a tunnel": START + "web = node.spawn('web'); web.wait_http_200(); there(); signal.pause()",
    "rebooting": ONE + "there()\nwhile True: container.reboot(reset_filesystem=True)",
    "destroying": ONE + "there(); node.destroy_container(container); signal.pause()",
}


@pytest.fixture(scope="module")
def killed(user: User) -> dict[str, str]:
    """For each state the id of a session whose program was killed in it."""
    sessions = {}
    for state, program in STATES.items():
        with user.start_python(program) as process:
            assert process.stdout is not None
            sessions[state] = process.stdout.readline().strip()
            process.kill()
            assert sessions[state], process.communicate(timeout=LIMIT)[1]
    return sessions


@pytest.mark.parametrize("state", STATES)
def test_a_killed_program_leaves_nothing_after_its_lease(
    state: str, killed: dict[str, str], session: Location
) -> None:
    """Whatever it was doing."""

    def is_left() -> bool:
        records = session.connection.call("container.list", {})["containers"]
        return killed[state] in {record["holder"] for record in records}

    wait_for(lambda: not is_left(), LEASE + LIMIT, "its containers to be gone")


def test_volumes_survive_a_killed_program(
    start: Callable[[str], "subprocess.Popen[str]"], listed: Callable[[], list[str]], session: Location
) -> None:
    """With what was written to them."""
    process = start(
        START
        + textwrap.dedent("""
        volume = node.create_volume(tag='survivor')
        container = node.spawn('busybox', volumes=[(volume, '/mnt')])
        container.put('/mnt/kept', b'kept')
        say('there')
        signal.pause()
        """)
    )
    process.kill()
    process.wait()
    wait_for(lambda: listed() == [], LEASE + LIMIT, "the location to be empty")
    volume = wait_for(lambda: session.ensure_volume("survivor"), LIMIT, "the volume")
    container = session.best_node().spawn_container("busybox", volumes=[(volume, "/mnt")])

    assert container.fetch("/mnt/kept") == b"kept"
    session.best_node().destroy_container(container)
    session.destroy_volume(volume)


@pytest.mark.parametrize(
    "ending", ["", "sys.exit(0)", "del location, node, container", "with location: pass"]
)
def test_a_program_may_fall_off_its_end(user: User, listed: Callable[[], list[str]], ending: str) -> None:
    """It exits without a trace, and its containers are gone at once, not after the lease."""
    done = user.python(ONE + ending)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert listed() == []


def test_objects_without_names_live(start: Callable[[str], "subprocess.Popen[str]"], user: User) -> None:  # noqa: ARG001
    """As on the page: neither Location nor Node is kept by the program."""
    process = start(
        "import gc, signal\nfrom tfnz.location import Location\n"
        "container = Location(quiet=True).best_node().spawn('web')\ngc.collect()\n"
        "tunnel = container.wait_http_200()\ngc.collect()\n"
        "print(container.run_process('echo alive')[0], container.location(), flush=True)\n"
        "signal.pause()"
    )
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT)

    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert process.returncode == -signal.SIGINT


def sleeps(pid: int) -> bool:
    """Whether the main thread of a process waits for something (proc(5), /proc/pid/stat)."""
    return Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize(
    ("doing", "code"),
    [
        ("say('there'); signal.pause()", -signal.SIGINT),
        ("location.call_on_main(say, ('there',)); location.run()", 0),
        ("say('there'); container.run_process('sleep 1000')", -signal.SIGINT),
        ("say('there'); node.spawn('busybox').wait_until_ready(); signal.pause()", -signal.SIGINT),
        ("say('there'); container.reboot(); signal.pause()", -signal.SIGINT),
        ("say('there'); time.sleep(1000)", -signal.SIGINT),
    ],
)
def test_ctrl_c_leaves_no_container_behind(
    start: Callable[[str], "subprocess.Popen[str]"], listed: Callable[[], list[str]], doing: str, code: int
) -> None:
    """At once, wherever it struck; in `run` without a traceback."""
    process = start(ONE + doing)
    wait_for(lambda: sleeps(process.pid), LIMIT, "the program to wait")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT)

    assert process.returncode == code, errors
    assert errors == "" if code == 0 else errors.endswith("\nKeyboardInterrupt\n"), errors
    assert listed() == []


def test_ctrl_c_ends_a_program_by_its_signal(user: User) -> None:
    """Also where something is imported after it, which makes the interpreter forget it."""
    done = user.python(ONE + "import atexit; atexit.register(exec, 'pass'); raise KeyboardInterrupt")

    assert done.returncode == -signal.SIGINT, done.stderr


def test_an_exception_leaves_no_container_behind(user: User, listed: Callable[[], list[str]]) -> None:
    """It is the program's own traceback alone that is seen."""
    done = user.python(ONE + "raise LookupError('of the program')")

    assert done.stderr.count("Traceback") == 1
    assert done.stderr.endswith("LookupError: of the program\n")
    assert listed() == []


def test_a_forked_child_is_not_the_session(user: User, listed: Callable[[], list[str]]) -> None:
    """Its end takes nothing along, and its use is told to be none."""
    done = user.python(
        ONE
        + textwrap.dedent("""
        child = os.fork()
        if not child:
            try:
                container.run_process('true')
            except RuntimeError as error:
                say(error)
            location.disconnect()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        say(container.run_process('echo still there')[0])
        """)
    )

    assert done.stderr == ""
    assert "was forked after the Location was made" in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[1:] == ["b'still there\\n'"]
    assert listed() == []


def test_callbacks_at_the_end_leave_no_trace(user: User) -> None:
    """Those of processes that end with the program do not disturb the interpreter's shutdown."""
    done = user.python(
        ONE + "came = threading.Event()\n"
        "for _ in range(3): container.spawn_process('while :; do echo x; done', lambda p, d: came.set())\n"
        "container.termination_callback = lambda c, r: say('ended')\n"
        f"assert came.wait({LIMIT})"
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def cable(at_home: Path, sdk_location: Service) -> Iterator[tuple[Forwarder, Location]]:  # noqa: ARG001 - HOME
    """A session over a path that can be cut, and the path."""
    with (
        Forwarder(("127.0.0.1", sdk_location.port)) as forwarder,
        Location(location_ip=f"127.0.0.1:{forwarder.port}", quiet=True) as session,
    ):
        yield forwarder, session


def test_a_cut_within_the_lease_is_not_seen(cable: tuple[Forwarder, Location], listed: Any) -> None:
    """Calls made meanwhile take longer, containers stay, callbacks are not told."""
    forwarder, session = cable
    told: list[Any] = []
    container = session.best_node().spawn_container("busybox", termination_callback=told.append)
    container.wait_until_ready()
    forwarder.hole()
    wait_for(lambda: not session.connection.link.connected, LIMIT, "the loss to be noticed")
    results: list[Any] = []
    calling = threading.Thread(target=lambda: results.append(container.run_process("echo through")))
    calling.start()
    forwarder.heal()
    calling.join(LIMIT)

    assert results == [(b"through\n", b"", 0)]
    session.set_kv({"after": "the cut"})
    assert session.kv["after"] == "the cut"
    session.set_kv({"after": None})
    assert told == []
    assert listed() == ["running"]


def test_changes_during_a_cut_are_seen_after_it(cable: tuple[Forwarder, Location], session: Location) -> None:
    """Volumes, keys and containers are as if nothing had been."""
    forwarder, cut = cable
    doomed = session.create_volume(tag="doomed")
    theirs = wait_for(lambda: next(iter(cut.volumes.values()), None), LIMIT, "the volume")
    assert theirs is not None
    ended: list[object] = []
    theirs.termination_callback = ended.append
    forwarder.hole()
    wait_for(lambda: not cut.connection.link.connected, LIMIT, "the loss to be noticed")
    session.destroy_volume(doomed)
    made = session.create_volume(tag="made")
    session.set_kv({"meanwhile": 1})
    forwarder.heal()

    wait_for(lambda: cut.kv.get("meanwhile") == 1, LIMIT, "the key")
    assert cut.volume("made").uuid == made.uuid
    with pytest.raises(KeyError):
        cut.volume("doomed")
    wait_for(lambda: ended == [theirs], LIMIT, "the callback")
    session.destroy_volume(made)
    session.set_kv({"meanwhile": None})


def test_after_the_lease_it_is_one_clear_exception(cable: tuple[Forwarder, Location], listed: Any) -> None:
    """From every call, pending or new, and from `run`; termination callbacks are called."""
    forwarder, session = cable
    told: list[Any] = []
    node = session.best_node()
    container = node.spawn_container("busybox", termination_callback=lambda *end: told.append(end))
    container.wait_until_ready()
    tunnel = container.attach_tunnel(80, localport=0, bind="127.0.0.1")
    process = container.spawn_process("sleep 1000", termination_callback=lambda *end: told.append(end))
    pending: list[BaseException] = []

    def wait() -> None:
        try:
            session.connection.call("port.wait", {"id": container.id, "port": 9, "timeout": 120})
        except ValueError as error:
            pending.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    forwarder.hole()
    waiter.join(LEASE + LIMIT)
    wait_for(lambda: len(told) == 2, LIMIT, "the callbacks")

    assert type(pending[0]) is Disconnected
    assert {end[0] for end in told} == {container, process}
    assert container.dead
    assert tunnel.dead
    assert node.containers == {}
    for use in (
        session.create_volume,
        lambda: session.set_kv({"a": 1}),
        lambda: node.spawn_container("busybox"),
        session.run,
    ):
        with pytest.raises(Disconnected, match=f"lost for {LEASE} s"):
            use()
    wait_for(lambda: listed() == [], LIMIT, "the location to be empty")


def test_a_restarted_location_keeps_the_session(
    session: Location, sdk_location: Service, listed: Callable[[], list[str]]
) -> None:
    """What it holds is still there, and still goes with it."""
    container = session.best_node().spawn_container("busybox").wait_until_ready()
    sdk_location.kill()
    wait_for(lambda: not session.connection.link.connected, LIMIT, "the loss to be noticed")
    sdk_location.start()

    assert container.run_process("echo again") == (b"again\n", b"", 0)
    assert listed() == ["running"]
    session.disconnect()


def test_a_revoked_account_is_told(new_user: Callable[[str], User], sdk_location: Service) -> None:
    """The session is over at once, with its containers, and `run` says why."""
    person = new_user("revoked")
    process = person.start_python(ONE + "say('there')\nlocation.run()")
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    name = person.home.name.replace("_", "-")
    done = sdk_location.command("--config", sdk_location.config, "revoke", name)
    assert done.returncode == 0, done.stderr
    _, errors = process.communicate(timeout=LIMIT)

    assert "Disconnected: the session with location sdk-home is over" in errors.splitlines()[-1]
    assert process.returncode == 1
