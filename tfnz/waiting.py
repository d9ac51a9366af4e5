"""One result that one thread produces and others wait for."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """A result that is not there yet. Any thread may set it, once; any thread may wait for it."""

    __slots__ = ("_done", "_error", "_result")

    def __init__(self) -> None:
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._result: T | None = None

    @property
    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._done.is_set()

    def set(self, value: T) -> None:
        """Give the result; the first one counts."""
        if not self._done.is_set():
            self._result = value
            self._done.set()

    def fail(self, error: BaseException) -> None:
        """Make those who wait raise this."""
        if not self._done.is_set():
            self._error = error
            self._done.set()

    def get(self, timeout: float | None, what: str) -> T:
        """Wait for the result, at most `timeout` seconds (None: for ever).

        Raises what `fail` was given, or TimeoutError, which says `what` was waited for.
        """
        if not self._done.wait(timeout):
            raise TimeoutError(f"{what}: nothing within {timeout:g} s")
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # it is set, and None only where T allows it
