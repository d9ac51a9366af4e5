"""What a value from the wire may be: small descriptions which check a value and say what is allowed.

Each has `check(value, where)`, which gives the value or raises Mismatch, and `allowed`, a phrase for people.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Protocol

from tfd.protocol.dataclass import dataclass
from tfd.protocol.messages import describe

_SHOWN = 60
_INT64_MINIMUM, _INT64_MAXIMUM = -(1 << 63), (1 << 63) - 1


class Mismatch(Exception):  # noqa: N818 - it never leaves check(), which makes a CommandError of it
    """A value differs from its description; the text is a whole sentence without the command's name."""


class Type(Protocol):
    """A description of values."""

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase."""

    def check(self, value: Any, where: str) -> Any:
        """Give the value, or raise Mismatch naming `where`, what was found and what is allowed."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text of `minimum` to `maximum` characters, without NUL; the whole of it matches `pattern`, if given.

    `says` replaces the phrase of what is allowed.
    """

    maximum: int
    minimum: int = 1
    pattern: re.Pattern[str] | None = None
    says: str = ""

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase."""
        return self.says or f"text of {self.minimum} to {self.maximum} characters"

    def check(self, value: Any, where: str) -> str:
        """Give the value; Mismatch when it is not such a text."""
        if not isinstance(value, str) or not self.minimum <= len(value) <= self.maximum or "\0" in value:
            raise mismatch(where, value, self.allowed)
        if self.pattern is not None and self.pattern.fullmatch(value) is None:
            raise mismatch(where, value, self.allowed)
        return value


@dataclass(frozen=True, slots=True)
class Binary:
    """A byte string of `minimum` to `maximum` bytes."""

    minimum: int
    maximum: int

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase."""
        if self.minimum == self.maximum:
            return f"{self.minimum} bytes"
        return f"{self.minimum} to {self.maximum} bytes"

    def check(self, value: Any, where: str) -> bytes:
        """Give the value; Mismatch when it is not such a byte string."""
        if not isinstance(value, bytes) or not self.minimum <= len(value) <= self.maximum:
            raise mismatch(where, value, self.allowed)
        return value


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer of `minimum` to `maximum`; `size` writes the bounds in binary units of bytes."""

    minimum: int
    maximum: int
    size: bool = False

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase."""
        write = _bytes if self.size else str
        return f"{write(self.minimum)} to {write(self.maximum)}"

    def check(self, value: Any, where: str) -> int:
        """Give the value; Mismatch when it is not such an integer (a boolean is none)."""
        if type(value) is not int or not self.minimum <= value <= self.maximum:
            raise mismatch(where, value, self.allowed)
        return value


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number of `minimum` to `maximum`, given as an integer or a float; `unit` is for people."""

    minimum: float
    maximum: float
    unit: str = ""

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase."""
        return f"{self.minimum:g} to {self.maximum:g}{' ' if self.unit else ''}{self.unit}"

    def check(self, value: Any, where: str) -> float:
        """Give the value as a float; Mismatch when it is not such a number."""
        if type(value) not in (int, float) or not self.minimum <= value <= self.maximum:
            raise mismatch(where, value, self.allowed)
        return float(value)


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    allowed = "true or false"

    def check(self, value: Any, where: str) -> bool:
        """Give the value; Mismatch when it is not a boolean."""
        if type(value) is not bool:
            raise mismatch(where, value, self.allowed)
        return value


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase."""
        return " or ".join(self.words)

    def check(self, value: Any, where: str) -> str:
        """Give the value; Mismatch when it is none of the words."""
        if not isinstance(value, str) or value not in self.words:
            raise mismatch(where, value, self.allowed)
        return value


