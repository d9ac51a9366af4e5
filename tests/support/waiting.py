"""Waiting for a condition with a limit: the tests' only way to let time pass."""

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

T = TypeVar("T")

INTERVAL = 0.02


def wait_for(condition: Callable[[], T], limit: float, what: str) -> T:
    """Ask `condition` until it answers with something true, and return that.

    Raises AssertionError naming `what` once `limit` seconds have passed.
    """
    pause = Event()
    end = time.monotonic() + limit
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= end:
            raise AssertionError(f"after {limit} s still waiting for {what}")
        pause.wait(INTERVAL)
