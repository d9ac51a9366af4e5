"""Our loop inside asyncio's: in one thread both go on, and what one does the other sees at once."""

from collections.abc import Callable
from typing import Protocol

from tfd.protocol.drivers.loop import Loop


class Call(Protocol):
    """A call that asyncio is to make."""

    def cancel(self) -> object:
        """Forget it."""


class Host(Protocol):
    """What is needed of asyncio's loop, which is handed over: nothing here imports asyncio."""

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> object:
        """Call back whenever the descriptor is readable."""

    def remove_reader(self, fd: int, /) -> object:
        """Do so no longer."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Call:
        """Call back once after some seconds."""


class Hosting:
    """Has asyncio's loop run ours until `close`: it watches our descriptor and keeps our first timer.

    Args:
        loop: ours; nobody else runs it meanwhile.
        aio: asyncio's, whose thread this is.
        stopped: called when somebody stops our loop.

    """

    def __init__(self, loop: Loop, aio: Host, stopped: Callable[[], None] | None = None) -> None:
        self._loop = loop
        self._aio = aio
        self._stopped = stopped
        self._timer: Call | None = None
        self._due: float | None = None
        aio.add_reader(loop.fileno(), self._turn)
        loop.hosted(self._set_timer)
        self._set_timer()

    def close(self) -> None:
        """Run it no longer; it stays open."""
        self._loop.hosted(None)
        self._aio.remove_reader(self._loop.fileno())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        self._loop.turn(0)
        if self._loop.stopping and self._stopped is not None:
            self._stopped()
        else:
            self._set_timer()

    def _on_time(self) -> None:
        self._due = self._timer = None
        self._turn()

    def _set_timer(self) -> None:
        due = self._loop.due
        if due == self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        # Both clocks are the monotonic one, but only the time that is left says so to every loop.
        self._timer = (
            None if due is None else self._aio.call_later(max(0.0, due - self._loop.now), self._on_time)
        )
