"""The file of `tf --json`: what runs, for scripts to read while it runs."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LIMIT = 1 << 20


class Record:
    """A file that one process owns by a lock (flock(2)); it always holds a whole JSON object.

    Raises RuntimeError where another process owns it or it is something else than such a file, OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        new, descriptor = self._new({"pid": os.getpid()})
        try:
            try:
                path.hardlink_to(new)
                new.unlink()
            except FileExistsError:
                _replace_left_over(path, new)
        except BaseException:
            os.close(descriptor)
            new.unlink(missing_ok=True)
            raise
        self._descriptor = descriptor

    def write(self, document: Mapping[str, Any]) -> None:
        """Replace the content at once. Raises OSError."""
        new, descriptor = self._new(document)
        new.replace(self._path)
        os.close(self._descriptor)
        self._descriptor = descriptor

    def remove(self) -> None:
        """Remove the file, and let go of it."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)

    def _new(self, document: Mapping[str, Any]) -> tuple[Path, int]:
        """Give a new file beside ours, locked before anyone can see it under our name."""
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, json.dumps(document, indent=2).encode() + b"\n")
        except BaseException:
            os.close(descriptor)
            new.unlink(missing_ok=True)
            raise
        return new, descriptor


@contextmanager
def claimed(path: Path | None) -> Iterator[Record | None]:
    """Own the file until the end, then remove it; nothing without a path. Raises as `Record`."""
    if path is None:
        yield None
        return
    record = Record(path)
    try:
        yield record
    finally:
        record.remove()


def _replace_left_over(path: Path, new: Path) -> None:
    """Take the place of a file whose owner was killed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        content = os.read(descriptor, _LIMIT)
        pid = _owner(content)
        if pid is None:
            raise RuntimeError(f"{path}: exists and was not written by this command; name another file")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise BlockingIOError  # another one took its place meanwhile
        new.replace(path)
    except BlockingIOError:
        raise RuntimeError(
            f"{path}: belongs to the command that runs as process {pid}; end that one or name another file"
        ) from None
    finally:
        os.close(descriptor)


def _owner(content: bytes) -> int | None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    pid = document.get("pid") if isinstance(document, dict) else None
    return pid if isinstance(pid, int) else None
