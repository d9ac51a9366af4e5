"""Files and whole directories of any size between here and a container, in bounded memory."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from tfd.protocol.errors import Code
from tfd.protocol.pipe import Kind
from tfnz.cli.manage.selecting import Record, title
from tfnz.connection import Connection, RemoteError
from tfnz.exchange import Exchange
from tfnz.pipes import content

if TYPE_CHECKING:
    from tfd.protocol.pipe import Piece

BLOCK: Final = 64 * 1024
DEEPEST: Final = 64
"""Directories within one another; a link in a container that leads upwards has no end."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the location says of a path: "file" or "directory", its permission bits, a directory's names."""

    kind: str
    mode: int
    entries: tuple[str, ...]


class Files:
    """The files of one container."""

    def __init__(self, connection: Connection, container: Record) -> None:
        self._connection = connection
        self._id = str(container["id"])
        self._title = title(container)

    def put(self, source: str, destination: str) -> None:
        """Copy a file or directory of this machine to `destination`, into it where it is a directory.

        Raises OSError, ValueError: what cannot be read or written.
        """
        path = Path(source).expanduser()
        if destination.endswith("/") or self._is_directory(destination):
            destination = f"{destination.rstrip('/')}/{path.resolve().name}"
        for here, there in _tree(path, destination):
            with here.open("rb") as file:
                self.write(there, file, stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o777)

    def write(self, destination: str, file: BinaryIO, mode: int | None) -> None:
        """Write one file from a stream; it is there whole or not at all. Raises ValueError."""
        parameters: dict[str, Any] = {"id": self._id, "path": destination}
        if mode is not None:
            parameters["mode"] = mode
        with self._exchange("file.put", parameters, destination) as exchange:
            while data := file.read(BLOCK):
                if not exchange.write(data):
                    break
            exchange.send(Kind.END)
            for _ in exchange.pieces():
                pass

    def fetch(self, source: str, destination: str) -> None:
        """Copy a file or directory of the container to a path here, into it where it is a directory.

        Raises OSError, ValueError: what cannot be read or written.
        """
        path = Path(destination).expanduser()
        if path.is_dir() or destination.endswith("/"):
            if not path.is_dir():
                raise NotADirectoryError(f"{destination}: there is no such directory")
            path /= source.rstrip("/").rpartition("/")[2] or self._title.replace("/", "-")
        self._fetch(source.rstrip("/") or "/", path, 0)

    def stream(self, source: str, file: BinaryIO) -> None:
        """Copy a file of the container to a stream. Raises ValueError for a directory."""
        with self._exchange("file.fetch", {"id": self._id, "path": source}, source) as exchange:
            pieces = exchange.pieces()
            if _told(pieces).kind != "file":
                raise ValueError(f"{self._title}:{source} is a directory, and - takes one file")
            for piece in pieces:
                if piece.kind is Kind.DATA:
                    file.write(piece.payload)
            file.flush()

    def _fetch(self, source: str, path: Path, depth: int) -> None:
        if depth > DEEPEST:
            raise ValueError(
                f"{self._title}:{source}: more than {DEEPEST} directories deep; does a link go round?"
            )
        with self._exchange("file.fetch", {"id": self._id, "path": source}, source) as exchange:
            pieces = exchange.pieces()
            told = _told(pieces)
            if told.kind == "file":
                _save(pieces, path, told.mode)
        if told.kind == "file":
            return
        path.mkdir(exist_ok=True)
        for name in told.entries:
            if name in ("", ".", "..") or "/" in name or "\0" in name:
                raise ValueError(f"{self._title}:{source} has an entry {name!r}, which is no file's name")
            self._fetch(f"{source.rstrip('/')}/{name}", path / name, depth + 1)

    def _is_directory(self, path: str) -> bool:
        try:
            with self._exchange("file.fetch", {"id": self._id, "path": path}, path) as exchange:
                return _told(exchange.pieces()).kind == "directory"
        except RemoteError as error:
            if error.code == Code.NOT_FOUND:
                return False
            raise

    def _exchange(self, command: str, parameters: dict[str, Any], path: str) -> Exchange:
        return Exchange(self._connection, command, parameters, f"file {path} of container {self._title}")


def _told(pieces: "Iterator[Piece]") -> Told:
    """Take the INFO that comes first; ValueError where it does not."""
    for piece in pieces:
        if piece.kind is Kind.INFO:
            said = content(piece)
            names = tuple(str(name) for name in said.get("entries") or ())
            return Told(str(said.get("kind")), int(said.get("mode", 0o644)), names)
        break
    raise ValueError("the location said nothing about the file; is it of another version?")


def _save(pieces: "Iterator[Piece]", path: Path, mode: int) -> None:
    """Write what comes to a new file and give it its name at the end; nothing half written stays."""
    temporary = path.with_name(f".{path.name[:200]}.{os.urandom(6).hex()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for piece in pieces:
                if piece.kind is Kind.DATA:
                    file.write(piece.payload)
            os.fchmod(file.fileno(), mode & 0o777)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _tree(path: Path, destination: str) -> Iterator[tuple[Path, str]]:
    """Give the regular files of a tree and where each goes; links within it that lead nowhere are errors."""
    if not path.is_dir():
        yield path, destination
        return
    for directory, folders, files in os.walk(path):
        folders.sort()
        inner = Path(directory).relative_to(path).as_posix()
        for name in sorted(files):
            yield Path(directory, name), f"{destination}/{inner}/{name}".replace("/./", "/")
