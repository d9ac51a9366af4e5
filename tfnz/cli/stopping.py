"""How signals end a command: the first one in order, the second one at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn


class Stopped(BaseException):
    """A signal asked for the end; like KeyboardInterrupt it is no error, and not to be caught as one."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let the first signal that asks for the end raise `Stopped`; the next one has its default effect.

    What is ignored stays so: nohup(1) and shells' background jobs rely on it.
    """
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before: dict[int, Any] = {}

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        for one in before:
            signal.signal(one, signal.SIG_DFL)
        raise Stopped(number)

    handler: Callable[[int, FrameType | None], NoReturn] = stop
    for asked in wanted:
        if signal.getsignal(asked) is not signal.SIG_IGN:
            before[asked] = signal.signal(asked, handler)
    try:
        yield
    finally:
        for number, former in before.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, former)
