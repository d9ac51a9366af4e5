"""The status document as text for a terminal of 80 columns."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

WIDTH: Final = 80

CELL: Final = 24
"""Columns that a cell may take, but for the last one of its line."""


def render(document: dict[str, Any]) -> str:
    """Give the status document (tfd.document) as lines of text."""
    parts = [
        _head(document),
        _table(("LISTENER", "TO", "OPEN", "TOTAL", "IN", "OUT", "REFUSED"), _listeners(document)),
        _table(("CONTAINER", "STATE", "WHERE", "WHY"), _containers(document)),
        _table(("LOCATION", "STATE", "SINCE", "TRIP", "NODES", "NOTE"), _locations(document)),
    ]
    return "\n\n".join(part for part in parts if part)


def duration(seconds: float) -> str:
    """Give a span of time in its two largest units."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def amount(count: float) -> str:
    """Give a number of bytes in the largest unit that leaves at least one whole one."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _head(document: dict[str, Any]) -> str:
    program = f"tfd {document['version']}, environment {document['environment']}"
    lines = [
        f"{program}, pid {document['pid']}, up {duration(document['uptime'])}",
        f"{document['config']}: {document['summary']}",
    ]
    if document["reload"].get("error"):
        lines.append(f"the last reload was refused: {document['reload']['error']}")
    return "\n".join(_clean(line)[:WIDTH] for line in lines)


def _listeners(document: dict[str, Any]) -> Iterable[Sequence[str]]:
    for listener in document["listeners"]:
        yield (
            listener["name"],
            f"{listener['container']}:{listener['port']}",
            str(listener["open"]),
            str(listener["total"]),
            amount(listener["bytes_in"]),
            amount(listener["bytes_out"]),
            ", ".join(f"{count} {reason}" for reason, count in listener["refused"].items()) or "-",
        )


def _containers(document: dict[str, Any]) -> Iterable[Sequence[str]]:
    for container in document["containers"]:
        where = "/".join(part for part in (container.get("location"), container.get("node")) if part)
        yield container["name"], container["state"], where or "-", container.get("reason") or "-"


def _locations(document: dict[str, Any]) -> Iterable[Sequence[str]]:
    for location in document["locations"]:
        connected = location["connected"]
        yield (
            location["name"],
            "connected" if connected else "lost",
            duration(location["since"]),
            f"{location['round_trip_ms']:.1f} ms" if connected else "-",
            str(len(location["nodes"])),
            location["error"] or location["address"],
        )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give columns as wide as their widest cell; the last one takes what the line has left."""
    cells = [heads, *([_clean(cell) for cell in row] for row in rows)]
    if len(cells) == 1:
        return ""
    cells = [[*(_short(cell) for cell in row[:-1]), row[-1]] for row in cells]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads) - 1)]
    lines = []
    for row in cells:
        start = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        lines.append(f"{start}  {row[-1]}"[:WIDTH].rstrip())
    return "\n".join(lines)


def _clean(text: str) -> str:
    """Give text that moves no cursor and breaks no line: some of it was written by others."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _short(cell: str) -> str:
    return cell if len(cell) <= CELL else cell[: CELL - 3] + "..."
