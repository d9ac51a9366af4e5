"""What the sub-commands print: tables for people, at most 80 columns wide, and JSON for programs."""

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tfd.protocol.text import printable

WIDTH: Final = 80
GAP: Final = "  "
MINIMUM: Final = 8
"""Columns that a cell keeps however long the others are."""


def show_table(heads: Sequence[str], rows: Iterable[Sequence[object]], width: int = WIDTH) -> str:
    """Give a table of at most `width` columns; the widest cells are shortened until it fits."""
    cells = [list(heads), *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    room = width - len(GAP) * (len(heads) - 1)
    while sum(widths) > room and max(widths) > MINIMUM:
        widths[widths.index(max(widths))] -= 1
    return "\n".join(
        GAP.join(_short(cell, limit).ljust(limit) for cell, limit in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def show_json(document: object, *, one_line: bool = False) -> str:
    """Give a document as JSON, keys in order; bytes become text, what is no UTF-8 in them is escaped."""
    return json.dumps(
        _plain(document), indent=None if one_line else 2, sort_keys=True, ensure_ascii=not _unicode_output()
    )


def amount(count: float | None) -> str:
    """Give a number of bytes in the largest unit that leaves at least one whole one, - for None."""
    if count is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def age(created: float) -> str:
    """Give in its largest unit how long ago a time (seconds since the epoch) was."""
    left = max(0, int(time.time() - created))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if left >= size:
            return f"{left // size} {unit}"
    return f"{left} s"


def _unicode_output() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _short(cell: str, limit: int) -> str:
    return cell if len(cell) <= limit else cell[: limit - 3] + "..."


def or_dash(value: Any) -> str:
    """Give a cell's text, - where there is nothing."""
    return "-" if value is None or value == "" else str(value)
