"""Work that would block the loop, done in a thread that lives as long as the work.

Resolving a name and digesting an image are the two: neither has a non-blocking form, and both are rare.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

from tfd.protocol.drivers.loop import Loop

T = TypeVar("T")


def in_background(loop: Loop, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
    """Call `work` in a thread, then `done` in the loop's thread with its result or its exception."""

    def body() -> None:
        result: T | Exception
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - told to the caller, whatever it is
            result = error
        loop.call_from_thread(lambda: done(result))

    # A daemon thread, so that a resolver that hangs holds up no shutdown.
    threading.Thread(target=body, daemon=True).start()
