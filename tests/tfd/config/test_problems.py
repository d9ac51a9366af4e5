"""What messages say, and that they are safe to print."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tfd.config.documents import JUNK
from tfd.config.problems import ConfigErrors, Problem, Report, key_text, listed, shown, suggestion
from tfd.protocol.errors import TfdError


def test_one_line() -> None:
    """A problem is one line with file, line, key, what was found, what is allowed, and a hint."""
    problem = Problem("tfd.toml", 3, "container.web.port", "0", "1 to 65535", "did you mean 80?")

    assert str(problem) == "tfd.toml:3: container.web.port: found 0; allowed: 1 to 65535; did you mean 80?"


def test_without_line() -> None:
    """What has no line, key or hint leaves no trace of them."""
    assert (
        str(Problem("tfd.toml", None, "", "a directory", "a file"))
        == "tfd.toml: found a directory; allowed: a file"
    )


def test_order() -> None:
    """Problems are told in the order of their lines, those without a line at the end."""
    report = Report("tfd.toml", "/", lambda key: {"a": 9, "b": 2}.get(str(key[0])))
    for name in "cab":
        report.add((name,), "x", "y")
    with pytest.raises(ConfigErrors) as caught:
        report.raise_problems()

    assert [problem.key for problem in caught.value.problems] == ["b", "a", "c"]
    assert isinstance(caught.value, TfdError)


def test_no_problems() -> None:
    """Without problems nothing is raised."""
    Report("tfd.toml", "/", lambda _key: None).raise_problems()


def test_key_text() -> None:
    """Positions count from 1, and names that need it are quoted."""
    assert key_text(("listener", 0, "bind", 1)) == "listener[1].bind[2]"
    assert key_text(("container", "a b")) == "container.'a b'"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        ("a'b\n", '"a\'b\\n"'),
        ("x" * 100, f"'{'x' * 57}...'"),
        (2**64, "a number of more than 64 bits"),
        (-1.5, "-1.5"),
        ([], "an empty list"),
        ({"a": 1}, "a table"),
        (dt.date(2020, 1, 1), "a date or time"),
    ],
)
def test_shown(value: object, text: str) -> None:
    """Values of every type are shown in a few words."""
    assert text == shown(value)


@given(JUNK)
def test_shown_is_short(value: object) -> None:
    """Any value is shown in one short line without control characters."""
    assert len(shown(value)) < 1000
    assert shown(value).isprintable()


@given(st.text(), st.lists(st.text()))
def test_suggestion(name: str, known: list[str]) -> None:
    """A suggestion is one of the known names, or nothing."""
    assert suggestion(name, known) in {"", *(f"did you mean {one!r}?" for one in known)}


def test_listed() -> None:
    """Long lists are cut, and empty ones say so."""
    assert listed(["a", "b"]) == "a, b"
    assert listed([]) == "none is declared"
    assert listed([str(number) for number in range(100)]).endswith("18, 19, ...")
