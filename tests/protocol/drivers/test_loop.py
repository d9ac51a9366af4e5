"""The event loop: readiness, time, signals, other threads, and callbacks that fail."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.recording import RecordingLog
from tfd.protocol.drivers.loop import READ, Loop


@pytest.fixture
def log() -> RecordingLog:
    """A log to look at."""
    return RecordingLog()


@pytest.fixture
def loop(log: RecordingLog) -> Iterator[Loop]:
    """A loop that stops itself after 10 s, whatever a test forgets."""
    made = Loop(log)
    made.call_later(10, made.stop)
    yield made
    made.close()


def test_timers_run_in_the_order_of_their_times(loop: Loop) -> None:
    """The earliest first; those of one time in the order in which they were set."""
    calls: list[int] = []
    now = loop.now
    for delay, number in [(0.03, 3), (0.01, 1), (0.02, 2), (0.01, 11)]:
        loop.call_at(now + delay, lambda number=number: calls.append(number))  # type: ignore[misc]
    loop.call_at(now + 0.04, loop.stop)
    loop.run()

    assert calls == [1, 11, 2, 3]


def test_a_cancelled_timer_does_not_run(loop: Loop) -> None:
    """Cancelling twice, or after the call, is harmless."""
    calls: list[str] = []
    timer = loop.call_later(0.01, lambda: calls.append("cancelled"))
    timer.cancel()
    timer.cancel()
    last = loop.call_later(0.02, loop.stop)
    loop.run()
    last.cancel()

    assert calls == []
    assert not timer.active


def test_many_cancelled_timers_leave_the_others(loop: Loop) -> None:
    """Removing cancelled timers early changes nothing for the rest."""
    calls: list[int] = []
    for number in range(3000):
        timer = loop.call_later(
            5 if number % 100 else 0.01,
            lambda number=number: calls.append(number),  # type: ignore[misc]
        )
        if number % 100:
            timer.cancel()
    loop.call_later(0.05, loop.stop)
    loop.run()

    assert calls == list(range(0, 3000, 100))


def test_a_callback_that_raises_is_logged_and_the_loop_goes_on(loop: Loop, log: RecordingLog) -> None:
    """Neither a timer nor a descriptor's callback ends the loop by an exception."""
    left, right = socket.socketpair()
    with left, right:

        def broken(_events: int) -> None:
            right.recv(1)
            loop.call_later(0.01, loop.stop)
            raise ValueError("descriptor")

        loop.register(right.fileno(), READ, broken)
        loop.call_later(0, lambda: os.close(-1))
        left.send(b"x")
        loop.run()
        loop.unregister(right.fileno())

    assert "Bad file descriptor" in log.messages()[0]
    assert "ValueError: descriptor" in log.messages()[1]


def test_no_event_of_a_descriptor_comes_after_unregister(loop: Loop) -> None:
    """Two ready descriptors, each of which unregisters the other: only one of them is called."""
    pairs = [socket.socketpair() for _ in range(2)]
    fds = [pair[1].fileno() for pair in pairs]
    calls: list[int] = []

    def make(own: int, other: int) -> Callable[[int], None]:
        def callback(_events: int) -> None:
            calls.append(own)
            loop.unregister(other)
            loop.unregister(own)
            loop.call_later(0.01, loop.stop)

        return callback

    loop.register(fds[0], READ, make(*fds))
    loop.register(fds[1], READ, make(*reversed(fds)))
    for near, _ in pairs:
        near.send(b"x")
    loop.run()
    for pair in pairs:
        for end in pair:
            end.close()

    assert len(calls) == 1


def test_a_new_owner_gets_the_events_of_a_descriptor(loop: Loop) -> None:
    """After `redirect` the former owner hears nothing, and the descriptor is watched as before."""
    calls: list[str] = []
    left, right = socket.socketpair()
    with left, right:

        def second(_events: int) -> None:
            calls.append("second")
            loop.stop()

        loop.register(right.fileno(), READ, lambda _events: calls.append("first"))
        loop.redirect(right.fileno(), second)
        left.send(b"x")
        loop.run()
        loop.unregister(right.fileno())

    assert calls == ["second"]


