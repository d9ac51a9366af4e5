"""Routes: who waits, who uses one, and when the last user has left."""

from tfd.protocol.drivers.relaying.routes import Routes
from tfd.protocol.route import Route

A, B = Route("home", "a"), Route("home", "b")


class Waiting:
    """A connection that counts how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def route_found(self) -> None:
        """Count."""
        self.calls += 1


def test_waiters_go_on_once() -> None:
    """A waiter is called at the first route of its container, and not again."""
    routes, waiting = Routes(), Waiting()
    routes.wait("web", waiting)
    routes.set("other", A)
    assert waiting.calls == 0
    routes.set("web", A)
    routes.set("web", B)

    assert waiting.calls == 1
    assert routes.get("web") == B


def test_a_waiter_may_leave() -> None:
    """Who has stopped waiting is not called."""
    routes, waiting = Routes(), Waiting()
    routes.wait("web", waiting)
    routes.stop_waiting("web", waiting)
    routes.set("web", A)

    assert waiting.calls == 0


def test_a_route_can_be_taken_away() -> None:
    """None is no route."""
    routes = Routes()
    routes.set("web", A)
    routes.set("web", None)

    assert routes.get("web") is None


def test_a_drain_waits_for_the_last_user() -> None:
    """The callback comes with the last user's leaving, or at once where there is none."""
    routes = Routes()
    drained: list[str] = []
    routes.drain(B, lambda: drained.append("b"))
    routes.join(A)
    routes.join(A)
    routes.drain(A, lambda: drained.append("a"))
    routes.leave(A)
    assert drained == ["b"]
    routes.leave(A)

    assert drained == ["b", "a"]
    assert routes.users(A) == 0
