"""Files of any size into and out of running containers, by the engine's own SFTP server.

That server lives in the container's own tree, so no link leads out of it.
"""

import asyncio
import secrets
import stat
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from tflocation.engines.interface import EngineError, NotFound
from tflocation.engines.lxd.client import Client
from tflocation.engines.lxd.sftp import AHEAD, READ_SIZE, WRITE_SIZE, Sftp
from tflocation.engines.processes import FileContent

MOST_ENTRIES = 1 << 16  # of a directory
_MOST_LINKS = 40  # as the kernel has it (path_resolution(7))


async def write(
    client: Client, container_id: str, path: str, chunks: AsyncIterator[bytes], mode: int, size: int | None
) -> None:
    """See `Engine.write_file`."""
    target = _checked(path)
    sftp = await _opened(client, container_id)
    try:
        target = await _behind_links(sftp, target)
        await _make_directories(sftp, target.parent)
        temporary = str(target.parent / f".{target.name[:200]}.{secrets.token_hex(6)}")
        handle = await sftp.new_file(temporary)
        try:
            written = await _write_all(sftp, handle, chunks, temporary)
            if size is not None and written != size:
                raise EngineError(f"{path} of {container_id}: {written} bytes came instead of {size}")
            await sftp.chmod(handle, mode, temporary)
            await sftp.close_file(handle, temporary)
            await sftp.rename(temporary, str(target))
        except BaseException:
            with suppress(EngineError):
                await asyncio.shield(sftp.remove(temporary))
            raise
    finally:
        await sftp.close()


async def read(client: Client, container_id: str, path: str) -> FileContent:
    """See `Engine.read_file`."""
    name = str(_checked(path))
    sftp = await _opened(client, container_id)
    try:
        found = await sftp.stat(name)
        mode = stat.S_IMODE(found.mode)
        if stat.S_ISDIR(found.mode):
            entries = tuple(await sftp.names(name, MOST_ENTRIES))
            await sftp.close()
            return FileContent("directory", 0, mode, entries, _nothing())
        if not stat.S_ISREG(found.mode):
            raise EngineError(f"{path} of {container_id} is neither a file nor a directory")
        chunks = _read_all(sftp, await sftp.open_file(name), name)
        await anext(chunks)  # from here on it closes the stream, whatever becomes of it
        return FileContent("file", found.size, mode, (), chunks)
    except BaseException:
        await sftp.close()
        raise


def _checked(path: str) -> PurePosixPath:
    pure = PurePosixPath(path)
    if not path.startswith("/") or ".." in pure.parts or "\0" in path:
        raise EngineError(f"{path} is not an absolute path in a container")
    return PurePosixPath("/", *pure.parts[1:])


async def connect(client: Client, container_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """See `Engine.sftp`."""
    what = f"the files of container {container_id}"
    return await client.upgrade(f"/1.0/instances/{container_id}/sftp", "sftp", what=what)


async def _opened(client: Client, container_id: str) -> Sftp:
    sftp = Sftp(*await connect(client, container_id), f"container {container_id}")
    try:
        await sftp.open()
    except BaseException:
        await sftp.close()
        raise
    return sftp


async def _behind_links(sftp: Sftp, path: PurePosixPath) -> PurePosixPath:
    """Give the name that the last links lead to, so that what is behind them is replaced and not they."""
    for _ in range(_MOST_LINKS):
        try:
            found = await sftp.stat(str(path), follow=False)
        except NotFound:
            return path
        if stat.S_ISDIR(found.mode):
            raise EngineError(f"{path} is a directory")
        if not stat.S_ISLNK(found.mode):
            return path
        path = path.parent / await sftp.readlink(str(path))
    raise EngineError(f"{path}: too many levels of links")


async def _make_directories(sftp: Sftp, directory: PurePosixPath) -> None:
    missing = []
    for path in (directory, *directory.parents):
        try:
            found = await sftp.stat(str(path))
        except NotFound:
            missing.append(path)
            continue
        if not stat.S_ISDIR(found.mode):
            raise EngineError(f"{path} is no directory")
        break
    for path in reversed(missing):
        await sftp.mkdir(str(path))


async def _write_all(sftp: Sftp, handle: bytes, chunks: AsyncIterator[bytes], path: str) -> int:
    """Write the chunks with some requests on the way at once; give the number of bytes."""
    offset = 0
    pending: deque[asyncio.Task[None]] = deque()
    try:
        async for chunk in chunks:
            for start in range(0, len(chunk), WRITE_SIZE):
                piece = chunk[start : start + WRITE_SIZE]
                if len(pending) == AHEAD:
                    await pending.popleft()
                pending.append(asyncio.create_task(sftp.write(handle, offset, piece, path)))
                offset += len(piece)
        while pending:
            await pending.popleft()
    finally:
        await _dropped(pending)
    return offset


async def _read_all(sftp: Sftp, handle: bytes, path: str) -> AsyncGenerator[bytes, None]:
    """Give nothing first, then the content; a server may give less than asked for at any time."""
    pending: deque[tuple[int, asyncio.Task[bytes]]] = deque()
    asked = given = 0
    try:
        yield b""
        while True:
            while len(pending) < AHEAD:
                pending.append((asked, asyncio.create_task(sftp.read(handle, asked, path))))
                asked += READ_SIZE
            offset, task = pending.popleft()
            data = await task
            if offset != given:
                continue  # asked for before a short answer
            if not data:
                return
            given += len(data)
            yield data
            if len(data) < READ_SIZE:
                asked = given
    finally:
        await _dropped(task for _, task in pending)
        await sftp.close()


async def _dropped(tasks: Iterable[asyncio.Task[Any]]) -> None:
    dropped = list(tasks)
    for task in dropped:
        task.cancel()
    await asyncio.gather(*dropped, return_exceptions=True)


async def _nothing() -> AsyncGenerator[bytes, None]:
    chunks: tuple[bytes, ...] = ()
    for chunk in chunks:
        yield chunk
