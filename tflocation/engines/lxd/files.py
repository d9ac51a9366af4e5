"""Files of a container, running or stopped, through the engine's file API, which cannot be led out of it."""

import io
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tflocation.engines.interface import EngineError, NotFound
from tflocation.engines.lxd.client import Client

UPLOAD_LIMIT = 600.0  # seconds
_CHUNK = 1 << 18


class Files:
    """Reads and writes the files of containers."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def fetch(self, container_id: str, path: str, limit: int) -> bytes:
        """See `Engine.fetch_file`."""
        return await self._client.download(
            _api(container_id), what=f"{path} of {container_id}", query={"path": path}, limit=limit
        )

    async def put(self, container_id: str, path: str, content: bytes | Path, mode: int = 0o644) -> None:
        """Write a file with its directories. Raises NotFound where the container does not exist."""
        if not path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise EngineError(f"{path} is not an absolute path in a container")
        try:
            await self._write(container_id, path, content, mode)
        except NotFound:
            await self._make_directories(container_id, PurePosixPath(path).parent)
            await self._write(container_id, path, content, mode)

    async def put_new(self, container_id: str, path: str, content: Path, mode: int) -> None:
        """Write a file likewise, in place of the one or the link that is there.

        The engine leaves owner and mode of a file that exists as they are.
        """
        with suppress(NotFound):
            await self._client.request(
                "DELETE", _api(container_id), what=f"{path} of {container_id}", query={"path": path}
            )
        await self.put(container_id, path, content, mode)

    async def _write(self, container_id: str, path: str, content: bytes | Path, mode: int) -> None:
        with _opened(content) as file:
            await self._client.upload(
                _api(container_id),
                _chunks(file),
                what=f"{path} of {container_id}",
                query={"path": path},
                headers={"type": "file", "uid": "0", "gid": "0", "mode": f"0{mode:o}", "write": "overwrite"},
                limit=UPLOAD_LIMIT,
            )

    async def _make_directories(self, container_id: str, directory: PurePosixPath) -> None:
        for path in (*reversed(directory.parents), directory):
            if str(path) == "/":
                continue
            await self._client.upload(
                _api(container_id),
                b"",
                what=f"{path} of {container_id}",
                query={"path": str(path)},
                headers={"type": "directory", "uid": "0", "gid": "0", "mode": "0755"},
            )


def _api(container_id: str) -> str:
    return f"/1.0/instances/{container_id}/files"


def _opened(content: bytes | Path) -> BinaryIO:
    if isinstance(content, bytes):
        return io.BytesIO(content)
    try:
        return content.open("rb")
    except OSError as error:
        raise EngineError(f"{content}: {error.strerror}") from error


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
