"""The terminal of a container's own process, over the engine's console API (doc/rest-api.md, websockets)."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress

import aiohttp

from tflocation.engines.interface import EngineError, EngineUnavailable
from tflocation.engines.lxd.client import Client
from tflocation.engines.lxd.execution import Socket, receive, run
from tflocation.engines.lxd.process import BUSYBOX

ATTACH_LIMIT = 15.0  # seconds for one who was attached before to be let go
_PAUSE = 0.1
_TAKEN = "already"  # "This console is already connected"
_LOG = 1 << 20  # bytes; the engines keep 128 KiB
_PIECE = 1 << 12  # bytes; a terminal takes no more at once


async def attach(client: Client, container_id: str) -> "LxdConsole":
    """Attach to the console of a running container, once whoever was attached has gone."""
    what = f"the console of container {container_id}"
    end = time.monotonic() + ATTACH_LIMIT
    body = {"type": "console", "width": 80, "height": 24} | ({"force": True} if client.is_incus else {})
    while True:
        try:
            path = f"/1.0/instances/{container_id}/console"
            operation, metadata = await client.begin(path, what=what, body=body)
            break
        except EngineUnavailable:
            raise
        except EngineError as error:
            if _TAKEN not in str(error) or time.monotonic() > end:
                raise
            await asyncio.sleep(_PAUSE)
    sockets: dict[str, Socket] = {}
    try:
        for name in ("control", "0"):
            sockets[name] = await client.websocket(operation, metadata["fds"][name], what=what)
    except BaseException:
        for socket in sockets.values():
            await socket.close()
        raise
    return LxdConsole(client, container_id, sockets)


async def read_log(client: Client, container_id: str) -> bytes:
    """Give the last output of the container's own process, which the engine keeps."""
    return await client.download(
        f"/1.0/instances/{container_id}/console",
        what=f"the output of container {container_id}",
        query={},
        limit=_LOG,
    )


class LxdConsole:
    """See `Console`. The engine sets the size of its own end alone, so it is set in the container."""

    def __init__(self, client: Client, container_id: str, sockets: Mapping[str, Socket]) -> None:
        self._client = client
        self._container = container_id
        self._data = sockets["0"]
        self._control = sockets["control"]

    async def read(self) -> bytes | None:
        """See `Console.read`."""
        if data := await receive(self._data):
            return data
        await self.close()
        return None

    async def write(self, data: bytes) -> None:
        """See `Console.write`."""
        with suppress(ConnectionError, aiohttp.ClientError):  # it has stopped, as `read` tells
            for start in range(0, len(data), _PIECE):
                await self._data.send_bytes(data[start : start + _PIECE])

    async def resize(self, columns: int, rows: int) -> None:
        """See `Console.resize`."""
        size = ("rows", str(rows), "cols", str(columns))
        await run(self._client, self._container, BUSYBOX, "stty", "-F", "/dev/console", *size)

    async def close(self) -> None:
        """See `Console.close`."""
        await self._data.close()
        await self._control.close()
