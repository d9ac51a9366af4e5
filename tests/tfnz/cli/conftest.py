"""What the tests of several commands ask of the location."""

from collections.abc import Callable

import pytest

from tests.support.user import User

LIST = """
from tfnz import account
from tfnz.location import Location
location = Location(quiet=True)
print(len(location.connection.call("container.list", {})["containers"]))
location.disconnect()
"""


@pytest.fixture
def containers(user: User) -> Callable[[], int]:
    """Tells how many containers the user's account has."""

    def counted() -> int:
        done = user.python(LIST)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    return counted
