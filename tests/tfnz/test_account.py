"""The files of ~/.20ft: what is read, and what is told of those that cannot be used."""

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.product import Location
from tests.support.user import User
from tests.support.waiting import wait_for
from tfd.protocol.address import Address
from tfd.protocol.keys import generate
from tfnz import account
from tfnz.location import Location as Session

NOBODY = 65534


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with an account at the location `here`; its ~/.20ft is what a test gets."""
    monkeypatch.setenv("HOME", str(tmp_path))
    account.store("here", generate(), generate().public, (Address(host="192.0.2.1", port=2020),))
    return tmp_path / ".20ft"


@pytest.mark.covers("Location.all_locations")
def test_what_is_stored_is_read(home: Path) -> None:
    """The first account is the default one; modes are the owner's alone."""
    read = account.load("here")

    assert read.addresses == (Address(host="192.0.2.1", port=2020),)
    assert base64.b64decode((home / "here.pub").read_bytes()) == read.pair.public
    assert base64.b64decode((home / "here").read_bytes()) == read.pair.secret
    assert account.default_location() == "here"
    assert Session.all_locations() == account.locations() == ["here"]
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "here").stat().st_mode & 0o777 == 0o600
    assert "secret" not in repr(read)


def test_a_second_account_does_not_become_the_default(home: Path) -> None:  # noqa: ARG001 - HOME
    """Until it is selected."""
    account.store("there", generate(), generate().public, (Address(host="::1", port=3),))
    assert account.default_location() == "here"
    account.select("there")

    assert account.default_location() == "there"
    assert account.load("there").addresses == (Address(host="::1", port=3),)
    with pytest.raises(RuntimeError, match="no keys for a location nowhere"):
        account.select("nowhere")


def test_an_account_is_never_replaced(home: Path) -> None:
    """Storing one of the same name is refused, and the keys stay."""
    before = (home / "here").read_bytes()
    with pytest.raises(RuntimeError, match="an account for location here already"):
        account.store("here", generate(), generate().public, (Address(host="h", port=1),))

    assert (home / "here").read_bytes() == before


def test_files_of_the_original_are_enough(home: Path) -> None:
    """Without an address the name is resolved; newlines at the end do not matter; 0400 will do."""
    (home / "here.address").unlink()
    for name in ("here", "here.pub", "here.spub", "default_location"):
        path = home / name
        path.write_bytes(path.read_bytes().strip())
        path.chmod(0o400)

    assert account.load("here").addresses == (Address(host="here", port=2020),)
    assert account.default_location() == "here"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_secret_that_others_may_read_is_refused(home: Path, mode: int) -> None:
    """The message has the command that mends it."""
    (home / "here").chmod(mode)
    with pytest.raises(RuntimeError, match=f"chmod 600 {home}/here"):
        account.load("here")


@pytest.mark.parametrize("name", ["here", "here.pub", "here.spub"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe", base64.b64encode(b"x" * 31)])
def test_damaged_files_are_named(home: Path, name: str, content: bytes) -> None:
    """Whatever is in a key's file, it is one error that names the file."""
    (home / name).write_bytes(content)
    with pytest.raises(RuntimeError, match=f"{home}/{name}: not a key"):
        account.load("here")


@pytest.mark.parametrize("name", ["here", "here.pub", "here.spub"])
def test_missing_files_are_named(home: Path, name: str) -> None:
    """With what to do about it."""
    (home / name).unlink()
    with pytest.raises(RuntimeError, match=rf"{home}/{name}: there is no such file.*tf init INVITE"):
        account.load("here")


def test_keys_that_are_no_pair_are_told(home: Path) -> None:
    """A public key of another account is noticed before anything is sent."""
    (home / "here.pub").write_bytes(base64.b64encode(generate().public))
    with pytest.raises(RuntimeError, match="does not belong to the secret key"):
        account.load("here")


def test_a_wrong_address_is_told(home: Path) -> None:
    """With the file that it stands in."""
    (home / "here.address").write_text("home.example.net:99999\n")
    with pytest.raises(RuntimeError, match=r"here\.address: .*the port is 99999"):
        account.load("here")


def test_no_account_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way to a first account is told."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(RuntimeError, match="tf init INVITE"):
        Session(quiet=True)
    with pytest.raises(FileNotFoundError):
        Session.all_locations()
    assert not account.has_default()


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 201, "new\nline"])
def test_names_that_are_no_file_names(home: Path, name: str) -> None:  # noqa: ARG001 - HOME
    """No name leads out of the directory."""
    with pytest.raises(RuntimeError, match="not the name of a location"):
        account.load(name)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    """No other exception, and what is an address survives being written."""
    try:
        found = account.parse_address(text)
    except ValueError:
        return
    assert account.parse_address(str(found)) == found


@pytest.mark.root
@pytest.mark.parametrize("place", [".20ft", ".20ft/here"])
def test_another_users_files_are_named_with_the_command(home: Path, place: str) -> None:
    """Copied by root, they need a chown, as the message says."""
    if os.geteuid() != 0:
        pytest.skip("giving files away needs root")
    for path in (home.parent, *home.parents):
        if path == Path("/tmp"):
            break
        path.chmod(0o755)
    shutil.chown(home, NOBODY)
    for path in home.iterdir():
        shutil.chown(path, NOBODY)
    shutil.chown(home.parent / place, "root")
    program = (
        "import os, sys; sys.path[:] = eval(sys.argv[1]); from tfnz import account;"
        f"os.setuid({NOBODY}); os.environ['HOME'] = sys.argv[2]; account.load('here')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, repr(sys.path), str(home.parent)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"chown -R {NOBODY} {home}" in done.stderr.splitlines()[-1]


@pytest.mark.engine
def test_an_invite_makes_an_account(
    sdk_location: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: neither the name nor the invite can be used again, and nothing is half stored."""
    monkeypatch.setenv("HOME", str(tmp_path))
    line = sdk_location.invite("joiner")

    assert account.join(line) == "sdk-home"
    with pytest.raises(RuntimeError, match="an account for location sdk-home already"):
        account.join(sdk_location.invite("joiner-2"))
    with pytest.raises(ValueError, match="ask for a new one"):
        account.join(line, name="again")
    with pytest.raises(ValueError, match="not an invite"):
        account.join("nonsense")
    assert account.locations() == ["sdk-home"]
    assert {path.name for path in account.directory().iterdir()} == {
        "default_location",
        *(f"sdk-home{ending}" for ending in ("", ".pub", ".spub", ".address")),
    }


@pytest.mark.engine
def test_a_moved_directory_is_an_account(user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying ~/.20ft to another home is all that moving an account takes."""
    shutil.copytree(user.home / ".20ft", tmp_path / ".20ft")
    monkeypatch.setenv("HOME", str(tmp_path))
    with Session(quiet=True) as session:
        assert wait_for(lambda: session.nodes, 30, "nodes")