def test_a_forgotten_descriptor_may_be_closed_and_its_number_used_again(loop: Loop) -> None:
    """The next descriptor of the same number is registered and gets its own events alone."""
    calls: list[str] = []
    left, right = socket.socketpair()
    number = right.fileno()
    loop.register(number, READ, lambda _events: calls.append("former"))
    left.send(b"x")
    loop.forget(number)
    loop.forget(number)
    right.close()
    left.close()
    pairs = [socket.socketpair() for _ in range(2)]
    ends = [end for pair in pairs for end in pair]
    again = next(end for end in ends if end.fileno() == number)
    other = next(pair[0] if pair[1] is again else pair[1] for pair in pairs if again in pair)

    def ready(_events: int) -> None:
        calls.append("next")
        loop.stop()

    loop.register(number, READ, ready)
    other.send(b"y")
    loop.run()
    loop.unregister(number)
    for end in ends:
        end.close()

    assert calls == ["next"]


def test_what_becomes_ready_is_served_before_what_always_has_more(loop: Loop) -> None:
    """A stream that is ready in each turn comes last in each, and none is left out."""
    calls: list[str] = []
    (more, bulk), (asks, small) = pairs = [socket.socketpair() for _ in range(2)]
    more.send(bytes(100))

    def on_bulk(_events: int) -> None:
        bulk.recv(1)
        calls.append("bulk")
        if len(calls) in (2, 5):
            asks.send(b"x")

    def on_small(_events: int) -> None:
        small.recv(1)
        calls.append("small")

    loop.register(bulk.fileno(), READ, on_bulk)
    loop.register(small.fileno(), READ, on_small)
    for _ in range(5):
        loop.turn(0)
    for end in (end for pair in pairs for end in pair):
        end.close()

    assert calls == ["bulk", "bulk", "small", "bulk", "bulk", "small", "bulk"]


@given(st.lists(st.sets(st.integers(0, 5), min_size=1), max_size=8))
def test_a_turn_serves_all_that_is_ready_and_last_what_was_ready_before(turns: list[set[int]]) -> None:
    """Whatever is ready in whichever turns: each descriptor once in its turn, those of the last turn last."""
    made = Loop(RecordingLog())
    pairs = [socket.socketpair() for _ in range(6)]
    calls: list[int] = []

    def take(number: int) -> None:
        pairs[number][1].recv(1)
        calls.append(number)

    for number, (_, end) in enumerate(pairs):
        made.register(end.fileno(), READ, lambda _events, number=number: take(number))  # type: ignore[misc]
    try:
        former: set[int] = set()
        for ready in turns:
            for number in ready:
                pairs[number][0].send(b"x")
            calls.clear()
            made.turn(0)

            assert sorted(calls) == sorted(ready)
            assert [number in former for number in calls] == sorted(number in former for number in calls)
            former = ready
    finally:
        made.close()
        for end in (end for pair in pairs for end in pair):
            end.close()


def test_another_thread_can_call_and_stop(loop: Loop) -> None:
    """Calls from other threads run in the loop's thread, in order."""
    seen: list[tuple[int, str]] = []

    def other() -> None:
        for number in range(100):
            loop.call_from_thread(lambda n=number: seen.append((n, threading.current_thread().name)))  # type: ignore[misc]
        loop.call_from_thread(loop.stop)

    thread = threading.Thread(target=other)
    thread.start()
    loop.run()
    thread.join()

    assert seen == [(number, threading.current_thread().name) for number in range(100)]


def test_signals_become_calls() -> None:
    """A signal's callback runs in the loop, and closing the loop gives the signal back."""
    before = signal.getsignal(signal.SIGUSR2)
    calls: list[str] = []
    other = Loop(RecordingLog())

    def heard() -> None:
        calls.append("signal")
        other.stop()

    other.on_signal(signal.SIGUSR2, heard)
    other.call_later(0, lambda: os.kill(os.getpid(), signal.SIGUSR2))
    other.call_later(10, other.stop)
    other.run()
    other.close()

    assert calls == ["signal"]
    assert signal.getsignal(signal.SIGUSR2) == before
