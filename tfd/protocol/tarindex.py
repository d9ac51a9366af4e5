"""Where the members of a tar archive lie in it: an index, read without unpacking anything.

The standard library's tarfile reads extended headers of any length into memory and imports much; the daemon
needs only names, offsets and links. Sources: POSIX.1-2001 pax, "ustar Interchange Format", and GNU tar's
manual, "Basic Tar Format" (long names, base-256 numbers).
"""

from collections.abc import Iterator, Mapping
from typing import BinaryIO

from tfd.protocol.dataclass import dataclass
from tfd.protocol.oci import ArchiveError

BLOCK = 512
MAX_ENTRIES = 65536
"""An image archive has a few members for each layer."""
MAX_EXTENDED = 64 * 1024
"""Bytes of one extended header; it holds little more than a path."""
MAX_LINKS = 8
"""Links followed from one name; docker save links a repeated layer once."""

_HARD_LINK, _SYMBOLIC_LINK = b"1", b"2"
_FILES = (b"0", b"\0", b"7")
_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK = b"x", b"g", b"L", b"K"


@dataclass(frozen=True, slots=True)
class Member:
    """A file's place in the archive in bytes, or, where `target` is not empty, another member's name."""

    offset: int
    size: int
    target: str = ""


def read_index(file: BinaryIO, what: str) -> dict[str, Member]:
    """Give the files and links of a seekable archive by their names, as in "a/b"; of two, the later counts.

    Members whose names lead out of the archive cannot be meant by anything in it and are left out. Raises
    ArchiveError naming `what` where it is cut short, damaged or no tar archive.
    """
    return dict(_members(file, what))


def find(index: Mapping[str, Member], name: str, what: str) -> Member:
    """Give the file of this name, through links. Raises ArchiveError where it leads nowhere."""
    wanted = normalise(name)
    for _ in range(MAX_LINKS):
        member = index.get(wanted) if wanted is not None else None
        if member is None:
            raise ArchiveError(f"{what}: {name!r} is missing")
        if not member.target:
            return member
        wanted = member.target
    raise ArchiveError(f"{what}: {name!r} is a circle of links")


def normalise(name: str) -> str | None:
    """Give the name without "." and ".." steps; None where it is absolute or leads out of the archive."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return None if name.startswith("/") or not parts else "/".join(parts)


def _members(file: BinaryIO, what: str) -> Iterator[tuple[str, Member]]:
    end = file.seek(0, 2)
    offset = 0
    extended: dict[str, str] = {}
    for _ in range(MAX_ENTRIES):
        header = _read(file, offset, BLOCK)
        if len(header) < BLOCK or not header.strip(b"\0"):
            if offset == 0:
                raise ArchiveError(f"{what}: is not a tar archive")
            return  # the two blocks of zeros that should end it are missing in some writers' archives
        if not _checksum_fits(header):
            wrong = "is not a tar archive" if offset == 0 else f"is damaged at byte {offset}"
            raise ArchiveError(f"{what}: {wrong}")
        size = _size(header, extended, what)
        content = offset + BLOCK
        if content + size > end:
            raise ArchiveError(f"{what}: is cut short: of {content + size} bytes it has {end}")
        kind = header[156:157]
        if kind in (_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK):
            _extend(extended, kind, file, content, size, what)
        else:
            yield from _member(header, kind, content, size, extended)
            extended = {}
        offset = content + -(-size // BLOCK) * BLOCK
    raise ArchiveError(f"{what}: has more than {MAX_ENTRIES} members")


def _member(
    header: bytes, kind: bytes, content: int, size: int, extended: Mapping[str, str]
) -> Iterator[tuple[str, Member]]:
    name = normalise(extended.get("path") or _name(header))
    if name is None:
        return
    link = extended.get("linkpath") or _text(header[157:257])
    if kind in (_HARD_LINK, _SYMBOLIC_LINK):
        # A symbolic link is relative to its own directory, a hard link to the archive.
        base = name.rpartition("/")[0] + "/" if kind == _SYMBOLIC_LINK and "/" in name else ""
        target = normalise(link if link.startswith("/") else base + link)
        if target is not None:
            yield name, Member(0, 0, target)
    elif kind in _FILES:
        yield name, Member(content, size)


def _extend(extended: dict[str, str], kind: bytes, file: BinaryIO, offset: int, size: int, what: str) -> None:
    """Note what an extended header says of the next member."""
    if size > MAX_EXTENDED:
        raise ArchiveError(f"{what}: an extended header has {size} bytes; allowed are {MAX_EXTENDED}")
    content = _read(file, offset, size)
    if kind == _GNU_NAME:
        extended["path"] = _text(content)
    elif kind == _GNU_LINK:
        extended["linkpath"] = _text(content)
    elif kind == _PAX:
        extended.update(_records(content, what))


def _records(content: bytes, what: str) -> Iterator[tuple[str, str]]:
    """Give the records of a pax header, each "LENGTH KEY=VALUE" and a line feed."""
    while content:
        digits, space, _ = content[:8].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = content[len(digits) + 1 : length - 1].partition(b"=")
        if not space or not equals or not len(digits) + 1 < length <= len(content):
            raise ArchiveError(f"{what}: an extended header is damaged")
        yield key.decode("utf-8", "replace"), value.decode("utf-8", "surrogateescape")
        content = content[length:]


def _size(header: bytes, extended: Mapping[str, str], what: str) -> int:
    if "size" in extended:
        text = extended["size"]
        size = int(text) if text.isdecimal() and text.isascii() and len(text) < 20 else -1
    else:
        size = _number(header[124:136])
    if size < 0:
        raise ArchiveError(f"{what}: a member's size is damaged")
    # Links may carry their target's size, and have no content.
    return 0 if header[156:157] in (_HARD_LINK, _SYMBOLIC_LINK) else size


def _number(field: bytes) -> int:
    """Give a number in octal digits, or in base 256 where the first bit is set; -1 where it is neither."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not digits:
        return 0
    return int(digits, 8) if all(digit in b"01234567" for digit in digits) else -1


def _checksum_fits(header: bytes) -> bool:
    """Whether the header's checksum is that of its bytes, its own field taken as spaces."""
    return _number(header[148:156]) == sum(header[:148]) + 8 * 32 + sum(header[156:])


def _name(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
