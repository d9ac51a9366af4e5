"""Files and directories between here and a container, in bounded memory for content of any size."""

import os
import posixpath
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from tfd.protocol.pipe import Kind
from tfnz.exchange import Exchange
from tfnz.pipes import content

if TYPE_CHECKING:
    from tfnz.connection import Connection

BLOCK: Final = 256 * 1024
"""Bytes read at once from a file here."""

DEEPEST: Final = 64
"""Directories inside one another: deeper ones mean a link that leads back."""

Content = bytes | bytearray | memoryview | str | BinaryIO
"""What a file in a container may be made of: bytes, text as UTF-8, or an open file that gives bytes."""


def put(connection: "Connection", container: str, path: str, data: Content, mode: int | None = None) -> None:
    """Write a file, whole or not at all.

    Raises ValueError where it cannot be written, TimeoutError, and what reading `data` raises.
    """
    params: dict[str, Any] = {"id": container, "path": path}
    if mode is not None:
        params["mode"] = mode
    if isinstance(data, str):
        data = data.encode()
    size = _size(data)
    if size is not None:
        params["size"] = size
    with Exchange(connection, "file.put", params, f"writing {path} in container {container}") as exchange:
        for block in _blocks(data):
            if not exchange.write(block):
                break
        exchange.send(Kind.END)
        for _ in exchange.pieces():
            pass


def fetch(connection: "Connection", container: str, path: str, into: BinaryIO | None = None) -> bytes:
    """Read a file: give its bytes, or nothing where they are written to `into`.

    Raises ValueError where it cannot be read or is a directory, TimeoutError, and what writing raises.
    """
    kept: list[bytes] = []
    with _fetching(connection, container, path) as exchange:
        for piece in exchange.pieces():
            if piece.kind is Kind.INFO and content(piece).get("kind") == "directory":
                raise ValueError(f"{path} is a directory; fetch_directory fetches those")
            if piece.kind is Kind.DATA:
                if into is None:
                    kept.append(piece.payload)
                else:
                    into.write(piece.payload)
    return b"".join(kept)


def put_directory(connection: "Connection", container: str, source: Path, path: str) -> None:
    """Write a directory's files to a directory of the container, with their modes.

    What is in the container already and not here stays. Links to files within the directory are followed.

    Raises:
        ValueError: before anything is written, where there is something that is neither directory nor file,
            or a link to elsewhere or to a directory; or where a file cannot be written.
        OSError, TimeoutError.

    """
    for file, name in _files_in(source):
        with file.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & 0o777
            put(connection, container, posixpath.join(path, name), opened, mode)


def fetch_directory(connection: "Connection", container: str, path: str, into: Path) -> None:
    """Read a directory with all that is in it.

    Links in the container are followed as far as it has them; what comes here are directories and files.

    Args:
        connection: the session's.
        container: the location's id.
        path: absolute.
        into: a directory that does not exist yet or is empty, so that no link of it leads elsewhere.

    Raises:
        ValueError: there is no such directory, or a name in it is none for a file here.
        OSError, TimeoutError.

    """
    into.mkdir(parents=True, exist_ok=True)
    if any(into.iterdir()):
        raise ValueError(f"{into} is not empty: choose a directory that does not exist yet")
    if not _fetch_tree(connection, container, path, into, DEEPEST):
        raise ValueError(f"{path} is a file; fetch fetches those")


def _fetch_tree(connection: "Connection", container: str, path: str, into: Path, depth: int) -> bool:
    """Read what `path` is to `into`; tell whether it is a directory."""
    if not depth:
        raise ValueError(f"{path} is more than {DEEPEST} directories deep: does a link lead back?")
    with _fetching(connection, container, path) as exchange:
        pieces = exchange.pieces()
        about = next((content(piece) for piece in pieces if piece.kind is Kind.INFO), {})
        if about.get("kind") == "directory":
            for _ in pieces:
                pass
        else:
            _fetch_file(pieces, about, into)
            return False
    into.mkdir(exist_ok=True)
    for entry in about.get("entries") or ():
        name = str(entry)
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise ValueError(f"{path} has an entry {name!r}, which is no name for a file")
        _fetch_tree(connection, container, posixpath.join(path, name), into / name, depth - 1)
    return True


def _fetch_file(pieces: Iterator[Any], about: dict[str, Any], into: Path) -> None:
    mode = int(about.get("mode") or 0o644) & 0o777
    if into.is_dir():
        # The top of the tree is there already: it was to be a directory.
        raise ValueError("it is a file; fetch fetches those")
    descriptor = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as opened:
        for piece in pieces:
            if piece.kind is Kind.DATA:
                opened.write(piece.payload)


def _fetching(connection: "Connection", container: str, path: str) -> Exchange:
    params = {"id": container, "path": path}
    return Exchange(connection, "file.fetch", params, f"reading {path} of container {container}")


def _files_in(source: Path) -> list[tuple[Path, str]]:
    """Give the files of a directory and their names under it, once all of it is found to be fit."""
    root = source.resolve(strict=True)
    if not root.is_dir():
        raise ValueError(f"{source} is not a directory")
    found = []
    for directory, directories, files in os.walk(root):
        here = Path(directory)
        for name in sorted(directories):
            if (here / name).is_symlink():
                raise ValueError(f"{here / name} is a link to a directory; copy what it leads to")
        for name in sorted(files):
            path = here / name
            target = path.resolve()
            if not target.is_relative_to(root):
                raise ValueError(f"{path} is a link that leads out of {source}")
            if not target.is_file():
                raise ValueError(f"{path} is neither a file nor a directory")
            found.append((path, str(path.relative_to(root))))
    return found


def _size(data: Content) -> int | None:
    """Give the bytes that will come, None where that is not known."""
    if isinstance(data, bytes | bytearray | memoryview):
        return memoryview(data).nbytes
    try:
        status = os.fstat(cast(BinaryIO, data).fileno())
        if stat.S_ISREG(status.st_mode):
            return max(0, status.st_size - cast(BinaryIO, data).tell())
    except (AttributeError, OSError, ValueError):
        pass
    return None


def _blocks(data: Content) -> Iterator[bytes]:
    if isinstance(data, bytes | bytearray | memoryview):
        view = memoryview(data).cast("B")
        for start in range(0, len(view), BLOCK):
            yield bytes(view[start : start + BLOCK])
        return
    read = getattr(data, "read", None)
    if read is None:
        raise ValueError(f"the content of a file is bytes, text or an open file, not {type(data).__name__}")
    while block := read(BLOCK):
        if not isinstance(block, bytes):
            raise ValueError("the file gives text; open it with 'rb'")
        yield block
