"""Two accounts attack one another through every command of the table, on a real engine."""

from collections.abc import Iterator

import pytest

from tests.attacks.attempts import ATTEMPTS, Verdict
from tests.attacks.belongings import Scene, scene
from tests.attacks.trial import SPECIAL, attack
from tfd.protocol.commands import COMMANDS, Role

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Give two accounts that own one of everything."""
    with scene(tmp_path_factory.mktemp("attacks")) as accounts:
        yield accounts


def test_no_command_is_left_out() -> None:
    """A new command has its attempts, and one for administrators is tried as a user."""
    assert ATTEMPTS.keys() | SPECIAL.keys() == COMMANDS.keys()
    assert not ATTEMPTS.keys() & SPECIAL.keys()
    for name, command in COMMANDS.items():
        denied = [attempt.verdict is Verdict.DENIED for attempt in ATTEMPTS.get(name, ())]
        assert all(denied) if command.role is Role.ADMIN else not any(denied)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_account_gets_at_nothing_of_anothers(two: Scene, command: str) -> None:
    """Neither account sees, uses, changes or ends what is the other's, nor learns that it is there."""
    rows = [*attack(command, two.alice, two.bob), *attack(command, two.bob, two.alice)]
    assert [row for row in rows if row.wrong] == []
    assert rows
