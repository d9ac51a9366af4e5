"""Blobs on disk by their digests, and uploads that go on where they were cut.

A blob's file appears only once its content has been verified. An upload grows a partial file that survives
the session and the service; the next upload of the same blob goes on after its last byte. Two uploads of
one blob at once each have a partial file of their own, held by a lock (flock(2)); whichever ends last does
no harm.

Layers stay here after their image was published, so that the next image built on them sends only what is new.
The engine could be asked for the digests of a published image's layers instead, but it holds their files
merged and could not give one layer back. When the budget is used up, the blobs unused longest go first: a
published image does not need its blobs any more, so that costs at most a second upload.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import time
from asyncio import to_thread
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from tfd.protocol.errors import Code, CommandError
from tfd.protocol.oci import is_digest

log = logging.getLogger(__name__)

PARTIAL_LIFETIME = 86400.0
"""Seconds for which a partial file waits for its upload to go on."""
PIN_LIFETIME = 3600.0
"""Seconds for which the blobs of an offered image are kept for its commit."""
MAX_UPLOADS = 16
"""Of one owner at once; each holds a file open."""
FREE_SPACE = 256 << 20
"""Bytes left free on the file system, for everything else on the machine."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int
    used: float


class BlobWriter:
    """One upload. `offset` is the number of bytes that are there already, where the sender goes on."""

    def __init__(self, digest: str, size: int, file: FileIO | None, path: Path, target: Path) -> None:
        self.digest = digest
        self.size = size
        self.offset = size if file is None else 0
        self.path = path
        self._file = file
        self._target = target
        self._hash = hashlib.sha256()
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether no more can be written."""
        return self._ended

    @property
    def reserved(self) -> int:
        """Bytes of the disk's budget that this upload may still take."""
        return 0 if self._file is None else self.size

    def read_partial(self) -> None:
        """Take what an earlier upload left into the hash; a file longer than the blob starts anew."""
        if self._file is None:
            return
        while chunk := self._file.read(_CHUNK):
            self._hash.update(chunk)
            self.offset += len(chunk)
        if self.offset > self.size:
            self._file.truncate(0)
            self._file.seek(0)
            self._hash = hashlib.sha256()
            self.offset = 0

    def write(self, data: bytes) -> None:
        """Append to the blob.

        Raises CommandError: busy (another upload of the same client took over), digest (more than the
        announced bytes; the partial file is removed), limit (the disk is full).
        """
        if self._ended:
            raise CommandError(Code.BUSY, f"blob {self.digest}: a newer upload of it has taken over")
        if self.offset + len(data) > self.size:
            self._remove()
            raise CommandError(
                Code.DIGEST, f"blob {self.digest}: more than the announced {self.size} bytes came"
            )
        if self._file is None or not data:
            return
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self.close()
            raise CommandError(Code.LIMIT, f"the location's disk cannot take it: {error.strerror}") from error
        self._hash.update(data)
        self.offset += len(data)

    async def finish(self) -> None:
        """Verify the content and give the blob its name.

        Raises CommandError: busy (taken over), malformed (bytes are missing; the partial file stays), digest
        (the content is another; the partial file is removed).
        """
        if self._ended:
            raise CommandError(Code.BUSY, f"blob {self.digest}: a newer upload of it has taken over")
        if self._file is None:
            self.close()
            return
        if self.offset < self.size:
            self.close()
            message = f"blob {self.digest}: the stream ended after {self.offset} of {self.size} bytes"
            raise CommandError(Code.MALFORMED, message)
        found = f"sha256:{self._hash.hexdigest()}"
        if found != self.digest:
            self._remove()
            raise CommandError(Code.DIGEST, f"blob {self.digest}: the content that came has digest {found}")
        self._ended = True
        with self._file:
            await to_thread(os.fsync, self._file.fileno())
            self.path.replace(self._target)

    def close(self) -> None:
        """End the upload; its partial file stays for the next one. Harmless after `finish`."""
        self._ended = True
        if self._file is not None:
            self._file.close()

    def _remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()


