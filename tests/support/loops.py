"""Running tfd's loop in a test until something has happened."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tfd.log import Log
from tfd.protocol.drivers.journal import Entry
from tfd.protocol.drivers.loop import Loop


@dataclass
class Lines:
    """A log's sink that keeps its lines."""

    lines: list[str] = field(default_factory=list)
    takes_output: bool = False

    def encode(self, entry: Entry) -> bytes:
        """Give an entry as a line."""
        return f"{entry.level} {entry.message} {entry.fields}".encode()

    def send(self, data: bytes) -> bool:
        """Keep a line."""
        self.lines.append(data.decode())
        return True

    def close(self) -> None:
        """Keep the lines."""


@contextmanager
def running_loop() -> Iterator[tuple[Loop, Log, Lines]]:
    """Give a loop with its log and the log's lines; close it in the end."""
    lines = Lines()
    log = Log(lines, "debug")
    loop = Loop(log)
    try:
        yield loop, log, lines
    finally:
        loop.close()


def run_until(loop: Loop, condition: Callable[[], object], limit: float, what: str) -> None:
    """Run the loop until the condition holds; AssertionError naming `what` after `limit` seconds."""
    end = loop.now + limit
    holds = False

    def check() -> None:
        nonlocal holds
        holds = bool(condition())
        if holds or loop.now >= end:
            loop.stop()
        else:
            loop.call_later(0.005, check)

    loop.call_later(0, check)
    loop.run()
    assert holds, f"after {limit} s still waiting for {what}"
