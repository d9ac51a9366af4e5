"""Blobs on their way to the location: sent by the connection's loop, waited for by the caller's thread."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from tfd.protocol.drivers.link import Failure
from tfd.protocol.drivers.upload import Upload
from tfd.protocol.messages import MAX_CHUNK

if TYPE_CHECKING:
    from tfd.protocol.layouts import Blob
    from tfnz.connection import Connection

Progress = Callable[[int, int], None]
"""Told the bytes done and the bytes in all, from the thread that asked for the upload."""

STEP: Final = 0.1
"""Seconds between two reports of progress."""

STALL_LIMIT: Final = 600.0
"""Seconds without a byte more after which waiting ends; `Upload` gives up earlier while its loop runs."""

log = logging.getLogger(__name__)


def deliver(connection: "Connection", blobs: Sequence["Blob"], progress: Progress | None = None) -> None:
    """Send blobs one after another; each goes on where it was cut.

    Raises RemoteError where the location refuses one, TimeoutError where nothing moves any more. Interrupted,
    it leaves nothing running.
    """
    delivery = _Delivery(connection, blobs)
    connection.on_loop(delivery.begin)
    try:
        failure = delivery.wait(progress)
    except BaseException:
        connection.loop.call_from_thread(delivery.cancel)
        raise
    if failure is not None:
        from tfnz.connection import RemoteError

        raise RemoteError(failure.code, failure.message)


class _Delivery:
    """The blobs of one image. All methods but `wait` belong to the loop's thread."""

    def __init__(self, connection: "Connection", blobs: Sequence["Blob"]) -> None:
        self._connection = connection
        self._left = deque(blobs)
        self._total = sum(blob.size for blob in blobs)
        self._sent = 0
        self._upload: Upload | None = None
        self._source: _Counted | None = None
        self._failure: Failure | None = None
        self._over = threading.Event()

    def begin(self) -> None:
        self._next(None)

    def cancel(self) -> None:
        self._left.clear()
        if self._upload is not None:
            self._upload.cancel()

    def wait(self, progress: Progress | None) -> Failure | None:
        """Wait for the end. Raises TimeoutError, Disconnected, and whatever `progress` does."""
        furthest, since = -1, time.monotonic()
        while not self._over.wait(STEP):
            if self._connection.ended is not None:
                raise self._connection.ended
            done = self._done()
            if done != furthest:
                furthest, since = done, time.monotonic()
            elif time.monotonic() - since > STALL_LIMIT:
                raise TimeoutError(f"the upload did not move for {STALL_LIMIT:g} s")
            if progress is not None:
                progress(done, self._total)
        if progress is not None and self._failure is None:
            progress(self._total, self._total)
        return self._failure

    def _done(self) -> int:
        source = self._source
        return self._sent + (source.position if source is not None else 0)

    def _next(self, failure: Failure | None) -> None:
        if self._source is not None:
            self._sent += self._source.size
            self._source = None
        if failure is not None or not self._left:
            self._failure = failure
            self._over.set()
            return
        blob = self._left.popleft()
        log.info("Uploading: %s", blob.digest.removeprefix("sha256:")[:16])
        log.info("Uploading slabs: %d", -(-blob.size // MAX_CHUNK))
        source = self._source = _Counted(blob)
        self._upload = Upload(
            self._connection.loop, self._connection.link, blob.digest, blob.size, source.open, self._next
        )


class _Counted:
    """A blob, and how far its reader has come."""

    def __init__(self, blob: "Blob") -> None:
        self.size = blob.size
        self.position = 0
        self._blob = blob
        self._file: BinaryIO | None = None

    def open(self) -> BinaryIO:
        """Open the blob anew. Raises ArchiveError, OSError."""
        self._file = self._blob.open()
        return cast("BinaryIO", self)

    def seek(self, offset: int) -> int:
        assert self._file is not None
        self.position = self._file.seek(offset)
        return self.position

    def read(self, size: int) -> bytes:
        assert self._file is not None
        data = self._file.read(size)
        self.position += len(data)
        return data

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
