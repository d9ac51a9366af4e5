"""Finding the lines of keys."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from tests.tfd.config.documents import toml_tables, valid_documents
from tfd.config.lines import DEPTH, Lines
from tfd.config.problems import KeyPath

DOCUMENT = '''\
title = "[container.no]"   # [container.no]
dotted."b c".'d' = { x = 1, y = [1, 2] }

[container.web]   # a comment
image = """
[container.no] \\""" ""still"""""
list = [
    "a",   # ], "b"
    ['b',

     "c"], { x = 1 },
]

[[listener]]
when = 1979-05-27T07:32:00Z
[listener.inner]
port = 0x50
[[listener]]
"port" = +1.5
'''

EXPECTED: dict[KeyPath, int] = {
    ("title",): 1,
    ("dotted",): 2,
    ("dotted", "b c", "d", "x"): 2,
    ("dotted", "b c", "d", "y", 1): 2,
    ("container",): 4,
    ("container", "web"): 4,
    ("container", "web", "image"): 5,
    ("container", "web", "list"): 7,
    ("container", "web", "list", 0): 8,
    ("container", "web", "list", 1, 0): 9,
    ("container", "web", "list", 1, 1): 11,
    ("container", "web", "list", 2, "x"): 11,
    ("listener",): 14,
    ("listener", 0): 14,
    ("listener", 0, "when"): 15,
    ("listener", 0, "inner"): 16,
    ("listener", 0, "inner", "port"): 17,
    ("listener", 1): 18,
    ("listener", 1, "port"): 19,
}


def test_every_construct() -> None:
    """Strings, comments, lists, inline tables and headers of all kinds are told apart."""
    lines = Lines(DOCUMENT)

    assert tomllib.loads(DOCUMENT)
    assert {key: lines.find(key) for key in EXPECTED} == EXPECTED


def test_missing_key() -> None:
    """A key that is not there has the line of the table around it."""
    lines = Lines(DOCUMENT)

    assert lines.find(("listener", 1, "bind")) == 18
    assert lines.find(("container", "db")) == 4
    assert lines.find(("nothing",)) is None
    assert lines.find(()) is None


def test_unsure() -> None:
    """After something that is not understood there are no lines, but for what came before it."""
    lines = Lines('a = 1\n"\\u0062" = 2\nc = 3\n')

    assert [lines.find((key,)) for key in "abc"] == [1, None, None]


def test_depth() -> None:
    """Lists that are too deep end the search."""
    lines = Lines("a = " + "[" * (DEPTH + 5) + "]" * (DEPTH + 5) + "\nb = 1\n")

    assert lines.find(("a",)) == 1
    assert lines.find(("b",)) is None


@given(st.one_of(st.text(), st.text("[]{}=.,\"'#\\\n ab1")))
def test_any_text(text: str) -> None:
    """Any text is searched without an error, and the lines found exist."""
    line = Lines(text).find(("a", 0, "b"))

    assert line is None or 1 <= line <= text.count("\n") + 1


@given(valid_documents())
def test_valid_documents(document: dict[str, object]) -> None:
    """Each key of a valid document is found on a line that begins with it."""
    text = toml_tables(document)
    lines = Lines(text)
    rows = text.split("\n")
    containers = document["container"]
    assert isinstance(containers, dict)
    for name, table in containers.items():
        for key in table:
            line = lines.find(("container", name, key))
            assert line is not None
            assert rows[line - 1].startswith(f'"{key}" = ')
