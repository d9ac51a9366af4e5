"""The sub-commands of `tf` that need no container: processes with pipes, against a real engine."""

import json
import re
import signal
from itertools import count
from pathlib import Path

import pytest

from tests.support.product import Location
from tests.support.user import LIMIT, User, failed, said
from tests.support.waiting import wait_for

pytestmark = pytest.mark.engine
UUID = r"[2-9A-HJ-NP-Za-km-z]{22}"


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory, sdk_location: Location) -> User:
    """A person who administers the location."""
    person = User(tmp_path_factory.mktemp("admin"))
    done = sdk_location.command("--config", sdk_location.config, "invite", "--role", "admin", "admin")
    assert said(person.run("init", done.stdout.strip())) == (0, f"Created OK for: {sdk_location.name}\n", "")
    return person


@pytest.mark.covers("tf kv")
def test_keys_keep_their_types_and_change_together(user: User) -> None:
    """Text, numbers and bytes; all of a command or none."""
    assert said(user.run("kv", "set", "prod/db", "one", "prod/host", "zwei ä")) == (0, "", "")
    assert said(user.run("kv", "set", "--type", "integer", "port", "5432")) == (0, "", "")
    assert said(user.run("kv", "set", "--type", "bytes", "blob", "-", given=b"\x00\xff")) == (0, "", "")
    assert user.run("kv", "get", "blob").stdout == b"\x00\xff"
    assert said(user.run("kv", "get", "prod/host")) == (0, "zwei ä\n", "")
    assert json.loads(user.run("kv", "list", "--json").stdout) == {
        "blob": "\x00\\xff",
        "port": 5432,
        "prod/db": "one",
        "prod/host": "zwei ä",
    }
    assert "port       int    5432" in said(user.run("kv", "list"))[1]

    assert "nothing" in failed(user.run("kv", "rm", "port", "nothing"))
    assert said(user.run("kv", "get", "port"))[1] == "5432\n"
    assert said(user.run("kv", "rm", "port", "blob", "prod/db", "prod/host")) == (0, "", "")
    assert "port" in failed(user.run("kv", "get", "port"))


def test_wrong_keys_and_values_are_told(user: User) -> None:
    """Before anything is changed."""
    assert "has no value" in failed(user.run("kv", "set", "a", "1", "b"))
    assert "no integer" in failed(user.run("kv", "set", "--type", "integer", "a", "x"))
    assert "255" in failed(user.run("kv", "set", "k" * 256, "x"))
    assert said(user.run("kv", "list", "--json"))[1] == "{}\n"


def test_a_change_of_the_store_is_watched(user: User, tmp_path: Path) -> None:
    """A line for each change of the keys that were asked for, as it happens."""
    log = tmp_path / "changes"
    watcher = user.start("kv", "watch", "watched", log=log)
    numbers = count()

    def seen() -> bool:
        user.run("kv", "set", "other", "x", "watched", str(next(numbers))).check_returncode()
        return log.stat().st_size > 0

    try:
        wait_for(seen, LIMIT, "a change to be told")
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(LIMIT) == 1
    finally:
        watcher.kill()
        watcher.wait()
        user.run("kv", "rm", "other", "watched")
    assert re.fullmatch(r"(watched\t\d+\n)+", log.read_text())


@pytest.mark.covers("tf volume")
def test_volumes_have_a_life(user: User) -> None:
    """Created, listed, snapshot, rolled back, destroyed; found by tag and by the beginning of the uuid."""
    code, name, _ = said(user.run("volume", "create", "--size", "64M", "Pages"))
    assert code == 0
    assert re.fullmatch(f"{UUID}:pages\n", name)
    (volume,) = json.loads(user.run("volume", "list", "--json").stdout)
    assert (volume["tag"], volume["size"], volume["users"]) == ("pages", 64 << 20, [])
    table = said(user.run("volume", "list"))[1]
    assert table.startswith("VOLUME")
    assert max(len(line) for line in table.split("\n")) <= 80
    assert said(user.run("volume", "list", "--quiet"))[1] == "pages\n"
    for command in ("snapshot", "rollback"):
        assert said(user.run("volume", command, name[:6])) == (0, "", "")
    assert "pages" in failed(user.run("volume", "create", "pages"))
    code, output, errors = said(user.run("volume", "rm", "nothing", "pages"))
    assert (code, output) == (1, name)
    assert "no volume 'nothing'" in errors
    assert said(user.run("volume", "list", "-q"))[1] == ""


