"""Kinds of values: what a key allows, in words, and how a value from the document is read.

`read` returns the value as the daemon uses it, or reports the problem at its place and returns None.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Protocol

from tfd.config.problems import shown, suggestion
from tfd.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    from tfd.config.model import Network
    from tfd.config.problems import Place

NAME_LENGTH = 40
PATH_LENGTH = 1024
TEXT_LENGTH = 65536
ELEMENTS = 1024  # of a list or table of texts, as the control protocol bounds it

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_LOCATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_VARIABLE = re.compile(r"[!-<>-~]{1,256}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Kind(Protocol):
    """What a key allows."""

    @property
    def allowed(self) -> str:
        """What is allowed, for messages and the documentation."""

    def read(self, value: object, place: Place) -> object | None:
        """Return the value as the daemon uses it, or report what is wrong at `place` and return None."""


@dataclass(frozen=True, slots=True)
class Text:
    """Any text, as long as no NUL is in it, which neither a file name nor a process's argument can hold."""

    allowed: str = "text in quotes"

    def read(self, value: object, place: Place) -> str | None:
        """Read text of at most TEXT_LENGTH characters."""
        if not isinstance(value, str):
            place.wrong(shown(value), self.allowed, quoting_hint(value))
        elif "\0" in value:
            place.wrong("text with a NUL character", self.allowed)
        elif len(value) > TEXT_LENGTH:
            place.wrong(f"{len(value)} characters", f"at most {TEXT_LENGTH}")
        else:
            return value
        return None


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a container, volume or environment; a container's also serves as a host name."""

    allowed: str = f"a name of lower-case letters, digits and inner dashes, at most {NAME_LENGTH} characters"

    def read(self, value: object, place: Place) -> str | None:
        """Read a name."""
        if isinstance(value, str) and len(value) <= NAME_LENGTH and _NAME.fullmatch(value):
            return value
        place.wrong(shown(value), self.allowed)
        return None


@dataclass(frozen=True, slots=True)
class LocationName:
    """The name of a location, which its owner chose."""

    allowed: str = "a location's name: letters, digits, '-', '_' and '.', a letter or digit first, at most 63"

    def read(self, value: object, place: Place) -> str | None:
        """Read a name."""
        if isinstance(value, str) and _LOCATION.fullmatch(value):
            return value
        place.wrong(shown(value), self.allowed)
        return None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: type[StrEnum]

    @property
    def allowed(self) -> str:
        """The words."""
        return ", ".join(f'"{word}"' for word in self.words)

    def read(self, value: object, place: Place) -> StrEnum | None:
        """Read one of the words."""
        known = [str(word) for word in self.words]
        if isinstance(value, str) and value in known:
            return self.words(value)
        place.wrong(shown(value), self.allowed, suggestion(value, known) if isinstance(value, str) else "")
        return None


@dataclass(frozen=True, slots=True)
class Boolean:
    """true or false."""

    allowed: str = "true or false"

    def read(self, value: object, place: Place) -> bool | None:
        """Read a boolean; the text "true" is none."""
        if isinstance(value, bool):
            return value
        hint = "write it without quotes" if value in ("true", "false") else ""
        place.wrong(shown(value), self.allowed, hint)
        return None


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds."""

    low: int
    high: int
    what: str = "a whole number"

    @property
    def allowed(self) -> str:
        """The bounds."""
        return f"{self.what} from {self.low} to {self.high}"

    def read(self, value: object, place: Place) -> int | None:
        """Read a whole number; 80.0 and "80" are none."""
        if isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high:
            return value
        hint = "write it without quotes" if isinstance(value, str) and value.isdecimal() else ""
        place.wrong(shown(value), self.allowed, hint)
        return None


@dataclass(frozen=True, slots=True)
class Number:
    """A number within bounds, with or without a fraction."""

    low: float
    high: float

    @property
    def allowed(self) -> str:
        """The bounds."""
        return f"a number from {self.low:g} to {self.high:g}"

    def read(self, value: object, place: Place) -> float | None:
        """Read a number; infinity and NaN are none."""
        if isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high:
            return float(value)
        place.wrong(shown(value), self.allowed)
        return None


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; with `one`, its single element may stand alone. `distinct` ones may not repeat themselves."""

    element: Kind
    one: bool = False
    distinct: bool = False
    empty: bool = True

    @property
    def allowed(self) -> str:
        """What each element allows."""
        return (
            f"{self.element.allowed}, or a list of those"
            if self.one
            else f"a list, each {self.element.allowed}"
        )

    def read(self, value: object, place: Place) -> tuple[object, ...] | None:
        """Read the elements that are right, and report every one that is not."""
        if not isinstance(value, list):
            if not self.one:
                hint = "put it in brackets: [...]" if isinstance(value, str) else ""
                place.wrong(shown(value), self.allowed, hint)
                return None
            alone = self.element.read(value, place)
            return None if alone is None else (alone,)
        if not value and not self.empty:
            place.wrong("an empty list", self.allowed)
        if len(value) > ELEMENTS:
            place.wrong(f"a list of {len(value)}", f"at most {ELEMENTS}")
            return None
        elements: list[object] = []
        seen: set[object] = set()
        for position, raw in enumerate(value):
            element = self.element.read(raw, place.at(position))
            if element is None:
                continue
            if self.distinct and element in seen:
                place.at(position).wrong(f"{shown(raw)} a second time", "each one once")
            seen.add(element)
            elements.append(element)
        return tuple(elements)