class BlobStore:
    """The blobs under `directory`, which may take `budget` bytes together with the partial files."""

    def __init__(self, directory: Path, budget: int) -> None:
        self._blobs = directory / "blobs"
        self._partial = directory / "partial"
        self._budget = budget
        self._writers: dict[tuple[str, str], BlobWriter] = {}
        self._pins: dict[str, float] = {}

    def open(self) -> None:
        """Make the directories. Raises OSError."""
        for path in (self._blobs, self._partial):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def close(self) -> None:
        """End all uploads; their partial files stay."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def has(self, digest: str) -> bool:
        """Whether the whole blob is here."""
        return self.path(digest).is_file()

    def path(self, digest: str) -> Path:
        """Give the blob's file, whether it exists or not. Raises CommandError bad-parameter."""
        if not is_digest(digest):
            raise CommandError(Code.BAD_PARAMETER, f"{digest[:80]!r} is not a digest (sha256:…)")
        return self._blobs / digest.removeprefix("sha256:")

    def pin(self, digests: Iterable[str]) -> None:
        """Keep these for an hour, because an image made of them is about to be committed."""
        now = time.monotonic()
        self._pins = {digest: until for digest, until in self._pins.items() if until > now}
        for digest in digests:
            self._pins[digest] = now + PIN_LIFETIME
            with contextlib.suppress(FileNotFoundError):
                os.utime(self.path(digest))

    def unpin(self, digests: Iterable[str]) -> None:
        """Let these go when room is needed."""
        for digest in digests:
            self._pins.pop(digest, None)

    async def writer(self, digest: str, size: int, owner: str = "") -> BlobWriter:
        """Begin or go on with an upload; one of the same owner that still runs is ended.

        Raises CommandError: bad-parameter, limit (no room for `size` bytes).
        """
        target = self.path(digest)
        former = self._writers.pop((owner, digest), None)
        if former is not None:
            former.close()
        self._writers = {key: one for key, one in self._writers.items() if not one.ended}
        if target.is_file():
            return BlobWriter(digest, size, None, target, target)
        self.sweep()
        if sum(1 for key in self._writers if key[0] == owner) >= MAX_UPLOADS:
            raise CommandError(
                Code.BUSY, f"blob {digest}: {MAX_UPLOADS} uploads of yours are running already"
            )
        self.make_room(size, f"blob {digest} of {size} bytes")
        writer = self._open_partial(digest, size, target)
        self._writers[owner, digest] = writer
        try:
            await to_thread(writer.read_partial)
        except BaseException:
            writer.close()
            raise
        return writer

    def adopt(self, path: Path, digest: str) -> None:
        """Take a verified file over, from the same file system. Raises CommandError limit, OSError."""
        if not self.has(digest):
            self.make_room(path.stat().st_size, f"blob {digest}")
            path.replace(self.path(digest))

    def make_room(self, size: int, what: str) -> None:
        """Remove what is unused longest until `size` bytes fit in. Raises CommandError limit."""
        if size > self._budget:
            raise CommandError(
                Code.LIMIT, f"{what}: the location keeps at most {self._budget} bytes of blobs"
            )
        over = self._used() + size - self._budget
        free = os.statvfs(self._blobs)
        over = max(over, size + FREE_SPACE - free.f_bavail * free.f_frsize)
        for file in self._removable():
            if over <= 0:
                return
            log.info(
                "blob removed to make room", extra={"fields": {"blob": file.path.name, "bytes": file.size}}
            )
            file.path.unlink(missing_ok=True)
            over -= file.size
        if over > 0:
            raise CommandError(
                Code.LIMIT, f"{what}: the location's disk lacks {over} bytes for it; try later"
            )

    def sweep(self) -> None:
        """Remove partial files that nobody went on with for a day."""
        oldest = time.time() - PARTIAL_LIFETIME
        for file in self._idle_partials():
            if file.used < oldest:
                file.path.unlink(missing_ok=True)

    def _open_partial(self, digest: str, size: int, target: Path) -> BlobWriter:
        """Give the longest partial file of the blob that no upload holds, or a new one."""
        name = digest.removeprefix("sha256:")
        found = sorted(_files(self._partial, f"{name}."), key=lambda file: -file.size)
        new = self._partial / f"{name}.{secrets.token_hex(4)}"
        for path in (*(file.path for file in found), new):
            file = path.open("a+b", buffering=0)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            # Another process may have finished and renamed it between the listing and the lock.
            if not path.exists():
                file.close()
                continue
            file.seek(0)
            return BlobWriter(digest, size, file, path, target)
        raise CommandError(Code.BUSY, f"blob {digest}: is being uploaded; try again")

    def _used(self) -> int:
        held = {writer.path: writer.reserved for writer in self._active()}
        partial = sum(max(file.size, held.get(file.path, 0)) for file in _files(self._partial))
        return partial + sum(file.size for file in _files(self._blobs))

    def _active(self) -> list[BlobWriter]:
        return [writer for writer in self._writers.values() if not writer.ended]

    def _idle_partials(self) -> list[_File]:
        held = {writer.path for writer in self._active()}
        return [file for file in _files(self._partial) if file.path not in held]

    def _removable(self) -> list[_File]:
        """Idle partial files and then blobs that no offered image needs, those unused longest first."""
        now = time.monotonic()
        pinned = {digest.removeprefix("sha256:") for digest, until in self._pins.items() if until > now}
        blobs = [file for file in _files(self._blobs) if file.path.name not in pinned]
        return sorted(self._idle_partials(), key=_age) + sorted(blobs, key=_age)


def _age(file: _File) -> float:
    return file.used


def _files(directory: Path, prefix: str = "") -> Iterator[_File]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat()
                    yield _File(Path(entry.path), status.st_size, status.st_mtime)
