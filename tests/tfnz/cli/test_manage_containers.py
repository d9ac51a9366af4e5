"""`tf ps`, `logs`, `exec`, `cp`, `ssh` and `rm` on containers that another process holds, or none."""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.terminal import Terminal
from tests.support.user import LIMIT, User, failed, said
from tests.support.waiting import wait_for

pytestmark = pytest.mark.engine
UUID = rb"[2-9A-HJ-NP-Za-km-z]{22}"
SCRIPT = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done"
DECLARED = """
import sys
from tfnz.location import Location
with Location(quiet=True) as location:
    config = {"command": ["sh", "-c", sys.argv[2]]}
    create = {"name": sys.argv[1], "key": "key", "image": "busybox", "config": config}
    location.connection.call("container.create", create)
"""


@pytest.fixture(scope="module")
def ticking(user: User, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The uuid of a container that another `tf` holds; it prints numbered lines."""
    log = tmp_path_factory.mktemp("ticking") / "log"
    holder = user.start("-q", "busybox", "sh", "-c", SCRIPT, log=log)
    try:
        wait_for(lambda: b"line 1" in log.read_bytes(), LIMIT, f"the container's first line; see {log}")
        (uuid,) = said(user.run("ps", "--quiet"))[1].split()
        yield uuid
    finally:
        holder.send_signal(signal.SIGTERM)
        holder.wait(LIMIT)


@pytest.fixture(scope="module")
def declared(user: User) -> Iterator[str]:
    """The name of a container that no session holds, as tfd makes them."""
    user.python(DECLARED, "prod/clock/0", SCRIPT).check_returncode()
    yield "prod/clock/0"
    user.run("rm", "prod/clock/0")


@pytest.mark.covers("tf ps")
def test_all_containers_are_listed(user: User, ticking: str, declared: str) -> None:
    """As a table of 80 columns, by their names alone, and as JSON."""
    table = said(user.run("ps"))[1].rstrip("\n").split("\n")
    assert re.split(" {2,}", table[0]) == ["CONTAINER", "IMAGE", "STATE", "NODE", "IP", "AGE"]
    assert max(len(line) for line in table) <= 80
    rows = {line.split()[0]: line for line in table[1:]}
    assert set(rows) == {ticking, declared}
    assert re.search(r"busybox\S* +running", rows[ticking])
    assert sorted(said(user.run("ps", "-q"))[1].split()) == sorted([ticking, declared])
    records = json.loads(user.run("ps", "--json").stdout)
    assert {record["name"] for record in records} == {f"sdk/{ticking}/0", declared}


@pytest.mark.covers("tf exec")
def test_a_process_has_its_own_streams_and_exit_code(user: User, ticking: str) -> None:
    """Output and errors apart, input to its end, exit codes and signals, variables, directory."""
    beginning = ticking[:5]
    done = user.run("exec", beginning, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert said(done) == (7, "out\n", "err\n")
    content = os.urandom(300_000)
    assert user.run("exec", "-i", beginning, "cat", given=content).stdout == content
    assert user.run("exec", beginning, "cat", given=b"not passed on").stdout == b""
    done = user.run(
        "exec", "-e", "A=b c", "-e", "HOME", "-w", "/etc", beginning, "sh", "-c", "echo $A $HOME; pwd"
    )
    assert said(done) == (0, f"b c {user.home}\n/etc\n", "")
    assert user.run("exec", beginning, "sh", "-c", "kill -9 $$").returncode == 128 + signal.SIGKILL
    assert user.run("exec", beginning, "--", "sh", "-c", "exit 3").returncode == 3
    assert user.run("exec", beginning, "nosuchprogram").returncode == 127


@pytest.mark.covers("tf exec")
def test_a_signal_reaches_the_process(user: User, ticking: str) -> None:
    """Without a terminal Ctrl-C is a signal; the process decides what it makes of it."""
    line = "trap 'echo caught; exit 5' INT; echo ready; while true; do sleep 0.1; done"
    process = user.start("exec", ticking, "sh", "-c", line)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=LIMIT)

    assert (output, process.returncode) == (b"caught\n", 5)


@pytest.mark.covers("tf exec")
def test_a_terminal_for_a_process(user: User, ticking: str) -> None:
    """Keys, Ctrl-C and the window's size arrive there; the terminal is given back."""
    shell = ("busybox", "sh", "-c", "PS1='ready> ' exec sh")
    with Terminal(user.command("exec", "-ti", ticking, *shell), user.environment, 101, 37) as screen:
        screen.wait_for(b"ready> ")
        assert screen.raw
        screen.send(b"busybox stty size\r")
        screen.wait_for(b"37 101\r\n")
        screen.resize(77, 22)
        screen.send(b"while [ \"$(busybox stty size)\" != '22 77' ]; do sleep 0.1; done; echo fo''llowed\r")
        screen.wait_for(b"followed\r\n")
        screen.send(b"sh -c 'echo run''ning; sleep 1000'\r")
        screen.wait_for(b"running\r\n")
        screen.send(b"\x03")
        screen.wait_for(b"ready> ")
        screen.send(b"exit 9\r")

        assert screen.wait() == 9
        assert not screen.raw


@pytest.mark.covers("tf exec")
def test_a_terminal_without_input(user: User, ticking: str) -> None:
    """All output comes; who reads sees the end."""
    assert said(user.run("exec", "-t", ticking, "sh", "-c", "cat; echo seen")) == (0, "seen\r\n", "")


@pytest.mark.covers("tf logs")
@pytest.mark.parametrize("which", ["ticking", "declared"])
def test_a_log_is_shown_and_followed(
    user: User, request: pytest.FixtureRequest, tmp_path: Path, which: str
) -> None:
    """The last lines, then what follows, none twice and none left out; of either kind of container."""
    name: str = request.getfixturevalue(which)
    lines = wait_for(lambda: said(user.run("logs", "-n", "3", name))[1].split("\n"), LIMIT, "a log")
    assert len([line for line in lines if line.startswith("line")]) >= 2
    log = tmp_path / "log"
    follower = user.start("logs", "--follow", "-n", "2", name, log=log)
    try:
        wait_for(lambda: log.read_text().count("\n") > 15, LIMIT, "15 lines")
    finally:
        follower.send_signal(signal.SIGINT)
        follower.wait(LIMIT)
    whole = log.read_text().replace("\r", "").split("\n")[:-1]
    numbers = [int(line.removeprefix("line ")) for line in whole]

    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.covers("tf cp")
def test_files_and_directories_both_ways(user: User, ticking: str, tmp_path: Path) -> None:
    """A file, a tree with modes, streams; into a directory, or in the place of what was there."""
    tree = tmp_path / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "big").write_bytes(os.urandom(3 << 20))
    (tree / "inner" / "ä b").write_text("x")
    (tree / "inner" / "ä b").chmod(0o750)
    for command in (
        ["cp", str(tree), f"{ticking}:/srv"],
        ["cp", f"{ticking}:/srv/tree", str(tmp_path / "back")],
        ["cp", str(tree / "big"), f"{ticking}:/srv/other/name"],
        ["cp", f"{ticking}:srv/other/name", str(tmp_path)],
    ):
        assert said(user.run(*command)) == (0, "", "")
    assert (tmp_path / "back/big").read_bytes() == (tree / "big").read_bytes()
    assert (tmp_path / "back/inner/ä b").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "name").read_bytes() == (tree / "big").read_bytes()

    assert said(user.run("cp", "-", f"{ticking}:/tmp/stream", given=b"a\0b")) == (0, "", "")
    assert user.run("cp", f"{ticking}:/tmp/stream", "-").stdout == b"a\0b"


