"""The programs in docs/sdk.md and in examples/ do what they say, as processes with a user's account."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import page
from tests.support.product import Location
from tests.support.user import User

pytestmark = [pytest.mark.engine, pytest.mark.slow]

TREE = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"## ([^\n]*)\n(?:(?!\n## ).)*?```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
TOUR = {
    title: (program, printed) for title, program, printed in FENCE.findall((TREE / "docs/sdk.md").read_text())
}
PRINTED = {
    "tf-server.py": "attach_tunnel",
    "tf-server.service": "[Unit]",
    "our-tf-service": "our-tf-service",
    "rollback.py": "I am a carrot",
    "reset.py": "reset_filesystem",
}


def test_every_program_of_the_tour_is_found() -> None:
    """None is left out because its output is missing."""
    assert len(TOUR) == (TREE / "docs/sdk.md").read_text().count("```python")


@pytest.fixture(scope="module")
def reader(
    sdk_location: Location,
    new_user: Callable[[str], User],
    nginx_archive: Path,
    postgres_archive: Path,
) -> User:
    """Somebody with an account at a location that has the images which the documents name."""
    sdk_location.add_image(nginx_archive, "nginx")
    sdk_location.add_image(postgres_archive, "postgres")
    return new_user("reader")


@pytest.mark.parametrize("title", TOUR)
def test_the_tour(title: str, reader: User) -> None:
    """Each program prints what the document shows."""
    program, printed = TOUR[title]
    done = reader.python(program)
    assert (done.stdout, done.returncode) == (printed, 0), done.stderr


@pytest.mark.parametrize("name", PRINTED)
def test_the_pages_programs_stand_in_the_tree(name: str) -> None:
    """What examples/page holds is what the page prints, to the byte."""
    assert (TREE / "examples" / "page" / name).read_text() == page.block_with(PRINTED[name])
