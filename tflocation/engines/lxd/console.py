"""The terminal of a container's own process, over the engine's console API (doc/rest-api.md, websockets)."""

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress

import aiohttp

from tflocation.engines.interface import EngineError, EngineUnavailable, InUse, NotFound
from tflocation.engines.lxd.client import Client
from tflocation.engines.lxd.execution import Socket, receive, run
from tflocation.engines.lxd.process import BUSYBOX

ATTACH_LIMIT = 15.0  # seconds for one who was attached before to be let go
_PAUSE = 0.05
_ERASE = b"\x15"  # the character that erases the line typed so far (termios(3), VKILL)
_ERASED = b"\b \b"  # how the terminal shows that, for each character
_ADDED = b"\r\r"
_SETTLED = 0.2  # seconds
_REFUSED = b"Error: Failed running forkconsole"
_TAKEN = "already"  # "This console is already connected"
_LOG = 1 << 20  # bytes; the engines keep 128 KiB
_PIECE = 1 << 12  # bytes; a terminal takes no more at once
_BUSY = 1.0  # seconds since the last output in which more may be under way
_FLOOD = 1 << 14  # bytes in a second, with which a terminal that nobody reads is full at once
_FLOODED = 10.0  # seconds for which a flood may be held up by a busy machine
_DRAINED = 0.3  # seconds without output after which all that was written before has come
_DRAIN_LIMIT = 5.0  # seconds; a terminal holds a few KiB
_LEFT = 0.5  # seconds from the end of our terminal until the monitor of a container has seen it
_FAREWELL = 0.1  # seconds from the engine's answer to our farewell until it is sure to know it sent one


class Returns:
    """Takes out the carriage returns that the engine's own terminals add before each line feed: two."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Give what is known to be output; what may be added is kept for the next piece."""
        data = self._held + data
        kept = len(data) - len(data.rstrip(b"\r"))
        kept = min(kept, len(_ADDED))
        self._held = data[len(data) - kept :]
        return data[: len(data) - kept].replace(_ADDED + b"\n", b"\n")


class Flow:
    """How much output came lately; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._came = self._flooded = self._second = -math.inf
        self._in_second = 0

    def add(self, size: int, now: float) -> None:
        """Take notice of so many bytes."""
        if now - self._second > 1:
            self._second, self._in_second = now, 0
        self._in_second += size
        self._came = now
        if self._in_second >= _FLOOD:
            self._flooded = now

    @property
    def began(self) -> bool:
        """Whether any came."""
        return self._came != -math.inf

    def floods(self, now: float) -> bool:
        """Whether what came was more than a terminal holds for long, and more of that may be held up."""
        return now - self._flooded < _FLOODED

    def under_way(self, now: float) -> bool:
        """Whether more may be under way."""
        return now - self._came < _BUSY or self.floods(now)


async def attach(client: Client, container_id: str, *, waiting: bool) -> "LxdConsole":
    """Attach to the console of a running container, once whoever was attached has let go.

    Where the process is still `waiting` for us, it is sure that none of its output is missed.
    """
    end = time.monotonic() + ATTACH_LIMIT
    while True:
        try:
            console = await _connect(client, container_id)
            try:
                await (console.reach() if waiting else console.settle())
            except BaseException:
                await console.close()
                raise
        except InUse:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(_PAUSE)
        else:
            return console


async def _connect(client: Client, container_id: str) -> "LxdConsole":
    what = f"the console of container {container_id}"
    body = {"type": "console", "width": 80, "height": 24}
    try:
        operation, metadata = await client.begin(
            f"/1.0/instances/{container_id}/console", what=what, body=body
        )
    except EngineError as error:
        if _TAKEN in str(error):
            raise InUse(str(error)) from error
        raise
    sockets: dict[str, Socket] = {}
    try:
        for name in ("control", "0"):
            sockets[name] = await client.websocket(operation, metadata["fds"][name], what=what)
    except BaseException:
        for socket in sockets.values():
            await socket.close()
        raise
    return LxdConsole(client, container_id, operation, sockets)


async def read_log(client: Client, container_id: str) -> bytes:
    """Give the last output of the container's own process, which the engine keeps; none yet is none."""
    path, what = f"/1.0/instances/{container_id}/console", f"the output of container {container_id}"
    try:
        return _TYPED.sub(b"", await client.download(path, what=what, query={}, limit=_LOG))
    except NotFound:
        return b""


