"""One list for all who ask at the same time, each of whom sees what was there when he asked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Rows = list[dict[str, Any]]


class Listing:
    """Shares the answers of `read` among those who ask while one is on its way."""

    def __init__(self, read: Callable[[], Awaitable[Rows]]) -> None:
        self._read = read
        self._running: asyncio.Task[Rows] | None = None
        self._next: asyncio.Task[Rows] | None = None

    async def get(self) -> Rows:
        """Give a list whose reading began after this call."""
        if self._running is None:
            wanted = self._running = self._started(None)
        else:
            if self._next is None:
                self._next = self._started(self._running)
            wanted = self._next
        return await asyncio.shield(wanted)

    def _started(self, before: asyncio.Task[Rows] | None) -> asyncio.Task[Rows]:
        task = asyncio.create_task(self._run(before))
        task.add_done_callback(_seen)
        return task

    async def _run(self, before: asyncio.Task[Rows] | None) -> Rows:
        if before is not None:
            await asyncio.wait((before,))
            self._running, self._next = self._next, None
        try:
            return await self._read()
        finally:
            if self._next is None:
                self._running = None


def _seen(task: asyncio.Task[Rows]) -> None:
    """Take the error of a list that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
