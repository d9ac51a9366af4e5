"""What the sub-commands print, and what of a log is new."""

import argparse
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfnz.cli.manage import amounts
from tfnz.cli.manage.following import added
from tfnz.cli.manage.tables import WIDTH, amount, show_json, show_table


@given(st.lists(st.tuples(st.text(), st.text(max_size=200), st.integers()), max_size=5))
@example([("a" * 100, "b" * 100, 1)])
@example([("\x1b[2J\n", "\r", 0)])
def test_a_table_fits_and_moves_no_cursor(rows: list[tuple[str, str, int]]) -> None:
    """Whatever others called their things: a line for each row, 80 columns, printable."""
    lines = show_table(("NAME", "WHAT", "COUNT"), rows).split("\n")

    assert len(lines) == len(rows) + 1
    assert all(len(line) <= WIDTH and (line.isprintable()) for line in lines)


def test_what_fits_is_not_shortened() -> None:
    """Columns are as wide as they need to be; the widest one gives way."""
    uuid = "A" * 22
    narrow, wide = show_table(("CONTAINER", "IMAGE"), [(uuid, "nginx"), (uuid, "x" * 100)]).split("\n")[1:]

    assert narrow == f"{uuid}  nginx"
    assert wide == f"{uuid}  {'x' * 53}..."


def test_json_takes_bytes_and_keeps_what_is_no_text() -> None:
    """Values of the key-value store may be anything."""
    document = {"text": "ä", "bytes": b"\xff\x00", "list": [1, None, True]}

    assert json.loads(show_json(document)) == {"text": "ä", "bytes": "\\xff\x00", "list": [1, None, True]}
    assert "\n" not in show_json(document, one_line=True)


@pytest.mark.parametrize(
    ("count", "text"), [(None, "-"), (0, "0 B"), (1536, "1.5 KiB"), (1 << 40, "1.0 TiB")]
)
def test_amounts(count: int | None, text: str) -> None:
    """The largest unit that leaves at least one."""
    assert amount(count) == text


@pytest.mark.parametrize(
    ("text", "expected"), [("10", 10), ("1k", 1024), ("10G", 10 << 30), ("2TiB", 2 << 40)]
)
def test_sizes(text: str, expected: int) -> None:
    """Bytes or a binary unit."""
    assert amounts.size(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "1.5G", "G", "1 G", "\u0661", "9" * 40])
def test_wrong_numbers_say_what_is_allowed(text: str) -> None:
    """For each kind of number."""
    for reader in (amounts.size, amounts.seconds, amounts.count):
        with pytest.raises(argparse.ArgumentTypeError, match="allowed is"):
            reader(text)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_all_that_was_added_to_a_log_is_told(before: bytes, more: bytes) -> None:
    """As long as the log has kept its beginning."""
    assert added(before, before + more) == more


@given(st.integers(0, 30), st.integers(1, 30))
def test_a_log_that_lost_its_beginning_is_joined_where_it_overlaps(lost: int, new: int) -> None:
    """Lines that differ are told once each."""
    lines = [b"line %d\n" % number for number in range(30 + new)]

    assert added(b"".join(lines[:30]), b"".join(lines[lost:])) == b"".join(lines[max(30, lost) :])
