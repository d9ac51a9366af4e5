"""Our loop inside asyncio's."""

import asyncio
import socket

from tests.support.recording import RecordingLog
from tfd.protocol.drivers.hosting import Hosting
from tfd.protocol.drivers.loop import READ, Loop

LIMIT = 10.0


def test_events_and_timers_of_both_loops_come() -> None:
    """A descriptor of ours, a timer of ours that was set from asyncio, and asyncio's own calls."""
    calls: list[str] = []
    loop = Loop(RecordingLog())
    left, right = socket.socketpair()

    async def main() -> None:
        done = asyncio.Event()

        def readable(_events: int) -> None:
            right.recv(1)
            calls.append("descriptor")
            loop.call_later(0.02, timer)

        def timer() -> None:
            calls.append("timer")
            done.set()

        loop.register(right.fileno(), READ, readable)
        hosting = Hosting(loop, asyncio.get_running_loop())
        left.send(b"x")
        async with asyncio.timeout(LIMIT):
            await done.wait()
        hosting.close()

    try:
        with left, right:
            asyncio.run(main())
    finally:
        loop.close()
    assert calls == ["descriptor", "timer"]


def test_an_earlier_timer_comes_before_one_that_was_set_first() -> None:
    """Asyncio wakes up for the earliest one, also where the first was cancelled meanwhile."""
    calls: list[str] = []
    loop = Loop(RecordingLog())

    async def main() -> None:
        done = asyncio.Event()
        hosting = Hosting(loop, asyncio.get_running_loop())
        late = loop.call_later(LIMIT * 10, lambda: calls.append("late"))
        loop.call_later(0.01, lambda: calls.append("early"))
        late.cancel()
        loop.call_later(0.03, done.set)
        async with asyncio.timeout(LIMIT):
            await done.wait()
        hosting.close()

    try:
        asyncio.run(main())
    finally:
        loop.close()
    assert calls == ["early"]


def test_who_hosts_is_told_when_ours_is_stopped() -> None:
    """A stop from within reaches asyncio's side."""
    loop = Loop(RecordingLog())

    async def main() -> None:
        stopped = asyncio.Event()
        hosting = Hosting(loop, asyncio.get_running_loop(), stopped.set)
        loop.call_later(0.01, loop.stop)
        async with asyncio.timeout(LIMIT):
            await stopped.wait()
        hosting.close()

    try:
        asyncio.run(main())
    finally:
        loop.close()