@dataclass(frozen=True, slots=True)
class InnerPath:
    """A path inside a container, or one of a Unix socket: absolute, and written in one way only."""

    allowed: str = "an absolute path"

    def read(self, value: object, place: Place) -> str | None:
        """Read an absolute path of at most PATH_LENGTH characters."""
        if not isinstance(value, str) or not value.startswith("/") or value == "/" or unprintable(value):
            place.wrong(shown(value), f"{self.allowed}, other than /")
        elif posixpath.normpath(value) != value or value.startswith("//"):
            place.wrong(
                shown(value), self.allowed, f"write {shown(posixpath.normpath('/' + value.lstrip('/')))}"
            )
        elif len(value) > PATH_LENGTH:
            place.wrong(f"a path of {len(value)} characters", f"at most {PATH_LENGTH}")
        else:
            return value
        return None


@dataclass(frozen=True, slots=True)
class HttpPath:
    """What stands after the host in a URL: a path, perhaps with a query (RFC 9112, origin-form)."""

    allowed: str = 'a path such as "/health", in printable ASCII without spaces'

    def read(self, value: object, place: Place) -> str | None:
        """Read a path of at most PATH_LENGTH characters."""
        if isinstance(value, str) and len(value) <= PATH_LENGTH and re.fullmatch(r"/[!-~]*", value):
            return value
        place.wrong(shown(value), self.allowed)
        return None


@dataclass(frozen=True, slots=True)
class NetworkOf:
    """An IPv4 or IPv6 network, or a lone address."""

    allowed: str = 'a network such as "192.0.2.0/24" or "2001:db8::/32", or one address'

    def read(self, value: object, place: Place) -> Network | None:
        """Read a network; one with host bits gets the right network suggested."""
        from ipaddress import ip_network

        if isinstance(value, str):
            try:
                return ip_network(value)
            except ValueError:
                pass
            try:
                place.wrong(
                    shown(value), self.allowed, f"did you mean {str(ip_network(value, strict=False))!r}?"
                )
            except ValueError:
                place.wrong(shown(value), self.allowed)
        else:
            place.wrong(shown(value), self.allowed)
        return None


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of text values under free names, such as environment variables."""

    allowed: str = "a table of names and text in quotes"

    def read(self, value: object, place: Place) -> tuple[tuple[str, str], ...] | None:
        """Read pairs of name and text in the order of their names."""
        table = as_table(value, place, self.allowed)
        if table is None:
            return None
        if len(table) > ELEMENTS:
            place.wrong(f"a table of {len(table)}", f"at most {ELEMENTS}")
            return None
        pairs: list[tuple[str, str]] = []
        for name, raw in sorted(table.items()):
            inner = place.at(name)
            if not _VARIABLE.fullmatch(name):
                inner.wrong(f"the name {shown(name)}", "a name in printable ASCII without '=' and spaces")
            elif (text := Text().read(raw, inner)) is not None:
                pairs.append((name, text))
        return tuple(pairs)


def as_table(value: object, place: Place, allowed: str, hint: str = "") -> Mapping[str, object] | None:
    """Return the value if it is a table, else report it and return None."""
    if isinstance(value, dict):
        return value
    place.wrong(shown(value), allowed, hint)
    return None


def unprintable(text: str) -> bool:
    """Whether control characters are in a text."""
    return _CONTROL.search(text) is not None


def quoting_hint(value: object) -> str:
    """Suggest quotes where a number or boolean stands in the place of text."""
    if isinstance(value, bool | int | float) and len(shown(value)) < 20:
        return f'put it in quotes: "{shown(value)}"'
    return ""
