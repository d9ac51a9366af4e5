"""What is wrong with a configuration: collected while it is read, told all at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from tfd.protocol.dataclass import dataclass, field
from tfd.protocol.errors import TfdError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

KeyPath: TypeAlias = tuple[str | int, ...]
"""Where a value lies in the document: names of tables and keys, positions in lists from 0."""

LIMIT = 100  # a file with more problems than this isn't read to the end by anybody
SHOWN = 60  # characters of a value in a message
COMPARED = 200  # names that a suggestion is looked for in
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")  # TOML 1.0, "Keys"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `str()` gives it as one line. `line` counts from 1."""

    file: str
    line: int | None
    key: str
    found: str
    allowed: str
    hint: str = ""

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        if self.key:
            where = f"{where}: {self.key}"
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{where}: found {self.found}{allowed}{hint}"


class ConfigErrors(TfdError):  # noqa: N818 (it holds all the errors of a file)
    """The configuration is wrong; `problems` tells every reason, `str()` gives one line for each."""

    def __init__(self, problems: Collection[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(slots=True)
class Report:
    """Collects the problems of one file. `line_of` gives the line of a key path, or None when unsure.

    `directory` is where the file's relative paths start. At most LIMIT problems are kept; `left_out` counts
    the others.
    """

    file: str
    directory: str
    line_of: Callable[[KeyPath], int | None]
    problems: list[Problem] = field(default_factory=list)
    left_out: int = 0

    def add(self, key: KeyPath, found: str, allowed: str, hint: str = "") -> None:
        """Keep one problem of the value at `key`."""
        if len(self.problems) == LIMIT:
            self.left_out += 1
        else:
            line = self.line_of(key)
            self.problems.append(Problem(self.file, line, key_text(key), found, allowed, hint))

    def raise_problems(self) -> None:
        """Raise ConfigErrors with the problems in the order of their lines, if there are any."""
        if not self.problems:
            return
        problems = sorted(self.problems, key=lambda problem: (problem.line is None, problem.line or 0))
        if self.left_out:
            more = f"{self.left_out} more problems"
            problems.append(Problem(self.file, None, "", more, "", "mend those above first"))
        raise ConfigErrors(problems)


@dataclass(frozen=True, slots=True)
class Place:
    """One value's place in the document, and where its problems go."""

    report: Report
    key: KeyPath = ()

    def at(self, part: str | int) -> Place:
        """Give the place of a key, or of a position from 0, inside this one."""
        return Place(self.report, (*self.key, part))

    def wrong(self, found: str, allowed: str, hint: str = "") -> None:
        """Report what was found here instead of what is allowed."""
        self.report.add(self.key, found, allowed, hint)

    def unknown(self, name: str, what: str, known: Collection[str]) -> None:
        """Report that `name` is none of the `known` ones, and suggest the nearest."""
        full = len(self.report.problems) == LIMIT
        self.report.add(self.key, what, listed(known), "" if full else suggestion(name, known))


def key_text(key: KeyPath) -> str:
    """Write a key path as people write it, with positions counted from 1: `listener[1].bind`."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += ("." if text else "") + (part if BARE_KEY.fullmatch(part[:SHOWN]) else shown(part))
    return text


def shown(value: object) -> str:
    """Write a value from the document, short and safe to print."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return repr(value if len(value) <= SHOWN else value[: SHOWN - 3] + "...")
        case int():
            return str(value) if abs(value) < 2**64 else "a number of more than 64 bits"
        case float():
            return str(value)
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "a table" if value else "an empty table"
        case _:
            return "a date or time"


def listed(names: Collection[str]) -> str:
    """Write names in their order with commas between; a long list is cut."""
    if not names:
        return "none is declared"
    some = list(names)[:20]
    return ", ".join(some) + (", ..." if len(names) > len(some) else "")


def suggestion(name: str, known: Collection[str]) -> str:
    """Ask "did you mean ...?" when one of `known` is near to `name`; else ""."""
    if len(name) > SHOWN or len(known) > COMPARED:
        return ""
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), known, n=1)
    return f"did you mean {near[0]!r}?" if near else ""
