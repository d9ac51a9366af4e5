"""Consoles of containers: one of the engine's for each, kept attached, and read by any number.

Those of held containers are kept always, those of others while somebody reads their output.

A reader that is slow misses what has left the history; it never makes the container wait.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Final

from tflocation.engines.interface import ContainerInfo, Engine, EngineError, NotFound, State
from tflocation.engines.processes import Console
from tflocation.inventory import Difference, Gone

log = logging.getLogger(__name__)

HISTORY: Final = 256 * 1024
"""Bytes of output that are kept of each console."""

ATTACH_LIMIT: Final = 240.0
"""Seconds in which a console must be attached, its turn among the others included."""

ATTACHED_AT_ONCE: Final = 8
"""Consoles that are just being attached: an engine that does more at a time is slower at each."""

_PIECE: Final = 64 * 1024
_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_CATCH_UP: Final = 0.2
"""Seconds after which all that came while a record was read is here."""

_RATE: Final = 16 * 1024 * 1024
"""Bytes a second that are read of one console: whoever writes more waits, and not the whole location."""

_COMPARED: Final = 1024
ENDED: Final = (State.STOPPED, State.FAILED)
"""What a container is in whose process is over."""


class KeptConsole:
    """One container's console, from its attaching until the container's process has ended.

    Attributes:
        exit: the exit code of the process once it has ended (1 where it is not known), None before.
        lost: why there will be no more of it without an exit code; empty while there may be.

    """

    def __init__(self, engine: Engine, container: ContainerInfo, turns: asyncio.Semaphore) -> None:
        self.exit: int | None = None
        self.lost = ""
        self._engine = engine
        self._turns = turns
        self._id = container.id
        self._kept = bytearray()
        self._start = 0
        self._news = asyncio.Event()
        self._console: Console | None = None
        self._rebooting = False
        self._run = 0
        """Counts the container's starts that were seen; `_attached_run` is the one that is attached to."""
        self._attached_run = -1
        self._missed = not container.asleep
        """Whether there may be output from before the console is attached."""
        self._task = asyncio.create_task(self._follow())

    @property
    def over(self) -> bool:
        """Whether nothing follows."""
        return self.exit is not None or bool(self.lost)

    @property
    def history(self) -> bytes:
        """The last output."""
        return bytes(self._kept)

    @property
    def end(self) -> int:
        """How many bytes of output there were so far: the place after the last one."""
        return self._start + len(self._kept)

    def piece(self, position: int) -> tuple[int, bytes]:
        """Give the next output from a place on, and where it begins: later where that is kept no more."""
        position = max(position, self._start)
        offset = position - self._start
        return position, bytes(self._kept[offset : offset + _PIECE])

    async def more(self, position: int) -> None:
        """Wait until there is output beyond a place, or will be none."""
        while position >= self.end and not self.over:
            await self._news.wait()

    async def attached(self) -> None:
        """Wait until it is attached or over. Raises TimeoutError."""
        async with asyncio.timeout(ATTACH_LIMIT):
            while not self.over and (self._console is None or self._attached_run != self._run):
                await self._news.wait()

    async def output(self) -> AsyncIterator[bytes]:
        """Give the history and then what follows, until it is over."""
        position = self._start
        while True:
            position, piece = self.piece(position)
            if piece:
                position += len(piece)
                yield piece
            elif self.over:
                return
            else:
                await self.more(position)

    async def write(self, data: bytes) -> None:
        """Type into the terminal, once it is attached. Raises EngineError, TimeoutError."""
        await self.attached()
        if self._console is not None:
            await self._console.write(data)

    async def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal, once it is attached. Raises EngineError, TimeoutError."""
        await self.attached()
        if self._console is not None:
            await self._console.resize(columns, rows)

    @contextmanager
    def rebooting(self) -> Iterator[None]:
        """Outlive a stop of the container that is followed by its start."""
        self._rebooting = True
        try:
            yield
        finally:
            self._rebooting = False
            self._run += 1
            self._tell()

    async def close(self) -> None:
        """Let go of it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @contextmanager
    def destroying(self) -> Iterator[None]:
        """Be over, without an exit code, while the container is destroyed; its output is read till then.

        An engine cannot stop a container whose output nobody takes any more.
        """
        self.ended(None, f"container {self._id} was destroyed")
        try:
            yield
        finally:
            self._task.cancel()

    def ended(self, exit_code: int | None, lost: str) -> None:
        """Know that nothing follows; the first reason counts."""
        if not self.over:
            self.exit, self.lost = exit_code, lost
            self._tell()

    async def _follow(self) -> None:
        pause = _PAUSE
        try:
            while not self.over:
                try:
                    await self._read()
                    pause = _PAUSE
                    await self._look()
                except NotFound:
                    self.ended(None, f"container {self._id} was destroyed")
                except EngineError as error:
                    fields = {"container": self._id, "reason": str(error)}
                    log.info("a console is not attached", extra={"fields": fields})
                    await asyncio.sleep(pause)
                    pause = min(_LONGEST_PAUSE, pause * 2)
                    with suppress(EngineError):
                        await self._look()
        finally:
            self.ended(None, "the location let go of it")

    async def _read(self) -> None:
        """Attach, and keep what comes until the container stops."""
        run = self._run
        async with self._turns:
            console = await self._engine.console(self._id)
        try:
            if self._missed:
                await self._catch_up(console, since_start=run != self._attached_run)
            self._missed = True
            self._console, self._attached_run = console, run
            self._tell()
            while (piece := await console.read()) is not None:
                self._keep(piece)
                await asyncio.sleep(len(piece) / _RATE)
        finally:
            self._console = None
            await console.close()

    async def _catch_up(self, console: Console, *, since_start: bool) -> None:
        """Keep what came before the console was attached, by the engine's own record.

        The record begins with the container's start. What came over the console before the record was read
        is in it too.
        """
        record = await self._engine.console_log(self._id)
        first = bytearray()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CATCH_UP):
                while len(first) < HISTORY and (piece := await console.read()) is not None:
                    first += piece
        self._keep(record if since_start else following(bytes(self._kept), record))
        self._keep(bytes(first[overlap(record, bytes(first)) :]))

    async def _look(self) -> None:
        """See whether the container has ended. Raises EngineError."""
        rebooted = self._rebooting
        while self._rebooting:
            await self._news.wait()
        container = await self._engine.container(self._id)
        if container.state in ENDED and not self._rebooting:
            if self._attached_run != self._run:
                # It was over before anybody could attach.
                self._keep(await self._engine.console_log(self._id))
            unknown = 0 if container.state is State.STOPPED else 1
            self.ended(unknown if container.exit is None else container.exit, "")
        elif not rebooted:
            await asyncio.sleep(_PAUSE)

    def _keep(self, piece: bytes) -> None:
        self._kept += piece
        surplus = len(self._kept) - HISTORY
        if surplus > 0:
            del self._kept[:surplus]
            self._start += surplus
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def following(kept: bytes, record: bytes) -> bytes:
    """Give what follows in `record` after the end of `kept`; all of it where they have nothing in common.

    An engine's record may begin anywhere: what somebody has read of it once is not in there again.
    """
    end = kept[-_COMPARED:]
    found = record.rfind(end) if end else -1
    return record[overlap(end, record[: len(end)]) :] if found < 0 else record[found + len(end) :]


