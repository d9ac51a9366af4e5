"""Our loop inside asyncio's."""

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

from tests.support.recording import RecordingLog
from tfd.protocol.drivers.hosting import HostingSelector
from tfd.protocol.drivers.loop import READ, Loop

LIMIT = 10.0


def run(loop: Loop, work: Coroutine[Any, Any, None]) -> None:
    """Run it in a loop of asyncio's that hosts ours."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(HostingSelector(loop))) as runner:
        runner.run(work)


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
        left.send(b"x")
        async with asyncio.timeout(LIMIT):
            await done.wait()

    try:
        with left, right:
            run(loop, main())
    finally:
        loop.close()
    assert calls == ["descriptor", "timer"]


def test_an_earlier_timer_comes_before_one_that_was_set_first() -> None:
    """Asyncio wakes up for the earliest one, also where the first was cancelled meanwhile."""
    calls: list[str] = []
    loop = Loop(RecordingLog())

    async def main() -> None:
        done = asyncio.Event()
        late = loop.call_later(LIMIT * 10, lambda: calls.append("late"))
        loop.call_later(0.01, lambda: calls.append("early"))
        late.cancel()
        loop.call_later(0.03, done.set)
        async with asyncio.timeout(LIMIT):
            await done.wait()

    try:
        run(loop, main())
    finally:
        loop.close()
    assert calls == ["early"]


def test_who_hosts_is_told_when_ours_is_stopped() -> None:
    """A stop from within ends asyncio's loop as well."""
    loop = Loop(RecordingLog())
    selector = HostingSelector(loop)
    aio = asyncio.SelectorEventLoop(selector)
    selector.on_stop(aio.stop)
    loop.call_later(0.01, loop.stop)
    aio.call_later(LIMIT, aio.stop)
    try:
        aio.run_forever()
        assert loop.stopping
    finally:
        aio.close()
        loop.close()


def test_what_a_call_of_ours_has_asyncio_do_is_done_at_once() -> None:
    """Neither an event's call nor a timer's has to wait for what comes next."""
    loop = Loop(RecordingLog())
    left, right = socket.socketpair()

    async def main() -> None:
        for begin in (lambda: left.send(b"x"), lambda: loop.call_later(0, done)):
            event.clear()
            begin()
            async with asyncio.timeout(LIMIT):
                await event.wait()

    def readable(_events: int) -> None:
        right.recv(1)
        done()

    def done() -> None:
        asyncio.get_running_loop().call_soon(event.set)

    event = asyncio.Event()
    loop.register(right.fileno(), READ, readable)
    try:
        with left, right:
            run(loop, main())
    finally:
        loop.close()
