"""Finds the lines on which the keys of a TOML document stand, which tomllib does not tell.

It reads text that tomllib has accepted, so it looks only for where keys and values begin and end. Text that
it does not understand ends the search: the keys after it have no line, and nothing is ever raised.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tfd.config.problems import KeyPath

DEPTH = 20  # of lists and inline tables; our keys need two

_BLANK = re.compile(r"[ \t]*")
_FILLER = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_PART = re.compile(r"""([A-Za-z0-9_-]+)|'([^'\n]*)'|"([^"\\\n]*)\"""")  # an escape in a key is not understood
_SCALAR = re.compile(r"[^\s,#\[\]{}\"'=][^,#\[\]{}\"'=\n]*")
# How each kind of string opens, and what to stop at in it: an escape, or its end.
_STRINGS = (
    ('"""', re.compile(r'\\[\s\S]|"{3,5}')),
    ("'''", re.compile(r"'{3,5}")),
    ('"', re.compile(r'\\.|"')),
    ("'", re.compile(r"'")),
)


class _UnsureError(Exception):
    """The text is not what this reader knows."""


class Lines:
    """The line of each key and list element of one document, counted from 1; looked for when first asked."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: Mapping[KeyPath, int] | None = None

    def find(self, key: KeyPath) -> int | None:
        """Give the line where `key` stands, else that of the table or list around it; None when unsure."""
        if self._known is None:
            self._known = _Scan(self._text).run()
        while key:
            if key in self._known:
                return self._known[key]
            key = key[:-1]
        return None


class _Scan:
    """One pass over the text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        self._known: dict[KeyPath, int] = {}
        self._elements: dict[KeyPath, int] = {}

    def run(self) -> Mapping[KeyPath, int]:
        table: KeyPath = ()
        try:
            while self._skip(_FILLER) < len(self._text):
                if self._text.startswith("[", self._at):
                    table = self._header()
                else:
                    self._pair(table, 0)
        except _UnsureError:
            pass
        return self._known

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _UnsureError
        self._at = match.end()
        return self._at

    def _take(self, literal: str) -> bool:
        if not self._text.startswith(literal, self._at):
            return False
        self._at += len(literal)
        return True

    def _expect(self, literal: str) -> None:
        if not self._take(literal):
            raise _UnsureError

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _header(self) -> KeyPath:
        line = self._line_here()
        many = self._take("[[")
        if not many:
            self._expect("[")
        *parents, last = self._key()
        self._expect("]]" if many else "]")
        table: KeyPath = ()
        for part in parents:
            table = (*table, part)
            self._known.setdefault(table, line)
            table = self._newest(table)
        table = (*table, last)
        if many:
            self._known.setdefault(table, line)
            self._elements[table] = self._elements.get(table, -1) + 1
            table = self._newest(table)
        self._known[table] = line
        return table

    def _newest(self, table: KeyPath) -> KeyPath:
        return (*table, self._elements[table]) if table in self._elements else table

    def _pair(self, table: KeyPath, depth: int) -> None:
        line = self._line_here()
        for part in self._key():
            table = (*table, part)
            self._known.setdefault(table, line)
        self._expect("=")
        self._skip(_BLANK)
        self._value(table, depth)

    def _key(self) -> list[str]:
        parts: list[str] = []
        while len(parts) < DEPTH:
            self._skip(_BLANK)
            match = _PART.match(self._text, self._at)
            if match is None:
                raise _UnsureError
            self._at = match.end()
            parts.append(match[match.lastindex or 0])
            self._skip(_BLANK)
            if not self._take("."):
                return parts
        raise _UnsureError

    def _value(self, key: KeyPath, depth: int) -> None:
        if depth > DEPTH:
            raise _UnsureError
        if self._take("["):
            self._list(key, depth)
        elif self._take("{"):
            self._inline_table(key, depth)
        else:
            self._string_or_scalar()

    def _string_or_scalar(self) -> None:
        for opening, stop in _STRINGS:
            if self._take(opening):
                while match := stop.search(self._text, self._at):
                    self._at = match.end()
                    if not match[0].startswith("\\"):
                        return
                raise _UnsureError
        self._skip(_SCALAR)

    def _list(self, key: KeyPath, depth: int) -> None:
        position = 0
        self._skip(_FILLER)
        while not self._take("]"):
            self._known[(*key, position)] = self._line_here()
            self._value((*key, position), depth + 1)
            position += 1
            self._skip(_FILLER)
            if not self._take(","):
                self._expect("]")
                return
            self._skip(_FILLER)

    def _inline_table(self, key: KeyPath, depth: int) -> None:
        self._skip(_FILLER)
        while not self._take("}"):
            self._pair(key, depth + 1)
            self._skip(_FILLER)
            if not self._take(","):
                self._expect("}")
                return
            self._skip(_FILLER)
