"""A console that the engine refuses: a real WebSocket, whose other end says what the engine says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from tflocation.engines.lxd.client import Client
from tflocation.engines.lxd.console import LxdConsole

REFUSAL = b'Error: Failed running forkconsole: "container is not running"\r\n'
LIMIT = 20.0


@asynccontextmanager
async def attached(begin: asyncio.Event, said: bytes) -> AsyncIterator[LxdConsole]:
    """A console whose other end says something once `begin` is set, and then ends."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if request.path == "/0":
            await begin.wait()
            await socket.send_bytes(said)
            await socket.close()
        else:
            await socket.receive()
        return socket

    application = web.Application()
    application.router.add_get("/{name}", serve)
    async with TestServer(application) as server, ClientSession() as session:
        sockets = {name: await session.ws_connect(server.make_url(f"/{name}")) for name in ("control", "0")}
        console = LxdConsole(Client(None, "tfd"), "web", "", sockets)
        try:
            yield console
        finally:
            begin.set()
            await console.close()


async def test_a_late_refusal_is_no_output() -> None:
    """What the engine says of the console is never told as the container's words."""
    begin = asyncio.Event()
    async with asyncio.timeout(LIMIT), attached(begin, REFUSAL) as console:
        await console.settle()
        begin.set()

        assert await console.read() is None


async def test_late_output_is_output() -> None:
    """A container may take its time, and say what it likes."""
    begin = asyncio.Event()
    async with asyncio.timeout(LIMIT), attached(begin, b"Error: none\r\n") as console:
        await console.settle()
        begin.set()

        assert await console.read() == b"Error: none\r\n"
        assert await console.read() is None
