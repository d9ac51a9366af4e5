"""Consoles: what the engine says of them, on real WebSockets, and what is known of their output."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from tflocation.engines.lxd.client import Client
from tflocation.engines.lxd.console import Flow, LxdConsole

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


@given(st.lists(st.tuples(st.integers(1, 4096), st.floats(0, 3)), min_size=1, max_size=60))
def test_a_flood_is_one_for_seconds(pieces: list[tuple[int, float]]) -> None:
    """More may be under way for a second after any output, and for ten after 16 KiB within one."""
    flow, now = Flow(), 0.0
    came: list[tuple[float, int]] = []
    for size, pause in pieces:
        now += pause
        flow.add(size, now)
        came.append((now, size))
    flooding = any(sum(size for at, size in came if start <= at <= start + 1) >= 1 << 14 for start, _ in came)

    assert flow.under_way(now + 0.5)
    assert not flow.under_way(now + 10.5)
    assert flow.floods(now) <= flooding
    assert flow.under_way(now + 1.5) == flow.floods(now + 1.5)


def test_a_flood_is_noticed() -> None:
    """Pieces as a terminal gives them count together, and a trickle is none."""
    flood, trickle = Flow(), Flow()
    for number in range(100):
        flood.add(1024, number / 100)
        trickle.add(100, number / 100)

    assert flood.floods(9.0)
    assert not flood.floods(12.0)
    assert not trickle.floods(1.0)
