"""The output of containers for readers that come again and again: each asks for what follows its place.

A place names a record, which is that of one console from its attaching, and a position in it. So a reader
that comes back misses nothing and gets nothing twice, as long as the record is kept.
"""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tflocation.consoles import Consoles, KeptConsole, following
from tflocation.engines.interface import ContainerInfo

PIECE: Final = 16 * 1024
"""Bytes of one answer: what a reader writes on at once must not keep it from other things."""

UNREAD_LIMIT: Final = 120.0
"""Seconds after which a container's output is followed no more where nobody came for it."""

_NAME: Final = 8


@dataclass(frozen=True, slots=True)
class Question:
    """What a reader asks for; see the command container.output. `wait` is seconds."""

    wait: float
    after: bytes | None = None
    tail: bytes = b""
    reader: str = ""
    lines: int = 0


@dataclass(slots=True)
class _Record:
    """What is known of one console and its readers; `before` and `known` are of the one that it follows."""

    console: KeptConsole
    held: bool
    before: bytes = b""
    known: frozenset[str] = frozenset()
    name: bytes = field(default_factory=lambda: os.urandom(_NAME))
    readers: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    unread: asyncio.TimerHandle | None = None

    def place(self, position: int) -> bytes:
        return self.name + position.to_bytes(_NAME, "big")

    def position(self, question: Question) -> int:
        """Give where a reader goes on."""
        after, end = question.after, self.console.end
        if after is not None and after[:_NAME] == self.name:
            return int.from_bytes(after[_NAME:], "big")
        if after is None and question.reader in self.readers:
            return self.readers[question.reader]
        history = self.console.history
        if question.reader in self.known or (after is not None and after[:_NAME] == self.before):
            return end - len(history)
        if after is not None:
            return end - len(following(question.tail, history))
        return end - len(last_lines(history, question.lines))


def last_lines(output: bytes, lines: int) -> bytes:
    """Give so many lines at the end of it; one that has no end counts too."""
    return b"".join(output.splitlines(keepends=True)[-lines:]) if lines else b""


class Outputs:
    """What the readers of all containers are given."""

    def __init__(self, consoles: Consoles) -> None:
        self._consoles = consoles
        self._records: dict[str, _Record] = {}
        self._releasing: set[asyncio.Task[None]] = set()

    async def read(self, container: ContainerInfo, question: Question) -> Mapping[str, Any]:
        """Give what follows a reader's place, once there is something or its time is over."""
        record = self._record(container)
        console = record.console
        position: int | None = None
        record.asked += 1
        self._wanted(container.id, record)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(question.wait):
                    await console.attached()
                    position = record.position(question)
                    # At once: who asks for more has what came before, and may be gone when more comes.
                    if question.reader:
                        record.readers[question.reader] = position
                    await console.more(position)
        finally:
            record.asked -= 1
            self._wanted(container.id, record)
        if position is None:
            return {"output": b"", "after": question.after, "missed": 0, "over": console.over}
        start, piece = console.piece(position)
        piece = piece[:PIECE]
        end = start + len(piece)
        over = console.over and end == console.end
        return {"output": piece, "after": record.place(end), "missed": start - position, "over": over}

    def close(self) -> None:
        """Expect nobody any more; the consoles are closed by their owner."""
        for record in self._records.values():
            if record.unread is not None:
                record.unread.cancel()
        self._records.clear()

    def _record(self, container: ContainerInfo) -> _Record:
        """Give the record of the container's present console."""
        console = self._consoles.get(container.id) or self._consoles.keep(container)
        record = self._records.get(container.id)
        if record is not None and record.console is console:
            return record
        fresh = self._records[container.id] = _Record(console, bool(container.holder))
        if record is not None:
            fresh.before, fresh.known = record.name, frozenset(record.readers)
            if record.unread is not None:
                record.unread.cancel()
        return fresh

    def _wanted(self, container_id: str, record: _Record) -> None:
        """Let go of a console some time after its last reader; a held container's is not ours."""
        if record.unread is not None:
            record.unread.cancel()
            record.unread = None
        if record.asked == 0 and not record.held and self._records.get(container_id) is record:
            loop = asyncio.get_running_loop()
            record.unread = loop.call_later(UNREAD_LIMIT, self._forget, container_id, record)

    def _forget(self, container_id: str, record: _Record) -> None:
        if self._records.get(container_id) is record:
            del self._records[container_id]
            task = asyncio.create_task(self._consoles.release(container_id))
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)