@pytest.mark.covers("tf cp")
def test_what_cannot_be_copied_is_told(user: User, ticking: str, tmp_path: Path) -> None:
    """In one line; nothing half done stays."""
    target = tmp_path / "here"
    assert "nosuch" in failed(user.run("cp", f"{ticking}:/nosuch", str(target)))
    assert "nosuch" in failed(user.run("cp", str(tmp_path / "nosuch"), f"{ticking}:/x"))
    assert "directory" in failed(user.run("cp", f"{ticking}:/srv", "-"))
    assert "CONTAINER:PATH" in failed(user.run("cp", "a", "b"))
    assert ".." in failed(user.run("cp", f"{ticking}:/srv/../etc", str(target)))
    assert "no such directory" in failed(user.run("cp", f"{ticking}:/etc/passwd", f"{target}/"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.covers("tf ssh")
def test_ssh_into_any_container(user: User, ticking: str, declared: str) -> None:
    """The command's output and exit code; the container goes on afterwards."""
    if shutil.which("ssh") is None:
        pytest.skip("ssh is not installed")
    for name in (ticking, declared):
        assert said(user.run("ssh", name, "echo hello; exit 5")) == (5, "hello\n", "")
    assert sorted(said(user.run("ps", "-q"))[1].split()) == sorted([ticking, declared])


def test_what_is_not_there_is_told(user: User) -> None:
    """Which name, and where the names are told."""
    for command in (
        ["exec", "nothing", "true"],
        ["logs", "nothing"],
        ["cp", "nothing:/a", "-"],
        ["ssh", "nothing"],
    ):
        assert "no container 'nothing'; see: tf ps" in failed(user.run(*command))


@pytest.mark.covers("tf rm")
def test_containers_are_destroyed_whoever_holds_them(user: User, tmp_path: Path) -> None:
    """The one who holds it ends with it; a declared one comes with a word on tfd; what is unknown is told."""
    log = tmp_path / "log"
    holder = user.start("-q", "--env", "MARK=1", "busybox", "sh", "-c", "echo up; sleep 1000", log=log)
    try:
        wait_for(lambda: b"up" in log.read_bytes(), LIMIT, f"the container; see {log}")
        records = json.loads(user.run("ps", "--json").stdout)
        newest = max(records, key=lambda record: float(record["created"]))["uuid"]
        user.python(DECLARED, "prod/other/0", SCRIPT).check_returncode()
        code, output, errors = said(user.run("rm", "nothing", newest, "other"))
        assert (code, output.split()) == (1, [newest, "prod/other/0"])
        assert "no container 'nothing'" in errors
        assert "prod/other/0 is declared" in errors
        assert holder.wait(LIMIT) is not None
    finally:
        holder.kill()
        holder.wait()
    assert newest not in said(user.run("ps", "-q"))[1]