def overlap(record: bytes, first: bytes) -> int:
    """Give the length of the longest beginning of `first` that `record` ends with.

    In time that grows with their lengths alone, whatever a container wrote (Knuth, Morris and Pratt 1977).
    """
    # Of each beginning of `first`: the length of the longest shorter beginning that it ends with.
    shorter = [0]
    length = 0
    for byte in first[1:]:
        length = _extended(shorter, first, length, byte)
        shorter.append(length)
    length = 0
    for byte in record[max(0, len(record) - len(first)) :]:
        length = _extended(shorter, first, length, byte)
    return length


def _extended(shorter: list[int], first: bytes, length: int, byte: int) -> int:
    while length and (length == len(first) or first[length] != byte):
        length = shorter[length - 1]
    return length + 1 if first[length : length + 1] == bytes((byte,)) else 0


class Consoles:
    """The kept consoles, by container."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._consoles: dict[str, KeptConsole] = {}
        self._turns = asyncio.Semaphore(ATTACHED_AT_ONCE)

    def keep(self, container: ContainerInfo) -> KeptConsole:
        """Attach to a container's console, unless that was done already."""
        console = self._consoles.get(container.id)
        if console is None or console.over:
            console = self._consoles[container.id] = KeptConsole(self._engine, container, self._turns)
        return console

    def get(self, container_id: str) -> KeptConsole | None:
        """Give the console of a container that is kept, or was when its process ended."""
        return self._consoles.get(container_id)

    def follow(self, differences: Iterable[Difference]) -> None:
        """Take what happened to containers: those that run are attached to, those that are gone are over."""
        for difference in differences:
            container = difference.container
            if isinstance(difference, Gone):
                self.forget(container.id)
            elif (container.holder or container.id in self._consoles) and container.state is State.RUNNING:
                self.keep(container)

    async def release(self, container_id: str) -> None:
        """Let go of a console that nobody reads any more."""
        console = self._consoles.pop(container_id, None)
        if console is not None:
            await console.close()

    def forget(self, container_id: str) -> None:
        """Know that a container is destroyed: its console is over without an exit code."""
        with self.destroying(container_id):
            pass

    @contextmanager
    def destroying(self, container_id: str) -> Iterator[None]:
        """Have the console be over while the container is destroyed, and forget it then."""
        console = self._consoles.pop(container_id, None)
        with console.destroying() if console is not None else nullcontext():
            yield

    @contextmanager
    def rebooting(self, container_id: str) -> Iterator[None]:
        """Let the console outlive a stop of the container that is followed by its start."""
        console = self._consoles.get(container_id)
        with console.rebooting() if console is not None else nullcontext():
            yield

    async def close(self) -> None:
        """Let go of all."""
        consoles = list(self._consoles.values())
        self._consoles.clear()
        await asyncio.gather(*(console.close() for console in consoles))
