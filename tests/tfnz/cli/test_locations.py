"""`tflocations` and `tfacctbak`: files of `~/.20ft`, no location needed."""

import subprocess
from pathlib import Path

import pytest

from tests.support.user import User, said

STORE = """
import sys
from tfd.protocol.address import Address
from tfd.protocol.keys import generate
from tfnz import account
for name in sys.argv[1:]:
    account.store(name, generate(), generate().public, (Address("192.0.2.1", 2020),))
"""


@pytest.fixture
def user(tmp_path: Path) -> User:
    """A person with accounts at three locations, the first one the default."""
    person = User(tmp_path / "home")
    person.python(STORE, "home.example.net", "attic", "home2").check_returncode()
    return person


@pytest.mark.covers("tflocations list", "tflocations select")
def test_the_default_is_marked_and_selected_by_its_beginning(user: User) -> None:
    """The first that was stored is the default; the first that begins so becomes it."""
    assert said(user.run("list", program="tflocations")) == (
        0,
        "attic\nhome.example.net <== default\nhome2\n",
        "",
    )
    assert said(user.run("select", "at", program="tflocations")) == (0, "", "")
    assert "attic <== default" in said(user.run("list", program="tflocations"))[1]
    assert said(user.run("select", "home2", program="tflocations"))[0] == 0
    assert (user.home / ".20ft/default_location").read_text().strip() == "home2"


def test_a_location_that_is_not_there_is_told(user: User) -> None:
    """On stdout, as 20ft did, with exit code 1."""
    code, output, errors = said(user.run("select", "cellar", program="tflocations"))

    assert (code, errors) == (1, "")
    assert "cellar" in output


@pytest.mark.parametrize("program", ["tflocations", "tfvolumes", "tfdomains"])
def test_without_a_command_the_help_is_printed(user: User, program: str) -> None:
    """With exit code 0, and without an account too."""
    code, output, _ = said(user.run(program=program))

    assert code == 0
    assert output.startswith(f"usage: {program}")


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("tflocations", ["select"]),
        ("tfvolumes", ["destroy"]),
        ("tfdomains", ["claim"]),
        ("tfcache", []),
        ("tfdescribe", []),
        ("tfvolumes", ["nonsense"]),
    ],
)
def test_wrong_command_lines_are_2(user: User, program: str, arguments: list[str]) -> None:
    """As argparse tells them."""
    code, _, errors = said(user.run(*arguments, program=program))

    assert code == 2
    assert program in errors


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("tflocations", ["list"]),
        ("tfacctbak", []),
        ("tfvolumes", ["list"]),
        ("tfdomains", ["list"]),
        ("tfresources", []),
        ("tfcache", ["nginx"]),
        ("tf", ["ps"]),
        ("tf", ["kv", "get", "a"]),
    ],
)
def test_without_an_account_one_line_says_so(tmp_path: Path, program: str, arguments: list[str]) -> None:
    """On stderr, with exit code 1."""
    nobody = User(tmp_path / "nobody")
    code, output, errors = said(nobody.run(*arguments, program=program))

    assert (code, output) == (1, "")
    assert len(errors.strip().split("\n")) == 1
    assert ".20ft" in errors


@pytest.mark.covers("tfacctbak")
@pytest.mark.parametrize("arguments", [[], ["attic"], ["--location", "attic"]])
def test_an_account_moves_by_a_pasted_script(user: User, tmp_path: Path, arguments: list[str]) -> None:
    """Its files are the same there, for their owner alone, and its location is the default."""
    code, script, _ = said(user.run(*arguments, program="tfacctbak"))
    name = arguments[-1] if arguments else "home.example.net"
    other = User(tmp_path / "other")
    subprocess.run(["sh", "-eu"], input=script, text=True, env=other.environment, check=True, timeout=30)

    assert code == 0
    for suffix in ("", ".pub", ".spub", ".address"):
        moved = other.home / ".20ft" / f"{name}{suffix}"
        assert moved.read_text().strip() == (user.home / ".20ft" / f"{name}{suffix}").read_text().strip()
        assert moved.stat().st_mode & 0o777 == 0o400
    assert said(other.run("list", program="tflocations")) == (0, f"{name} <== default\n", "")
    # Once more over it, for an account that was there.
    subprocess.run(["sh", "-eu"], input=script, text=True, env=other.environment, check=True, timeout=30)


def test_two_locations_are_one_too_many(user: User) -> None:
    """Named once as a word and once as an option."""
    assert said(user.run("attic", "--location", "home2", program="tfacctbak"))[0] == 1
