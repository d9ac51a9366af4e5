"""The daemon's event loop: descriptors, timers, signals, on one thread.

asyncio would do, but with ssl, which it imports, it costs more memory than the rest of the daemon.
"""

import heapq
import itertools
import math
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Final

from tfd.protocol import logged
from tfd.protocol.drivers.log import Log

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
ENDING: Final = select.EPOLLRDHUP
"""Asked for beside READ: told where nothing more comes after what there is to read (epoll_ctl(2))."""
BROKEN: Final = select.EPOLLERR | select.EPOLLHUP
"""What epoll tells of any registered descriptor, asked for or not."""

_BATCH = 256
# Cancelled timers stay in the heap until they are due, but for more than this many and more than half.
_CANCELLED_KEPT = 256


class Timer:
    """A call that will be made once, unless it is cancelled."""

    __slots__ = ("_callback", "_loop")

    def __init__(self, loop: "Loop", callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback: Callable[[], None] | None = callback

    @property
    def active(self) -> bool:
        """Whether the call is still to come."""
        return self._callback is not None

    def cancel(self) -> None:
        """Forget the call. Harmless when it was made or cancelled before."""
        if self._callback is not None:
            self._callback = None
            self._loop._timer_cancelled()  # noqa: SLF001 - a timer and its loop are one thing

    def take(self) -> Callable[[], None] | None:
        """Give the call, once; None when it was cancelled."""
        callback, self._callback = self._callback, None
        return callback


class Loop:
    """One epoll instance with timers (a heap) and signals.

    A callback that raises is logged with its traceback and the loop goes on. All methods but
    `call_from_thread` and `stop` belong to the thread that runs the loop.

    Args:
        log: where a raising callback is told.

    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._gone: set[int] = set()
        self._former: list[tuple[int, int]] = []
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._cancelled = 0
        self._stopping = False
        self._calls: deque[Callable[[], None]] = deque()
        self._signals: dict[int, tuple[Callable[[], None], object]] = {}
        self._waker, self._wakened = socket.socketpair()
        self._waker.setblocking(False)
        self._wakened.setblocking(False)
        self.register(self._wakened.fileno(), READ, self._on_wake)

    @property
    def now(self) -> float:
        """Seconds of the monotonic clock that `call_at` uses."""
        return time.monotonic()

    @property
    def stopping(self) -> bool:
        """Whether `run` is to return, or has not begun again since it did."""
        return self._stopping

    @property
    def due(self) -> float | None:
        """When the first timer is due, in seconds of `now`; None where there is none."""
        return self._timers[0][0] if self._timers else None

    def register(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Call `callback(events)` whenever the descriptor is ready (level-triggered, epoll(7)).

        `events` is READ, WRITE, both, or 0 for BROKEN alone. Raises OSError.
        """
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def modify(self, fd: int, events: int) -> None:
        """Change the events that a registered descriptor is watched for. Raises OSError."""
        self._epoll.modify(fd, events)

    def redirect(self, fd: int, callback: Callable[[int], None]) -> None:
        """Call another callback for a registered descriptor: its owner has changed, which costs no call."""
        self._callbacks[fd] = callback

    def unregister(self, fd: int) -> None:
        """Forget a descriptor, before it is closed. Harmless when it is not registered."""
        if self._callbacks.pop(fd, None) is not None:
            # The batch in hand may hold an event of this number, and the number a new owner.
            self._gone.add(fd)
            self._epoll.unregister(fd)

    def forget(self, fd: int) -> None:
        """Forget a descriptor that is closed next and has no copy: its end takes it out of epoll (epoll(7)).

        Harmless when it is not registered.
        """
        if self._callbacks.pop(fd, None) is not None:
            self._gone.add(fd)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call once, not before `when` (seconds of `now`)."""
        timer = Timer(self, callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call once, not before `seconds` have passed."""
        return self.call_at(time.monotonic() + seconds, callback)

    def call_from_thread(self, callback: Callable[[], None]) -> None:
        """Make the loop's thread call `callback` soon. Any thread may ask."""
        self._calls.append(callback)
        self._wake()

    def on_signal(self, number: int, callback: Callable[[], None]) -> None:
        """Call `callback` from the loop whenever the signal comes. Only in the process's main thread."""
        previous = signal.signal(number, _let_the_loop_know)
        # Without this, the C library would not restart what the signal interrupts (siginterrupt(3)).
        signal.siginterrupt(number, False)
        self._signals[number] = (callback, previous)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve until `stop`."""
        self._stopping = False
        while not self._stopping:
            self.turn()

    def turn(self, longest: float = math.inf) -> None:
        """Make the calls that are due and take the events that there are, waiting `longest` seconds for one.

        `run` is that again and again. Another loop that hosts this one calls it, also from a timer's call.

        What was ready in the turn before as well is served last: it is a stream that always has more, and
        epoll would name it first. So what becomes ready meanwhile waits for one piece of it and not for two.
        """
        timeout = self._run_timers()
        if longest != math.inf:
            timeout = min(timeout, longest) if timeout >= 0 else longest
        self._gone.clear()
        ready = self._epoll.poll(timeout, _BATCH)
        if len(ready) > 1:
            again = {fd for fd, _ in self._former}
            ready.sort(key=lambda event: event[0] in again)
        self._former = ready
        for fd, events in ready:
            callback = self._callbacks.get(fd)
            if callback is not None and fd not in self._gone:
                try:
                    callback(events)
                except Exception as error:  # noqa: BLE001 - one connection's defect must not end all
                    self._tell(error)

    def stop(self) -> None:
        """Make `run` return after the events in hand. Any thread or callback may ask."""
        self._stopping = True
        self._wake()

    def close(self) -> None:
        """Release the loop's own descriptors and give the signals back. The loop must not be running."""
        if self._signals:
            signal.set_wakeup_fd(-1)
            for number, (_, previous) in self._signals.items():
                signal.signal(number, previous)  # type: ignore[arg-type]  # what signal() gave, it takes
            self._signals.clear()
        self._epoll.close()
        self._waker.close()
        self._wakened.close()

    def _wake(self) -> None:
        try:
            self._waker.send(b"\0")
        except BlockingIOError:
            pass  # as many wake-ups wait already as the socket holds
        except OSError:
            if not self._stopping:
                raise

    def _on_wake(self, _events: int) -> None:
        numbers = self._wakened.recv(4096)
        for number in dict.fromkeys(numbers):
            if number in self._signals:
                self._call(self._signals[number][0])
        for _ in range(len(self._calls)):
            self._call(self._calls.popleft())

    def _run_timers(self) -> float:
        """Make the calls that are due, and give the seconds until the next one; -1 for never."""
        due = time.monotonic()
        while self._timers and (self._timers[0][0] <= due or not self._timers[0][2].active):
            callback = heapq.heappop(self._timers)[2].take()
            if callback is None:
                self._cancelled -= 1
            else:
                self._call(callback)
        if self._stopping:
            return 0
        # epoll counts whole milliseconds: rounded up by epoll.poll, so never a spin just before the time.
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1

    def _timer_cancelled(self) -> None:
        self._cancelled += 1
        if self._cancelled > _CANCELLED_KEPT and self._cancelled * 2 > len(self._timers):
            self._timers = [entry for entry in self._timers if entry[2].active]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - see run
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        import traceback

        last = "".join(traceback.format_exception(error)).strip()
        message = f"a defect of tfd; please report it: {last}"
        self._log.limited("loop", logged.DEFECT, message, reason=repr(error))


def _let_the_loop_know(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the interpreter writes the signal's number to the wake-up descriptor."""
