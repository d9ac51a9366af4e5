"""What the main thread does while a program runs: it waits for the end, and calls what it is asked to."""

import threading
import time
from collections import deque
from collections.abc import Callable


class MainThread:
    """The wait of `Location.run`. Any thread may end it or ask for calls."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._over = False
        self._error: BaseException | None = None

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Have `function` called in the thread that waits."""
        with self._changed:
            self._calls.append((function, args))
            self._changed.notify_all()

    def finish(self, error: BaseException | None = None) -> None:
        """Let the wait end, by raising `error` where it is given. The first one counts."""
        with self._changed:
            if not self._over:
                self._over, self._error = True, error
                self._changed.notify_all()

    def wait(self, timeout: float | None) -> None:
        """Wait for the end, at most `timeout` seconds (None: for ever). Raises what it was ended with."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._changed:
                left = None if end is None else max(0.0, end - time.monotonic())
                if not self._changed.wait_for(lambda: self._over or bool(self._calls), left):
                    return
                if not self._calls:
                    if self._error is not None:
                        raise self._error
                    return
                function, args = self._calls.popleft()
            function(*args)
