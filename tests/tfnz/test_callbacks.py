"""Callbacks of user code: how many arguments they get, and on which thread."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.waiting import wait_for
from tfnz.callbacks import Callbacks, call_fitting

LIMIT = 10.0


class Taker:
    """Callables of all kinds, which keep what they got."""

    def __init__(self) -> None:
        self.got: list[tuple[object, ...]] = []

    def none(self) -> None:
        """Take nothing."""
        self.got.append(())

    def one(self, first: object) -> None:
        """Take one."""
        self.got.append((first,))

    def two(self, first: object, second: object) -> None:
        """Take two."""
        self.got.append((first, second))

    def optional(self, first: object = None, second: object = 0, third: object = 3) -> None:
        """Take up to three."""
        self.got.append((first, second, third))

    def keyword(self, first: object, *, second: object = 5) -> None:
        """Take one, and another by its name alone."""
        self.got.append((first, second))

    def any(self, *arguments: object) -> None:
        """Take what comes."""
        self.got.append(arguments)

    def __call__(self, first: object) -> None:
        """Take one."""
        self.got.append((first,))


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        (lambda taker: taker.none, ()),
        (lambda taker: taker.one, (1,)),
        (lambda taker: taker.two, (1, 2)),
        (lambda taker: taker.optional, (1, 2, 3)),
        (lambda taker: taker.keyword, (1, 5)),
        (lambda taker: taker.any, (1, 2)),
        (lambda taker: taker, (1,)),
        (lambda taker: lambda first: taker.got.append((first,)), (1,)),
        (lambda taker: lambda first, second: taker.got.append((first, second)), (1, 2)),
        (lambda taker: functools.partial(taker.two, 0), (0, 1)),
        (lambda taker: functools.partial(Taker.one, taker), (1,)),
    ],
)
def test_a_callback_gets_what_it_has_parameters_for(
    callback: Callable[[Taker], Callable[..., object]], expected: tuple[object, ...]
) -> None:
    """Functions, methods, partials, objects; of one argument or two."""
    taker = Taker()
    call_fitting(callback(taker), (1, 2))

    assert taker.got == [expected]


def test_built_in_functions_are_called_too() -> None:
    """What they take is told by their signature."""
    got: list[object] = []
    call_fitting(got.append, (1, 2))
    event = threading.Event()
    call_fitting(event.set, (1, 2))

    assert got == [1]
    assert event.is_set()


def test_order_thread_and_errors() -> None:
    """They run in order on one thread, which is not the caller's and ends when it is idle."""
    errors: list[BaseException] = []
    callbacks = Callbacks("callbacks of a test", errors.append)
    calls: list[tuple[int, threading.Thread]] = []

    def fail(*_: Any) -> None:
        raise SystemExit(3)

    for number in range(100):
        callbacks.put(lambda number=number: calls.append((number, threading.current_thread())))
        callbacks.put(None)
        if number == 50:
            callbacks.put(fail, 1, 2)
    wait_for(lambda: len(calls) == 100, LIMIT, "all of them")

    assert [number for number, _ in calls] == list(range(100))
    assert len({thread for _, thread in calls}) == 1
    thread = calls[0][1]
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert [type(error) for error in errors] == [SystemExit]
    wait_for(lambda: not thread.is_alive(), LIMIT, "the thread to end")
    callbacks.put(lambda: calls.append((-1, threading.current_thread())))
    wait_for(lambda: len(calls) == 101, LIMIT, "a new one")


def test_one_may_be_called_here() -> None:
    """In the caller's thread, and what it raises is told, not raised."""
    errors: list[BaseException] = []
    callbacks = Callbacks("callbacks of a test", errors.append)
    threads: list[threading.Thread] = []
    callbacks.call(lambda _: threads.append(threading.current_thread()), 1)
    callbacks.call(lambda: 1 // 0)
    callbacks.call(None, 1)

    assert threads == [threading.current_thread()]
    assert [type(error) for error in errors] == [ZeroDivisionError]