@pytest.mark.covers("tf node", "tf image")
def test_nodes_and_images_are_told(user: User) -> None:
    """As tables and as JSON."""
    (node,) = json.loads(user.run("node", "list", "--json").stdout)
    assert node["name"] in said(user.run("node", "list"))[1]
    names = [
        name for image in json.loads(user.run("image", "list", "--json").stdout) for name in image["names"]
    ]
    assert "busybox:latest" in names
    assert "busybox:latest" in said(user.run("image", "list"))[1]
    described = json.loads(user.run("image", "describe", "web").stdout)
    assert "80/tcp" in described["config"]["ExposedPorts"]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", said(user.run("image", "push", "busybox"))[1])
    assert "nosuch" in failed(user.run("image", "describe", "nosuch"))
    assert said(user.run("image", "rm", "nosuch"))[0] == 1


@pytest.mark.covers("tf account", "tf init")
def test_an_administrator_makes_and_ends_accounts(
    admin: User, sdk_location: Location, tmp_path: Path
) -> None:
    """From the invite to the first command of a new user, and to their last."""
    invite = said(admin.run("account", "invite", "guest"))[1].strip()
    guest = User(tmp_path / "guest")
    assert said(guest.run("init", invite)) == (0, f"Created OK for: {sdk_location.name}\n", "")
    shown = json.loads(guest.run("account", "show", "--json").stdout)
    assert (shown["location"], shown["account"], shown["role"]) == (sdk_location.name, "guest", "user")
    assert shown["key"] == (guest.home / ".20ft" / f"{sdk_location.name}.pub").read_text().strip()
    assert (guest.home / ".20ft").stat().st_mode & 0o777 == 0o700
    assert (guest.home / ".20ft" / sdk_location.name).stat().st_mode & 0o777 == 0o600
    listed = json.loads(admin.run("account", "list", "--json").stdout)
    assert {"admin", "guest"} <= {account["name"] for account in listed}

    assert said(admin.run("account", "revoke", "guest")) == (0, "", "")
    assert failed(guest.run("ps"))


def test_a_user_may_not_manage_accounts(user: User) -> None:
    """The answer says what is missing."""
    for arguments in (["list"], ["invite", "other"], ["revoke", "admin"]):
        assert "admin" in failed(user.run("account", *arguments))


def test_an_invite_is_good_once_and_changes_nothing_otherwise(admin: User, tmp_path: Path) -> None:
    """What is no invite, was used, or is for a location that is known already."""
    invite = said(admin.run("account", "invite", "once"))[1].strip()
    first, second = User(tmp_path / "first"), User(tmp_path / "second")
    assert "not an invite" in failed(first.run("init", "nonsense"))
    first.run("init", invite).check_returncode()
    assert failed(second.run("init", invite))
    assert not list((second.home).rglob("*.pub"))
    keys = (first.home / ".20ft").rglob("*")
    before = {path: path.read_bytes() for path in keys if path.is_file()}
    again = said(admin.run("account", "invite", "again"))[1].strip()
    assert "already" in failed(first.run("init", again))
    assert {path: path.read_bytes() for path in before} == before


def test_a_closed_pipe_is_no_traceback(user: User) -> None:
    """As with `tf ps | head`."""
    process = user.start("help")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    wait_for(lambda: process.poll() is not None, LIMIT, "the end of tf help")
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()


@pytest.mark.parametrize(
    "arguments",
    [["rm"], ["kv"], ["kv", "set"], ["volume", "create", "--size", "x"], ["logs", "-n", "0", "a"], ["exec"]],
)
def test_wrong_command_lines_are_one_line(user: User, arguments: list[str]) -> None:
    """With exit code 2, or the help of a group."""
    code, _, errors = said(user.run(*arguments))

    assert (code, len(errors.strip().split("\n"))) == (2, 1) if arguments != ["kv"] else code == 0
