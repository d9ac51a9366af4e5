"""The original's commands against a real engine: their output, word for word, and their exit codes."""

import json
import re
from collections.abc import Callable

import pytest

from tests.support.name_server import NameServer
from tests.support.product import Location
from tests.support.user import User, said

pytestmark = pytest.mark.engine
UUID = r"[2-9A-HJ-NP-Za-km-z]{22}"


@pytest.mark.covers("tfvolumes list", "tfvolumes create", "tfvolumes destroy")
def test_volumes_are_created_listed_and_destroyed(user: User) -> None:
    """By uuid and by tag; names alone are printed."""
    code, plain, errors = said(user.run("create", program="tfvolumes"))
    assert (code, errors) == (0, "")
    assert re.fullmatch(f"{UUID}\n", plain)
    code, tagged, _ = said(user.run("create", "--sync", "Data", program="tfvolumes"))
    assert code == 0
    assert re.fullmatch(f"{UUID}:data\n", tagged)

    assert sorted(said(user.run("list", program="tfvolumes"))[1].split()) == sorted(
        [plain.strip(), tagged.strip()]
    )
    code, output, errors = said(user.run("create", "data", program="tfvolumes"))
    assert (code, errors) == (1, "")
    assert "data" in output

    assert said(user.run("destroy", f"data:{tagged[:22]}", program="tfvolumes")) == (0, "", "")
    assert said(user.run("destroy", plain.strip(), program="tfvolumes")) == (0, "", "")
    assert said(user.run("list", program="tfvolumes")) == (0, "", "")


@pytest.mark.parametrize("arguments", [["destroy", "nothing"], ["destroy", "a:b:c"], ["create", "two words"]])
def test_wrong_volumes_are_one_line_on_stdout(user: User, arguments: list[str]) -> None:
    """With exit code 1."""
    code, output, errors = said(user.run(*arguments, program="tfvolumes"))

    assert (code, errors) == (1, "")
    assert len(output.strip().split("\n")) == 1


@pytest.mark.covers("tfresources")
def test_resources_are_json(user: User, sdk_location: Location) -> None:
    """The location's name, nodes by their keys with statistics, and names of what the account has."""
    code, output, errors = said(user.run(program="tfresources"))
    document = json.loads(output)

    assert (code, errors) == (0, "")
    assert list(document) == ["location", "nodes", "volumes", "externals", "endpoints"]
    assert document["location"] == sdk_location.name
    assert document["nodes"]
    assert output.startswith('{\n  "location"')


def test_an_image_that_is_not_local_is_not_cached(user: User) -> None:
    """Where there is no local engine, that is said."""
    code, _, errors = said(user.run("nosuchimage", program="tfcache"))

    assert code == 1
    assert "Traceback" not in errors
    assert said(user.run("nosuchimage", program="tfdescribe"))[0] == 1


@pytest.mark.covers(
    *("tfdomains list", "tfdomains prepare", "tfdomains claim", "tfdomains release"),
    *("tfdomains global", "tfdomains private"),
)
def test_a_domain_is_claimed_shared_and_given_up(
    user: User, new_user: Callable[[str], User], name_server: NameServer
) -> None:
    """By the record that `prepare` prints; another account sees it while it is global."""
    other = new_user("other")
    code, output, errors = said(user.run("prepare", "my.example", program="tfdomains"))
    record, command, life = output.strip().split("\n")
    assert (code, errors) == (0, "")
    match = re.search(r"tf-token\.my\.example\b.*\bTXT\b.* (\S+)$", record)
    assert match is not None
    assert "tfdomains claim my.example" in command
    assert "six hours" in life

    def refused(*arguments: str) -> str:
        code, output, errors = said(user.run(*arguments, program="tfdomains"))
        assert (code, errors, output.count("\n")) == (1, "", 1)
        return output

    assert "no TXT record" in refused("claim", "my.example")
    name_server.records["tf-token.my.example"] = ["wrong"]
    assert "token" in refused("claim", "my.example")
    name_server.records["tf-token.my.example"] = [match[1]]
    assert said(user.run("claim", "my.example", program="tfdomains")) == (0, "Claimed: my.example\n", "")
    assert refused("prepare", "my.example")
    assert "not prepared" in refused("claim", "unprepared.example")

    def listed(person: User) -> bool:
        return "my.example" in said(person.run("list", program="tfdomains"))[1].split()

    assert (listed(user), listed(other)) == (True, False)
    assert said(user.run("global", "my.example", program="tfdomains"))[0] == 0
    assert (listed(user), listed(other)) == (True, True)
    assert said(user.run("private", "my.example", program="tfdomains"))[0] == 0
    assert (listed(user), listed(other)) == (True, False)
    assert said(other.run("release", "my.example", program="tfdomains"))[0] == 1
    assert said(user.run("release", "my.example", program="tfdomains")) == (0, "Released: my.example\n", "")
    assert not listed(user)
    assert refused("global", "my.example")
