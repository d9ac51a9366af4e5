"""Further processes of a running container, over the engine's exec API (doc/rest-api.md, websockets).

The wrapper tells the process's id as its first line of output: it leads a session and a process group, and
signals go to that group by it, since the engine itself knows the one process alone.
"""

import asyncio
import logging
import shlex
from collections.abc import Mapping
from contextlib import suppress

import aiohttp

from tflocation.engines.interface import EngineError, EngineUnavailable
from tflocation.engines.lxd.client import Client
from tflocation.engines.lxd.process import BUSYBOX, exec_command, kill_session
from tflocation.engines.processes import ExecSpec

START_LIMIT = 30.0  # seconds until a process has told its id
_WAITING = 4  # pieces of output, each at most 128 KiB, that wait for a slow reader
_PIECE = 1 << 16
_END_OF_FILE = b"\x04"  # termios(3), VEOF
_LONGEST_ID = 16  # characters of the first line

log = logging.getLogger("tflocation.engine")

Socket = aiohttp.ClientWebSocketResponse


async def receive(socket: Socket) -> bytes:
    """Give the next bytes, none at the end, which an empty text is as well."""
    while True:
        message = await socket.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            if message.data:
                return bytes(message.data)
        elif message.type is not aiohttp.WSMsgType.PING:
            return b""


async def run(client: Client, container_id: str, *args: str) -> int:
    """Run a short command as the container's root without input and output; give its exit code."""
    what = f"container {container_id}: {shlex.join(args[:3])}"
    body = {"command": args, "wait-for-websocket": False, "interactive": False, "record-output": False}
    operation, _ = await client.begin(f"/1.0/instances/{container_id}/exec", what=what, body=body)
    async with asyncio.timeout(START_LIMIT):
        done = await client.finished(operation, what=what)
    return int((done.get("metadata") or {}).get("return", -1))


async def execute(
    client: Client, container_id: str, spec: ExecSpec, environment: Mapping[str, str]
) -> "LxdProcess":
    """Start the process in a container that runs, in nothing but `environment`."""
    what = f"a process of container {container_id}"
    terminal = spec.terminal
    body = {
        "command": exec_command(spec, environment),
        "environment": {},
        "wait-for-websocket": True,
        "interactive": terminal is not None,
        "user": spec.uid,
        "group": spec.gid,
        "cwd": "/",
    }
    if terminal is not None:
        body |= {"width": terminal.columns, "height": terminal.rows}
    operation, metadata = await client.begin(f"/1.0/instances/{container_id}/exec", what=what, body=body)
    sockets: dict[str, Socket] = {}
    try:
        for name, secret in sorted(metadata["fds"].items(), reverse=True):
            sockets[name] = await client.websocket(operation, secret, what=what)
        process = LxdProcess(client, container_id, operation, sockets)
        await process.started()
    except BaseException:
        for socket in sockets.values():
            await socket.close()
        raise
    return process


class LxdProcess:
    """See `RunningProcess`."""

    def __init__(
        self, client: Client, container_id: str, operation: str, sockets: Mapping[str, Socket]
    ) -> None:
        self._client = client
        self._container = container_id
        self._what = f"a process of container {container_id}"
        self._input = sockets["0"]
        self._control = sockets["control"]
        self._output: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(_WAITING)
        self._pid = 0
        self._early: list[tuple[int, bytes]] = []
        outputs = {1: sockets["1"], 2: sockets["2"]} if "1" in sockets else {1: sockets["0"]}
        self._sockets = tuple(sockets.values())
        self._names = frozenset(sockets)
        self._reading = len(outputs)
        self._readers = [asyncio.create_task(self._read(fd, socket)) for fd, socket in outputs.items()]
        self._ending = asyncio.create_task(self._end(operation))
        self._drain = asyncio.create_task(_ignore(self._control))

    async def started(self) -> None:
        """Wait until the process has told its id. Raises EngineError where the wrapper could not run."""
        first = b""
        try:
            async with asyncio.timeout(START_LIMIT):
                while b"\n" not in first:
                    piece = await self._output.get()
                    if piece is None or len(first) > _LONGEST_ID:
                        raise EngineError(f"{self._what} could not be started: {await self._reason()}")
                    if piece[0] == 1:
                        first += piece[1]
                    else:
                        self._early.append(piece)
        except TimeoutError as error:
            raise EngineUnavailable(f"{self._what} did not start within {START_LIMIT:.0f} s") from error
        line, _, rest = first.partition(b"\n")
        self._pid = int(line)
        if rest:
            self._early.append((1, rest))

    async def read(self) -> tuple[int, bytes] | None:
        """See `RunningProcess.read`."""
        if self._early:
            return self._early.pop(0)
        piece = await self._output.get()
        if piece is None:
            self._output.put_nowait(None)  # for the next one who asks
        return piece

    async def write(self, data: bytes) -> None:
        """See `RunningProcess.write`."""
        with suppress(ConnectionError, aiohttp.ClientError):  # it has ended
            for start in range(0, len(data), _PIECE):
                await self._input.send_bytes(data[start : start + _PIECE])

    async def end_input(self) -> None:
        """See `RunningProcess.end_input`."""
        if "1" not in self._names:
            # Where it ends the websocket of a terminal, the engine drops what the process still says.
            await self.write(_END_OF_FILE)
            return
        with suppress(ConnectionError, aiohttp.ClientError):
            await self._input.send_str("")

    async def signal(self, number: int) -> None:
        """See `RunningProcess.signal`."""
        if not self._ending.done():
            await run(self._client, self._container, BUSYBOX, "sh", "-c", f"kill -{number} -{self._pid}")

    async def resize(self, columns: int, rows: int) -> None:
        """See `RunningProcess.resize`."""
        arguments = {"width": str(columns), "height": str(rows)}
        with suppress(ConnectionError, aiohttp.ClientError):
            await self._control.send_json({"command": "window-resize", "args": arguments})

    async def wait(self) -> int:
        """See `RunningProcess.wait`."""
        return await asyncio.shield(self._ending)

    async def close(self) -> None:
        """See `RunningProcess.close`."""
        if not self._ending.done():
            with suppress(EngineError, TimeoutError):  # the container has ended, or the engine
                await run(self._client, self._container, *kill_session(self._pid))
        tasks = (*self._readers, self._ending, self._drain)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for socket in self._sockets:
            await socket.close()

    async def _read(self, fd: int, socket: Socket) -> None:
        """Take output as the reader does; the websocket's own buffer is small, then the process waits."""
        while data := await receive(socket):
            await self._output.put((fd, data))
        await socket.close()  # the engine waits for it
        self._reading -= 1
        if not self._reading:
            await self._output.put(None)

    async def _end(self, operation: str) -> int:
        done = await self._client.finished(operation, what=self._what)
        metadata = done.get("metadata") or {}
        if "return" not in metadata:
            raise EngineError(f"{self._what}: {done.get('err') or done['status']}")
        return int(metadata["return"])

    async def _reason(self) -> str:
        with suppress(EngineError, TimeoutError):
            async with asyncio.timeout(START_LIMIT):
                return f"its wrapper ended with exit code {await self.wait()}"
        return "the engine does not say why"


async def _ignore(socket: Socket) -> None:
    """Read what the engine says on a websocket that it only listens to, so that its end is seen."""
    while await receive(socket):
        pass
