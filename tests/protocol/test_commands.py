"""The table of commands: every request is checked against it, whatever it holds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import maps, parameters_of, values
from tfd.protocol.commands import COMMANDS, Command, Repeat, Role, check
from tfd.protocol.errors import Code, CommandError
from tfd.protocol.schema import Table

DIGEST = "sha256:" + "0" * 64
FILE = {"digest": DIGEST, "mode": 0o644}
CREATE = {"name": "prod/web/0", "key": "k1", "image": "nginx", "config": {}}

commands = st.sampled_from(sorted(COMMANDS.values(), key=lambda command: command.name))


@given(commands, st.data())
def test_what_the_table_allows_passes(command: Command, data: st.DataObject) -> None:
    """Parameters drawn from a command's own descriptions come through unchanged."""
    params = data.draw(parameters_of(Table(command.parameters)))

    assert check(command.name, params, Role.ADMIN) == params


@given(commands | st.text(max_size=20), maps | values, st.sampled_from(Role))
def test_nothing_but_command_errors_leaves_check(name: Command | str, params: Any, role: Role) -> None:
    """Whatever a peer asks for, the answer is parameters or a CommandError with a printable message."""
    try:
        check(name.name if isinstance(name, Command) else name, params, role)
    except CommandError as error:
        code, message = error.code, error.message
    else:
        return

    assert code in {Code.UNKNOWN_COMMAND, Code.DENIED, Code.BAD_PARAMETER}
    assert message.isprintable()


@given(commands, st.data())
def test_one_wrong_parameter_is_refused(command: Command, data: st.DataObject) -> None:
    """A value of a random type in one place is allowed, or refused with the parameter's name."""
    params = data.draw(parameters_of(Table(command.parameters)))
    if not params:
        return
    name = data.draw(st.sampled_from(sorted(params)))
    wrong = params | {name: data.draw(values)}
    try:
        check(command.name, wrong, Role.ADMIN)
    except CommandError as error:
        message = error.message
    else:
        return

    assert message.startswith(f"{command.name}: ")
    assert name in message


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"config": {"memory": -5}}, "config.memory is -5; allowed: 1 MiB to 16 TiB"),
        ({"config": {"memory": 2.0**21}}, "config.memory is 2097152.0; allowed: 1 MiB to 16 TiB"),
        ({"config": {"privileged": True}}, "config.privileged is not a parameter; allowed: command,"),
        (
            {"config": {"volumes": [["prod/data"]]}},
            "config.volumes[0] is a list of 1 entries; allowed: a list of name",
        ),
        (
            {"config": {"volumes": [["prod/data", "srv"]]}},
            "config.volumes[0].mount is 'srv'; allowed: an absolute",
        ),
        (
            {"config": {"files": {"/etc/../etc/x": FILE}}},
            "a key of config.files is '/etc/../etc/x'; allowed: an",
        ),
        (
            {"config": {"files": {"/etc/a\nb": FILE}}},
            r"a key of config.files is '/etc/a\nb'; allowed: an absolute",
        ),
        (
            {"config": {"files": {"/x": DIGEST}}},
            "config.files['/x'] is 'sha256:",
        ),
        (
            {"config": {"files": {"/x": {"digest": DIGEST}}}},
            "config.files['/x'].mode is missing; allowed: 0 to 511",
        ),
        (
            {"config": {"files": {"/x": FILE | {"mode": 0o4755}}}},
            "config.files['/x'].mode is 2541; allowed: 0 to 511",
        ),
        (
            {"config": {"environment": {"A=B": "c"}}},
            "a key of config.environment is 'A=B'; allowed: a variable's",
        ),
        ({"key": ""}, "key is ''; allowed: 1 to 64"),
        ({"name": "../../etc"}, "name is '../../etc'; allowed: environment/NAME/replica"),
        ({"name": "prod/web/0\n"}, "name is"),
        ({"image": "-rf"}, "image is '-rf'; allowed: an image's name"),
    ],
)
def test_a_wrong_container_is_told_in_one_line(change: dict[str, Any], complaint: str) -> None:
    """The message names command, parameter, what was found and what is allowed."""
    with pytest.raises(CommandError) as caught:
        check("container.create", CREATE | change, Role.USER)

    assert caught.value.code == "bad-parameter"
    assert caught.value.message.startswith(f"container.create: {complaint}")


@pytest.mark.parametrize("path", ["/etc/..data/x", "/a.b/c..", "/srv/.hidden", "/"])
def test_paths_with_harmless_dots_pass(path: str) -> None:
    """Only whole steps of one or two dots are refused."""
    params = CREATE | {"config": {"volumes": [["prod/data", path]]}}

    assert check("container.create", params, Role.USER)["config"]["volumes"] == [["prod/data", path]]


def test_numbers_become_floats_and_nil_is_left_out() -> None:
    """A handler need not tell 5 from 5.0, nor nil from absent."""
    assert check("container.stop", {"id": "tf-1", "timeout": 5}, Role.USER) == {"id": "tf-1", "timeout": 5.0}
    assert check("container.stop", {"id": "tf-1", "timeout": None}, Role.USER) == {"id": "tf-1"}


@pytest.mark.parametrize("command", [each for each in COMMANDS.values() if each.role > Role.GUEST])
def test_a_role_below_the_commands_is_denied(command: Command) -> None:
    """Each command refuses the role below its own, before it looks at the parameters."""
    with pytest.raises(CommandError) as caught:
        check(command.name, {"whatever": 1}, Role(command.role - 1))

    assert caught.value.code == "denied"


def test_a_guest_may_greet_and_join_alone() -> None:
    """A key that is no account yet reaches nothing else."""
    assert {each.name for each in COMMANDS.values() if each.role is Role.GUEST} == {"hello", "join"}


def test_what_must_not_be_done_twice_is_keyed() -> None:
    """A second container, process or invite would be left over; a second rollback would undo more."""
    keyed = {each.name for each in COMMANDS.values() if each.repeat is Repeat.KEYED}

    assert keyed == {
        "account.invite",
        "container.console",
        "container.create",
        "container.reboot",
        "domain.prepare",
        "file.fetch",
        "file.put",
        "keys.set",
        "process.start",
        "sftp.open",
        "volume.rollback",
        "volume.snapshot",
    }
    assert COMMANDS["container.create"].has_key
