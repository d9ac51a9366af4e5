"""asyncio inside the connection's one thread: what ssh servers need, for as long as there are some.

asyncio's loop runs from a timer's call of ours and waits by our loop, so both go on in one
thread, and what one does the other sees at once. When it is not needed any more, ours goes on alone.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from tfd.protocol.drivers.hosting import HostingSelector
from tfd.protocol.drivers.loop import Loop

START_LIMIT: Final = 30.0
"""Seconds for asyncio to start in the loop's thread."""

T = TypeVar("T")


class Asyncio:
    """asyncio's loop for one connection. It runs while it has users."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._running = threading.Event()
        self._ended = threading.Event()
        self._closers: dict[object, Callable[[], None]] = {}
        self._aio: asyncio.AbstractEventLoop | None = None

    def join(self, user: object, close: Callable[[], None]) -> None:
        """Take one more user; asyncio runs from now on. Not in the loop's thread.

        `close` is called in the loop's thread when asyncio ends before its user does, with the session.
        """
        with self._lock:
            first = not self._closers
            self._closers[user] = close
            if first:
                self._running.clear()
                self._ended.clear()
                self._loop.call_from_thread(self._begin)
            if not self._running.wait(START_LIMIT):
                raise TimeoutError(f"asyncio did not start within {START_LIMIT:g} s")

    def leave(self, user: object) -> None:
        """Forget a user; asyncio ends with the last one. Repeatable. Not in the loop's thread."""
        with self._lock:
            known = self._closers.pop(user, None)
            aio = self._aio
            if known is not None and not self._closers and aio is not None:
                aio.call_soon_threadsafe(aio.stop)
                self._ended.wait(START_LIMIT)

    def run(self, work: Coroutine[Any, Any, T], timeout: float) -> T | None:
        """Await `work` in the loop's thread, and give its result here; None where asyncio has ended.

        Not in the loop's thread. Raises what `work` raises, and TimeoutError.
        """
        aio = self._aio
        if aio is None:
            work.close()
            return None
        return asyncio.run_coroutine_threadsafe(work, aio).result(timeout)

    # In the loop's thread.

    def _begin(self) -> None:
        # From a timer: the loop's other calls stand in lists that must not be gone through twice at once.
        self._loop.call_later(0, self._host)

    def _host(self) -> None:
        selector = HostingSelector(self._loop)
        aio = asyncio.SelectorEventLoop(selector)
        selector.on_stop(aio.stop)
        try:
            self._aio = aio
            aio.call_soon(self._running.set)
            aio.run_forever()
            for close in list(self._closers.values()):
                close()
            self._closers.clear()
            self._end_tasks(aio)
        finally:
            self._aio = None
            aio.close()
            self._ended.set()

    def _end_tasks(self, aio: asyncio.AbstractEventLoop) -> None:
        tasks = asyncio.all_tasks(aio)
        for task in tasks:
            task.cancel()
        if tasks:
            aio.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
