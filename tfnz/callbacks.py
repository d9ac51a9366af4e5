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

    def call(self, function: Callable[..., object] | None, *args: object) -> None:
        """Call one in the caller's thread. An exception is treated as in ours; Ctrl-C is the caller's."""
        if function is None:
            return
        try:
            call_fitting(function, args)
        except Exception as error:  # noqa: BLE001 - user code may raise anything
            self._tell(error)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting and not self._changed.wait_for(lambda: bool(self._waiting), _IDLE):
                    self._thread = None
                    return
                function, args = self._waiting.popleft()
            try:
                call_fitting(function, args)
            except BaseException as error:  # noqa: BLE001 - SystemExit would end the thread unseen
                self._tell(error)

    def _tell(self, error: BaseException) -> None:
        logging.getLogger(__name__).warning(
            "A callback raised %s; the traceback follows.", type(error).__name__, exc_info=error
        )
        self._failed(error)


def call_fitting(function: Callable[..., Any], args: tuple[object, ...]) -> object:
    """Call `function` with the first of `args` that it has parameters for."""
    return function(*args[: _parameters(function, len(args))])


def _parameters(function: Callable[..., object], most: int) -> int:
    """Give how many positional arguments a callable takes, up to `most`.

    Read from the code object where there is one: importing inspect costs a megabyte of memory.
    """
    plain = getattr(function, "__func__", function)
    code = getattr(plain, "__code__", None)
    if code is None:
        return _inspected(function, most)
    if code.co_flags & _POSITIONAL:
        return most
    bound = 1 if plain is not function else 0
    return min(most, int(code.co_argcount) - bound)


def _inspected(function: Callable[..., object], most: int) -> int:
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return most  # of some built-in functions nothing is known
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return most
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return min(most, sum(parameter.kind in positional for parameter in parameters))
