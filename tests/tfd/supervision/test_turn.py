"""What was asked for, and when it may be asked for again."""

from dataclasses import replace

import pytest

from tfd.supervision.turn import TRANSIENT, Pending, Turn
from tfd.world import BringImage, DestroyContainer, LocationView, StartContainer, StopContainer, World

VIEW = LocationView("home", connected=True, since=0.0, session=1, listed=True)
START = StartContainer("home", "c")


def turn(pending: Pending, now: float = 0.0, view: LocationView = VIEW) -> Turn:
    """Give a turn in a world of one location."""
    return Turn(World({"home": view}), now, pending)


def test_once() -> None:
    """Of two actions on one container the second waits for the first."""
    pending = Pending()

    assert turn(pending).ask(START)
    assert not turn(pending, 1.0).ask(START)
    assert not turn(pending, 1.0).ask(DestroyContainer("home", "c"))
    assert turn(pending, 1.0).ask(DestroyContainer("home", "d"))

    assert pending.done(START)
    assert not pending.done(START)
    assert turn(pending, 1.0).ask(DestroyContainer("home", "c"))


def test_failure_holds_back() -> None:
    """What failed is asked for again after a back-off that the turn wakes for; success forgets it."""
    pending = Pending()
    turn(pending).ask(START)
    pending.failed(START, "engine", 0.0)

    early = turn(pending, 0.5)
    assert not early.ask(START)
    assert early.wake is not None
    assert 0.5 < early.wake <= 1.0
    assert pending.failing(("container", "home", "c"))

    assert turn(pending, early.wake).ask(START)
    pending.done(START)
    assert not pending.failing(("container", "home", "c"))


@pytest.mark.parametrize("code", sorted(TRANSIENT))
def test_refused_for_good(code: str) -> None:
    """An image that failed for good is not held back, one that failed in passing is."""
    pending = Pending()
    image = BringImage("home", "web")
    for failure, again in (("not-found", True), (code, False)):
        turn(pending).ask(image)
        pending.failed(image, failure, 0.0)

        assert turn(pending).ask(image) is again
        pending.done(image)


def test_nobody_answers() -> None:
    """An action is late after its time, in a session that is over it is forgotten."""
    pending = Pending()
    stop = StopContainer("home", "c", 10.0)
    turn(pending).ask(stop)

    assert pending.expiries() == [70.0]
    assert pending.expired(World({"home": VIEW}), 69.0) == []
    assert pending.expired(World({"home": VIEW}), 70.0) == [stop]
    assert pending.expired(World({"home": replace(VIEW, session=2)}), 1.0) == []
    assert pending.expiries() == []


def test_not_listed() -> None:
    """A location that has not told what it runs is asked nothing."""
    pending = Pending()

    assert not turn(pending, view=replace(VIEW, listed=False)).ask(START)
    assert not turn(pending, view=replace(VIEW, connected=False)).ask(START)


def test_wake_is_the_nearest() -> None:
    """Of several times the nearest wakes, and one that has come does not."""
    now = turn(Pending(), 5.0)

    assert now.reached(5.0)
    assert not now.reached(9.0)
    assert not now.reached(7.0)
    assert now.wake == 7.0
