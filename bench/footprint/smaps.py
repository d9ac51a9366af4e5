"""What the kernel says of a process' memory: proc(5), /proc/PID/smaps."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_HEAD = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+\s*(.*)")
_KINDS = (
    ("the interpreter", re.compile(r"/python3[.0-9]*$|/libpython")),
    (
        "libzmq and what it links to",
        re.compile(r"zmq|libstdc|libgcc|krb5|k5crypto|com_err|norm|pgm|libbsd|keyutils"),
    ),
    ("libsodium, cffi", re.compile(r"sodium|cffi")),
    ("the C library", re.compile(r"/libc[.-]|/libm[.-]|/ld-linux|/locale/")),
    ("other libraries", re.compile(r"\.so")),
)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one mapping or of several.

    Attributes:
        resident: in memory (RSS).
        proportional: the same, with each page divided among the processes that share it (PSS).
        shared: resident pages that other processes have as well.
        anonymous: resident pages that no file has, so that only the process itself can give them back.

    """

    resident: int = 0
    proportional: int = 0
    shared: int = 0
    anonymous: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(
            self.resident + other.resident,
            self.proportional + other.proportional,
            self.shared + other.shared,
            self.anonymous + other.anonymous,
        )

    @property
    def growth(self) -> tuple[int, int]:
        """Bytes resident and anonymous, of a difference."""
        return self.resident, self.anonymous

    def __sub__(self, other: "Memory") -> "Memory":
        return Memory(
            self.resident - other.resident,
            self.proportional - other.proportional,
            self.shared - other.shared,
            self.anonymous - other.anonymous,
        )


@dataclass(frozen=True, slots=True)
class Mapping:
    """One mapping: its file, or the kernel's name for it, or nothing."""

    path: str
    memory: Memory


def parse(text: str) -> list[Mapping]:
    """Give the mappings of /proc/PID/smaps; lines and fields that are unknown are passed over."""
    found: list[Mapping] = []
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            found.append(Mapping(head[1], Memory()))
        elif found and (more := _field(line)) is not None:
            found[-1] = Mapping(found[-1].path, found[-1].memory + more)
    return found


def _field(line: str) -> Memory | None:
    name, _, value = line.partition(":")
    words = value.split()
    if len(words) != 2 or words[1] != "kB" or not words[0].isdecimal():
        return None
    size = int(words[0]) * 1024
    match name:
        case "Rss":
            return Memory(resident=size)
        case "Pss":
            return Memory(proportional=size)
        case "Shared_Clean" | "Shared_Dirty":
            return Memory(shared=size)
        case "Anonymous":
            return Memory(anonymous=size)
    return None


def kind(path: str) -> str:
    """Give what a mapping is used for, by its path."""
    if not path or path.startswith("[anon"):
        return "Python's arenas, large blocks"
    if path == "[heap]":
        return "malloc's heap"
    if path.startswith("["):
        return "stack, kernel's pages"
    return next((name for name, pattern in _KINDS if pattern.search(path)), "other files")


def total(mappings: Iterable[Mapping]) -> Memory:
    """Give the sum."""
    return sum((mapping.memory for mapping in mappings), Memory())


def by_kind(mappings: Iterable[Mapping]) -> dict[str, Memory]:
    """Give the sums of each kind, the largest first."""
    sums: dict[str, Memory] = {}
    for mapping in mappings:
        name = kind(mapping.path)
        sums[name] = sums.get(name, Memory()) + mapping.memory
    return dict(sorted(sums.items(), key=lambda item: -item[1].resident))


def read(pid: int) -> list[Mapping]:
    """Give the mappings of a process. Raises OSError: it has ended, or it is another user's."""
    return parse(Path(f"/proc/{pid}/smaps").read_text())
