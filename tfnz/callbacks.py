"""Callbacks of user code, called in order on a thread that exists only while there are some.

They run beside the connection's own thread, so that one which takes its time delays no heartbeat, and may
call everything, also what waits for the location.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

_IDLE: Final = 2.0
"""Seconds that the thread waits for more to do before it ends."""

_POSITIONAL: Final = 0x04
"""CO_VARARGS of a code object's flags (inspect module): it takes any number of arguments."""


class Callbacks:
    """The callbacks of one connection.

    Args:
        name: of the thread.
        failed: called with the exception of a callback, after it was logged.

    """

    def __init__(self, name: str, failed: Callable[[BaseException], None]) -> None:
        self._name = name
        self._failed = failed
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._thread: threading.Thread | None = None

    def put(self, function: Callable[..., object] | None, *args: object) -> None:
        """Call `function` with as many of `args` as it takes, after the ones put before; None is nothing."""
        if function is None:
            return
        with self._changed:
            self._waiting.append((function, args))
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    @property
    def here(self) -> bool:
        """Whether the caller is a callback."""
        return threading.current_thread() is self._thread

    def drain(self, timeout: float) -> bool:
        """Wait until all that were put are over, at most `timeout` seconds; not for the caller itself."""
        thread = self._thread
        if thread is None or self.here:
            return True
        done = threading.Event()
        self.put(done.set)
        return done.wait(timeout)

    def call(self, function: Callable[..., object] | None, *args: object) -> None:
        """Call one in the caller's thread; what it raises is treated as if it ran in ours."""
        if function is None:
            return
        try:
            call_fitting(function, args)
        except BaseException as error:
            logging.getLogger(__name__).warning(
                "A callback raised %s; the traceback follows.", type(error).__name__, exc_info=error
            )
            self._failed(error)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting and not self._changed.wait_for(lambda: bool(self._waiting), _IDLE):
                    self._thread = None
                    return
                function, args = self._waiting.popleft()
            self.call(function, *args)


def call_fitting(function: Callable[..., Any], args: tuple[object, ...]) -> object:
    """Call `function` with the first of `args` that it has parameters for."""
    return function(*args[: _parameters(function, len(args))])


def _parameters(function: Callable[..., object], most: int) -> int:
    """Give how many positional arguments a callable takes, up to `most`.

    Read from the code object: inspect.signature would cost a megabyte of memory for this one question.
    """
    bound = 1 if getattr(function, "__self__", None) is not None else 0
    plain = getattr(function, "__func__", function)
    code = getattr(plain, "__code__", None)
    if code is None and not isinstance(function, type):
        plain = getattr(type(function).__call__, "__func__", type(function).__call__)
        code = getattr(plain, "__code__", None)
        bound = 1
    if code is None or code.co_flags & _POSITIONAL:
        return most
    return min(most, int(code.co_argcount) - bound)
