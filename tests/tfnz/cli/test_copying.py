"""What the two words of `tf cp` mean."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfnz.cli.manage.copying import split


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("web:/a/b", ("web", "/a/b")),
        ("web:a//./b/", ("web", "/a/b/")),
        ("prod/db:/etc", ("prod/db", "/etc")),
        ("web:/", ("web", "/")),
        ("web:/a:b", ("web", "/a:b")),
        ("-", None),
        ("./web:/a", None),
        ("/tmp/a:b", None),
        ("~/a:b", None),
        ("plain", None),
    ],
)
def test_container_and_path(word: str, expected: tuple[str, str] | None) -> None:
    """CONTAINER:PATH, the path made absolute and plain; all else is a path here."""
    assert split(word) == expected


@pytest.mark.parametrize("word", ["web:", ":/a", "web:/a/../b", "web:.."])
def test_what_is_neither_is_told(word: str) -> None:
    """Nothing leads out of a container."""
    with pytest.raises(ValueError, match=r"allowed is|\.\. in it"):
        split(word)


@given(st.text())
def test_any_word_has_an_answer(word: str) -> None:
    """A plain absolute path, None, or an error that says what is allowed."""
    answer = None
    with suppress(ValueError):
        answer = split(word)
    if answer is not None:
        assert answer[1].startswith("/")
        assert ".." not in answer[1].split("/")