class LxdConsole:
    """See `Console`. The engine sets the size of its own end alone, so it is set in the container."""

    def __init__(
        self, client: Client, container_id: str, operation: str, sockets: Mapping[str, Socket]
    ) -> None:
        self._client = client
        self._container = container_id
        self._operation = operation
        self._data = sockets["0"]
        self._control = sockets["control"]
        self._returns = Returns()
        self._first = b""
        self._closing: asyncio.Task[None] | None = None
        self._flow = Flow()

    async def reach(self) -> None:
        """Wait until the terminal answers: it shows what is typed, though nobody reads it yet.

        The engine says that we are attached before we are, and what is typed until then may be lost.
        """
        seen, tries = b"", 0
        try:
            async with asyncio.timeout(ATTACH_LIMIT):
                while not any(_probe(number) in seen for number in range(tries)):
                    await self._type(_ERASE + _probe(tries))
                    tries += 1
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_PAUSE):
                            seen += await self._shown()
                last = _probe(tries - 1)
                while last not in seen:
                    seen += await self._shown()
                await self._type(_ERASE)
                while not seen.endswith(_ERASED * len(last)):
                    seen += await self._shown()
        except TimeoutError as error:
            raise EngineUnavailable(f"the console of container {self._container} does not answer") from error

    async def settle(self) -> None:
        """Wait as long as it takes the engine to refuse us. Raises InUse."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLED):
                self._first = await self._shown()

    async def read(self) -> bytes | None:
        """See `Console.read`."""
        if self._first:
            first, self._first = self._first, b""
            if output := self._returns.feed(first):
                return output
        while data := await receive(self._data):
            if not self._flow.began and data.startswith(_REFUSED):
                break  # where this took longer than `settle` waits: the engine's word, not the container's
            self._note(data)
            if output := self._returns.feed(data):
                return output
        self._flow = Flow()
        await self.close()
        return None

    async def write(self, data: bytes) -> None:
        """See `Console.write`."""
        await self._type(data)

    async def resize(self, columns: int, rows: int) -> None:
        """See `Console.resize`."""
        size = ("rows", str(rows), "cols", str(columns))
        await run(self._client, self._container, BUSYBOX, "stty", "-F", "/dev/console", *size)

    async def close(self) -> None:
        """See `Console.close`."""
        # In a task of its own: who closes is often being cancelled, and a cancelled task's time-outs raise
        # CancelledError in Python before 3.12.
        self._closing = self._closing or asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        now = time.monotonic()
        busy, flooded = self._flow.under_way(now), self._flow.floods(now)
        async with self._paused() if busy else nullcontext():
            await self._data.close()
            # LXD 5.0 dies of "concurrent write to websocket connection" (its issue 11174) where this socket
            # ends while it may still write to the other one; nothing tells when it no longer may.
            await asyncio.sleep(_FAREWELL)
            await self._control.close()
            if busy:
                await self._let_go()
            if flooded:
                await asyncio.sleep(_LEFT)

    @asynccontextmanager
    async def _paused(self) -> AsyncIterator[None]:
        """Hold a process that writes while we let go, with nothing left in the terminal.

        The engine's monitor of a container copies the output into our terminal. Where that is full at the
        moment at which we leave, it waits for ever for a reader, and no longer stops the container.
        """
        try:
            # Read meanwhile, or the monitor would not answer the engine.
            pausing = asyncio.create_task(self._change_state("freeze"))
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_DRAIN_LIMIT):
                        await self._drain(pausing)
            finally:
                pausing.cancel()
                await asyncio.gather(pausing, return_exceptions=True)
            yield
        finally:
            with suppress(EngineError):
                await self._change_state("unfreeze")

    async def _drain(self, pausing: asyncio.Task[None]) -> None:
        """Read until nothing more comes of a process that is paused."""
        while True:
            paused = pausing.done()
            try:
                async with asyncio.timeout(_DRAINED):
                    if not await receive(self._data):
                        return
            except TimeoutError:
                if paused:
                    return

    async def _change_state(self, action: str) -> None:
        path, what = f"/1.0/instances/{self._container}/state", f"container {self._container}: {action}"
        await self._client.operation("PUT", path, what=what, body={"action": action}, limit=_DRAIN_LIMIT)

    async def _type(self, data: bytes) -> None:
        with suppress(ConnectionError, aiohttp.ClientError):  # it has stopped, as `read` tells
            for start in range(0, len(data), _PIECE):
                await self._data.send_bytes(data[start : start + _PIECE])

    async def _let_go(self) -> None:
        """Wait until the engine has let go of the terminal too."""
        with suppress(EngineError, TimeoutError):
            async with asyncio.timeout(_DRAIN_LIMIT):
                await self._client.finished(
                    self._operation, what=f"the console of container {self._container}"
                )

    def _note(self, data: bytes) -> None:
        self._flow.add(len(data), time.monotonic())

    async def _shown(self) -> bytes:
        if data := await receive(self._data):
            self._note(data)
            if data.startswith(_REFUSED):
                raise InUse(f"the console of container {self._container}: {data.decode(errors='replace')}")
            return data
        raise EngineError(f"container {self._container} has stopped")


def _probe(number: int) -> bytes:
    return b"attached%d?" % number


# What was typed for us, as a terminal shows it: our probes, and the reset (ESC c) that Incus types when we
# leave, which is sometimes cut short. Other escapes that a container shows in this way go on otherwise.
_TYPED = re.compile(rb"attached\d+\?(?:\x08 \x08)*|\^\[(?![\[\]()])c?")
