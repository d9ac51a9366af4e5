"""A container's files."""

import os
from typing import TYPE_CHECKING, BinaryIO

from tfnz import arguments
from tfnz.facets.base import Usable

if TYPE_CHECKING:
    from tfnz.files import Content


class Files(Usable):
    """A container whose files are written and read."""

    def put(self, filename: str, data: "Content | os.PathLike[str]", mode: int | None = None) -> None:
        """Write a file of the container's, whole or not at all; missing directories are made.

        Args:
            filename: absolute, in a mounted volume too.
            data: bytes, text, an open file of any size, or the path of a file or directory here.
            mode: permission bits, otherwise 0644.

        Raises ValueError where it cannot be written, or leads outside of the container.

        """
        from tfnz import files

        path = _inside(filename)
        if isinstance(data, os.PathLike):
            from pathlib import Path

            source = Path(data)
            if source.is_dir():
                files.put_directory(self.conn(), self.container_id(), source, path)
                return
            with source.open("rb") as opened:
                files.put(self.conn(), self.container_id(), path, opened, mode)
        else:
            files.put(self.conn(), self.container_id(), path, data, mode)

    def fetch(self, filename: str, into: BinaryIO | None = None) -> bytes:
        """Give a file of the container's, or write it to the open file `into` and give nothing.

        Raises ValueError where there is no such file, or it leads outside of the container.
        """
        from tfnz import files

        return files.fetch(self.conn(), self.container_id(), _inside(filename), into)

    def put_directory(self, directory: str, source: "str | os.PathLike[str]") -> None:
        """Write all files of a directory here to one of the container's, with their modes.

        Raises ValueError, before anything is written, where a link leads out of `source` or to a directory,
        or something is neither file nor directory.
        """
        from pathlib import Path

        from tfnz import files

        files.put_directory(self.conn(), self.container_id(), Path(source), _inside(directory))

    def fetch_directory(self, directory: str, into: "str | os.PathLike[str]") -> None:
        """Read a directory of the container's to `into`, which does not exist yet or is empty.

        Raises ValueError where there is no such directory, or a name in it is none for a file here.
        """
        from pathlib import Path

        from tfnz import files

        files.fetch_directory(self.conn(), self.container_id(), _inside(directory), Path(into))


def _inside(filename: object) -> str:
    """Give a path in the container. Raises ValueError for one that leads outside."""
    if isinstance(filename, str | bytes) and filename[:1] not in ("/", b"/"):
        filename = "/" + (filename if isinstance(filename, str) else os.fsdecode(filename))
    return arguments.absolute(filename, "a file of a container")
