"""What goes on inside the containers of an engine in memory: processes that echo, files that are kept."""

import asyncio
import stat
from collections.abc import AsyncGenerator, AsyncIterator

from tflocation.engines.interface import EngineError, NotFound
from tflocation.engines.processes import ExecSpec, FileContent

_WAITING = 4
_CHUNK = 1 << 16


class EchoProcess:
    """Gives back what is written to it, to standard output; ends with its input, or by a signal."""

    def __init__(self, spec: ExecSpec) -> None:
        self.spec = spec
        self.sizes: list[tuple[int, int]] = []
        self.signals: list[int] = []
        self.closed = False
        self._output: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(_WAITING)
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def read(self) -> tuple[int, bytes] | None:
        """Give what was written."""
        piece = await self._output.get()
        if piece is None:
            self._output.put_nowait(None)
        return piece

    async def write(self, data: bytes) -> None:
        """Wait while nobody reads."""
        if not self._code.done():
            await self._output.put((1, data))

    async def end_input(self) -> None:
        """End with exit code 0."""
        await self.end(0)

    async def signal(self, number: int) -> None:
        """End by it."""
        self.signals.append(number)
        await self.end(128 + number)

    async def resize(self, columns: int, rows: int) -> None:
        """Keep it to be looked at."""
        self.sizes.append((columns, rows))

    async def wait(self) -> int:
        """Give the exit code."""
        return await asyncio.shield(self._code)

    async def close(self) -> None:
        """End it, whoever reads."""
        self.closed = True
        if not self._code.done():
            self._code.set_result(128 + 9)
        while not self._output.empty():
            self._output.get_nowait()
        self._output.put_nowait(None)

    async def end(self, code: int) -> None:
        """Let it end by itself."""
        if not self._code.done():
            self._code.set_result(code)
            await self._output.put(None)


class EchoConsole:
    """Gives back what is typed, and what the test `show`s."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []
        self.closed = False
        self._output: asyncio.Queue[bytes | None] = asyncio.Queue()

    def show(self, data: bytes | None) -> None:
        """Let the container's process write this, or end."""
        self._output.put_nowait(data)

    async def read(self) -> bytes | None:
        """Give the next output."""
        return await self._output.get()

    async def write(self, data: bytes) -> None:
        """Show it."""
        self.show(data)

    async def resize(self, columns: int, rows: int) -> None:
        """Keep it to be looked at."""
        self.sizes.append((columns, rows))

    async def close(self) -> None:
        """End what is read."""
        self.closed = True
        self.show(None)


class MemoryProcesses:
    """The inside of all containers of one engine."""

    def __init__(self) -> None:
        self.processes: list[tuple[str, EchoProcess]] = []
        self.consoles: dict[str, EchoConsole] = {}
        self.files: dict[tuple[str, str], tuple[bytes, int]] = {}

    async def execute(self, container_id: str, spec: ExecSpec) -> EchoProcess:
        """Start an echo."""
        process = EchoProcess(spec)
        self.processes.append((container_id, process))
        return process

    async def console(self, container_id: str) -> EchoConsole:
        """Attach anew."""
        self.consoles[container_id] = EchoConsole()
        return self.consoles[container_id]

    async def console_log(self, container_id: str) -> bytes:
        """Give a line."""
        return f"output of {container_id}\n".encode()

    async def sftp(self, container_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """There is none."""
        raise EngineError(f"container {container_id} has no SFTP")

    async def write_file(
        self,
        container_id: str,
        path: str,
        chunks: AsyncIterator[bytes],
        mode: int = 0o644,
        size: int | None = None,
    ) -> None:
        """Keep it once it is complete."""
        content = b"".join([chunk async for chunk in chunks])
        if size is not None and len(content) != size:
            raise EngineError(f"{path}: {len(content)} bytes came instead of {size}")
        self.files[container_id, path] = content, mode

    async def read_file(self, container_id: str, path: str) -> FileContent:
        """Give what is kept, or the names below it."""
        if (container_id, path) in self.files:
            content, mode = self.files[container_id, path]
            return FileContent("file", len(content), stat.S_IMODE(mode), (), _chunks(content))
        under = path.rstrip("/") + "/"
        names = {
            name[len(under) :].partition("/")[0]
            for owner, name in self.files
            if owner == container_id and name.startswith(under)
        }
        if not names:
            raise NotFound(f"{path}: there is none")
        return FileContent("directory", 0, 0o755, tuple(sorted(names)), _chunks(b""))


async def _chunks(content: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK]
