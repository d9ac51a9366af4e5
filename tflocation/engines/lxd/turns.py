"""One task at a time for each object; objects that nobody is busy with cost nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """A lock for each name."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()

    def __contains__(self, name: str) -> bool:
        return name in self._locks

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[None]:
        """Wait for the turn, and keep others waiting meanwhile."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._users[name] += 1
        try:
            async with lock:
                yield
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._locks[name], self._users[name]
