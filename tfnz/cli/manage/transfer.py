"""What `tf cp` means by a path: into a directory or in its place, as cp(1) does it."""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from tfd.protocol.errors import Code
from tfd.protocol.pipe import Kind
from tfnz import files
from tfnz.connection import Connection, RemoteError
from tfnz.exchange import Exchange
from tfnz.pipes import content

if TYPE_CHECKING:
    from tfnz.cli.manage.selecting import Record


class Files:
    """The files of one container. Everything raises ValueError, OSError or TimeoutError with the reason."""

    def __init__(self, connection: Connection, container: "Record") -> None:
        self._connection = connection
        self._id = str(container["id"])

    def put(self, source: str, destination: str) -> None:
        """Copy a file or directory of this machine to `destination`, into it where it is a directory."""
        path = Path(source).expanduser()
        if destination.endswith("/") or self._kind(destination) == "directory":
            destination = f"{destination.rstrip('/')}/{path.resolve().name}"
        if path.is_dir():
            files.put_directory(self._connection, self._id, path, destination)
            return
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o777
            files.put(self._connection, self._id, destination, file, mode)

    def put_stream(self, file: BinaryIO, destination: str) -> None:
        """Write a stream to a file."""
        files.put(self._connection, self._id, destination, file)

    def fetch(self, source: str, destination: str) -> None:
        """Copy a file or directory of the container to a path here, into it where it is a directory."""
        path = Path(destination).expanduser()
        source = source.rstrip("/") or "/"
        if destination.endswith("/") and not path.is_dir():
            raise NotADirectoryError(f"{destination}: there is no such directory")
        if path.is_dir():
            path /= source.rpartition("/")[2] or "root"
        if self._kind(source) == "directory":
            files.fetch_directory(self._connection, self._id, source, path)
        else:
            self._fetch_file(source, path)

    def fetch_stream(self, source: str, file: BinaryIO) -> None:
        """Write a file of the container to a stream."""
        if self._kind(source) == "directory":
            raise ValueError(f"{source} is a directory, and - takes one file")
        files.fetch(self._connection, self._id, source, file)
        file.flush()

    def _fetch_file(self, source: str, path: Path) -> None:
        """Write to a new file that gets its name at the end: nothing half written stays."""
        temporary = path.with_name(f".{path.name[:200]}.{os.urandom(6).hex()}")
        try:
            with temporary.open("xb") as file:
                files.fetch(self._connection, self._id, source, cast("BinaryIO", file))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _kind(self, path: str) -> str:
        """Tell whether a path of the container is a "file" or a "directory"; empty where there is none."""
        parameters = {"id": self._id, "path": path}
        try:
            with Exchange(self._connection, "file.fetch", parameters, f"looking at {path}") as exchange:
                told = next((content(one) for one in exchange.pieces() if one.kind is Kind.INFO), {})
        except RemoteError as error:
            if error.code == Code.NOT_FOUND:
                return ""
            raise
        return str(told.get("kind", ""))
