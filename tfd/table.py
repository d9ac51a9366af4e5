"""The status document as text for a terminal."""

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any, Final

from tfd.figures import amount, duration
from tfd.protocol.dataclass import dataclass
from tfd.protocol.text import printable

WIDTH: Final = 80
"""Columns where the terminal says nothing of its own."""

GAP: Final = "  "

CELL: Final = 10
"""Columns that a cell keeps however long its neighbours are."""

NOTE_LINES: Final = 4
"""Lines that the note below a row takes at most."""

_INDENT: Final = "    "


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; numbers stand at the right and are never cut."""

    head: str
    number: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row, and what is said below it."""

    cells: tuple[str, ...]
    note: str = ""


_LISTENERS: Final = (
    Column("LISTENER"),
    Column("TO"),
    Column("OPEN", number=True),
    Column("TOTAL", number=True),
    Column("IN", number=True),
    Column("OUT", number=True),
)
_CONTAINERS: Final = (
    Column("CONTAINER"),
    Column("STATE"),
    Column("SINCE", number=True),
    Column("RESTARTS", number=True),
    Column("WHERE"),
)
_LOCATIONS: Final = (
    Column("LOCATION"),
    Column("STATE"),
    Column("SINCE", number=True),
    Column("TRIP", number=True),
    Column("NODES", number=True),
    Column("ADDRESS"),
)


def render(document: dict[str, Any], width: int = WIDTH) -> str:
    """Give the status document (tfd.document) as lines of at most `width` columns."""
    parts = [
        _head(document, width),
        _table(_LISTENERS, _listeners(document), width),
        _table(_CONTAINERS, _containers(document), width),
        _table(_LOCATIONS, _locations(document), width),
    ]
    return "\n\n".join(part for part in parts if part)


def _head(document: dict[str, Any], width: int) -> str:
    program = f"tfd {document['version']}, environment {document['environment']}"
    lines = [
        f"{program}, pid {document['pid']}, up {duration(document['uptime'])}",
        f"{document['config']}: {document['summary']}",
        *document["problems"],
    ]
    if document["reload"].get("error"):
        lines.append(f"the last reload was refused: {document['reload']['error']}")
    return "\n".join(part for line in lines for part in _lines(line, width, NOTE_LINES, GAP))


def _listeners(document: dict[str, Any]) -> Iterable[Row]:
    for listener in document["listeners"]:
        refused = ", ".join(f"{count} {reason}" for reason, count in listener["refused"].items())
        cells = (
            listener["name"],
            f"{listener['container']}:{listener['port']}",
            str(listener["open"]),
            str(listener["total"]),
            amount(listener["bytes_in"]),
            amount(listener["bytes_out"]),
        )
        yield Row(cells, f"refused: {refused}" if refused else "")


def _containers(document: dict[str, Any]) -> Iterable[Row]:
    for container in document["containers"]:
        where = "/".join(part for part in (container["location"], container["node"]) if part)
        cells = (
            container["name"],
            container["state"],
            # A container that is not enabled has been so for ever.
            duration(min(container["since"], document["uptime"])),
            str(container["restarts"]),
            where or "-",
        )
        yield Row(cells, container["reason"])


def _locations(document: dict[str, Any]) -> Iterable[Row]:
    for location in document["locations"]:
        connected = location["connected"]
        online = sum(node["online"] for node in location["nodes"])
        cells = (
            location["name"],
            "connected" if connected else "lost",
            duration(location["since"]),
            f"{location['round_trip_ms']:.1f} ms" if connected else "-",
            f"{online}/{len(location['nodes'])}" if connected else "-",
            location["address"],
        )
        yield Row(cells, location["error"])


def _table(columns: Sequence[Column], rows: Iterable[Row], width: int) -> str:
    """Give aligned columns, of which the widest are cut until all fit, and notes below their rows."""
    told = [Row(tuple(column.head for column in columns))]
    told += [Row(tuple(map(printable, row.cells)), row.note) for row in rows]
    if len(told) == 1:
        return ""
    widths = _widths(columns, told, width)
    lines = []
    for row in told:
        cells = (
            cell.rjust(size) if column.number else _short(cell, size).ljust(size)
            for column, cell, size in zip(columns, row.cells, widths, strict=True)
        )
        lines.append(GAP.join(cells)[:width].rstrip())
        if row.note:
            lines += _lines(_INDENT + row.note, width, NOTE_LINES, _INDENT)
    return "\n".join(lines)


def _widths(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[int]:
    widths = [max(len(row.cells[index]) for row in rows) for index in range(len(columns))]
    texts = [index for index, column in enumerate(columns) if not column.number]
    room = width - len(GAP) * (len(columns) - 1)
    while sum(widths) > room:
        widest = max(texts, key=widths.__getitem__)
        if widths[widest] <= CELL:
            break
        widths[widest] -= 1
    return widths


def _lines(text: str, width: int, most: int, indent: str = "") -> list[str]:
    """Give text as at most `most` lines."""
    return wrap(
        printable(text),
        width,
        max_lines=most,
        placeholder=" ...",
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def _short(cell: str, width: int) -> str:
    """Cut out the middle: paths begin alike, and names too."""
    if len(cell) <= width:
        return cell
    end = (width - 3) * 2 // 3
    return cell[: width - 3 - end] + "..." + cell[len(cell) - end :]