@dataclass(frozen=True, slots=True)
class Scalar:
    """Nil, a boolean, an integer of 64 bits, a finite number, or text or bytes of up to `maximum` bytes."""

    maximum: int

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase."""
        most = _bytes(self.maximum)
        return f"nil, a boolean, an integer of 64 bits, a finite number, text or bytes of up to {most}"

    def check(self, value: Any, where: str) -> Any:
        """Give the value; Mismatch when it is none of these."""
        if value is None or type(value) is bool:
            return value
        if type(value) is int:
            fits = _INT64_MINIMUM <= value <= _INT64_MAXIMUM
        elif type(value) is float:
            fits = math.isfinite(value)
        elif isinstance(value, str | bytes):
            fits = len(value.encode() if isinstance(value, str) else value) <= self.maximum
        else:
            fits = False
        if not fits:
            raise mismatch(where, value, self.allowed)
        return value


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of `minimum` to `maximum` values of one type."""

    item: Type
    maximum: int
    minimum: int = 0

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase."""
        return f"a list of {self.minimum} to {self.maximum} items"

    def check(self, value: Any, where: str) -> list[Any]:
        """Give the values, each checked; Mismatch names the first wrong one by its index."""
        if type(value) is not list or not self.minimum <= len(value) <= self.maximum:
            raise mismatch(where, value, self.allowed)
        return [self.item.check(item, f"{where}[{index}]") for index, item in enumerate(value)]


@dataclass(frozen=True, slots=True)
class Row:
    """A list with a fixed number of values, each of its own name and type."""

    cells: tuple[tuple[str, Type], ...]

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase."""
        return f"a list of {', '.join(name for name, _ in self.cells)}"

    def check(self, value: Any, where: str) -> list[Any]:
        """Give the values, each checked; Mismatch names the first wrong one."""
        if type(value) is not list or len(value) != len(self.cells):
            raise mismatch(where, value, self.allowed)
        pairs = zip(self.cells, value, strict=True)
        return [cell.check(item, f"{where}.{name}") for (name, cell), item in pairs]


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map of up to `maximum` entries, with keys of one type and values of one type."""

    key: Text
    value: Type
    maximum: int

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase."""
        return f"a map of up to {self.maximum} entries"

    def check(self, value: Any, where: str) -> dict[str, Any]:
        """Give the entries, each checked; Mismatch names the first wrong one by its key."""
        if type(value) is not dict or len(value) > self.maximum:
            raise mismatch(where, value, self.allowed)
        return {
            self.key.check(key, f"a key of {where}"): self.value.check(item, f"{where}[{shown(key)}]")
            for key, item in value.items()
        }


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named value of a command or of a table inside one.

    A parameter that is not required may be absent or nil; both mean that it was not given.
    """

    name: str
    type: Type
    required: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A map with declared keys alone."""

    parameters: tuple[Parameter, ...]
    allowed = "a map"

    def check(self, value: Any, where: str) -> dict[str, Any]:
        """Give the values of the declared keys that are there; Mismatch names the first wrong one."""
        if type(value) is not dict:
            raise mismatch(where, value, self.allowed)
        prefix = f"{where}." if where else ""
        known = {parameter.name for parameter in self.parameters}
        for key in value:
            if key not in known:
                names = ", ".join(parameter.name for parameter in self.parameters) or "none"
                raise Mismatch(f"{prefix}{shown(key, quote=False)} is not a parameter; allowed: {names}")
        checked = {}
        for parameter in self.parameters:
            found = value.get(parameter.name)
            if found is not None:
                checked[parameter.name] = parameter.type.check(found, prefix + parameter.name)
            elif parameter.required:
                raise Mismatch(f"{prefix}{parameter.name} is missing; allowed: {parameter.type.allowed}")
        return checked


def mismatch(where: str, value: Any, allowed: str) -> Mismatch:
    """Word a mismatch; the value is shown shortened and printable."""
    return Mismatch(f"{where} is {shown(value)}; allowed: {allowed}")


def shown(value: Any, *, quote: bool = True) -> str:
    """Show a value from the wire to people: short, printable, never a whole container."""
    if isinstance(value, Mapping | list):
        return f"{describe(value)} of {len(value)} entries"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        cut = value[:_SHOWN] + ("..." if len(value) > _SHOWN else "")
        return ascii(cut) if quote or not cut.isprintable() else cut
    words = {None: "nil", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _bytes(count: int) -> str:
    for unit, size in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size and count % size == 0:
            return f"{count // size} {unit}"
    return f"{count} bytes"
