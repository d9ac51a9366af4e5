"""Asyncio inside the session's loop: both go on in one thread, and one ends without the other."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from tfd.protocol.drivers.loop import READ, Loop
from tfnz.aio import Asyncio
from tfnz.linklog import LinkLog

LIMIT = 10.0


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop that runs on a thread of its own."""
    running = Loop(LinkLog())
    thread = threading.Thread(target=running.run)
    thread.start()
    yield running
    running.stop()
    thread.join(LIMIT)
    assert not thread.is_alive()
    running.close()


def in_loop(loop: Loop) -> threading.Thread:
    """Give the loop's thread, by asking it."""
    found: list[threading.Thread] = []
    asked = threading.Event()

    def answer() -> None:
        found.append(threading.current_thread())
        asked.set()

    loop.call_from_thread(answer)
    assert asked.wait(LIMIT)
    return found[0]


async def thread_after_a_sleep() -> threading.Thread:
    """Give the thread that coroutines run in."""
    await asyncio.sleep(0.01)
    return threading.current_thread()


def test_both_in_one_thread(loop: Loop) -> None:
    """Coroutines, calls, timers and descriptors are served in the loop's one thread; then the loop alone."""
    host = Asyncio(loop)
    before = in_loop(loop)
    for _ in range(2):
        host.join("user", lambda: None)
        assert host.run(thread_after_a_sleep(), LIMIT) is before is in_loop(loop)
        ticked, came = threading.Event(), threading.Event()
        ours, theirs = socket.socketpair()
        with ours, theirs:

            def arm(ours: socket.socket = ours, ticked: threading.Event = ticked) -> None:
                loop.call_later(0.02, ticked.set)
                loop.register(ours.fileno(), READ, lambda _: taken())

            def taken(ours: socket.socket = ours, came: threading.Event = came) -> None:
                loop.unregister(ours.fileno())
                came.set()

            loop.call_from_thread(arm)
            assert ticked.wait(LIMIT)
            theirs.send(b"x")
            assert came.wait(LIMIT)
        host.leave("user")
        assert in_loop(loop) is before


def test_a_timer_that_a_coroutine_sets(loop: Loop) -> None:
    """A timer set from asyncio's side is called in time, though the loop itself has nothing to do."""
    host = Asyncio(loop)
    host.join("user", lambda: None)
    called = threading.Event()

    async def arm() -> None:
        loop.call_later(0.05, called.set)

    host.run(arm(), LIMIT)

    assert called.wait(LIMIT)
    host.leave("user")


def test_the_end_of_the_loop_ends_its_guests() -> None:
    """When the loop is stopped, users are told in its thread, tasks are cancelled, and calls give nothing."""
    loop = Loop(LinkLog())
    thread = threading.Thread(target=loop.run)
    thread.start()
    host = Asyncio(loop)
    closed: list[threading.Thread] = []
    host.join("user", lambda: closed.append(threading.current_thread()))
    cancelled = threading.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def begin() -> None:
        tasks.append(asyncio.create_task(wait_for_ever()))

    tasks: list[asyncio.Task[None]] = []
    host.run(begin(), LIMIT)
    loop.stop()
    thread.join(LIMIT)

    assert closed == [thread]
    assert cancelled.is_set()
    assert host.run(thread_after_a_sleep(), LIMIT) is None
    host.leave("user")
    loop.close()
