"""Where the connections of each declared container go, who waits for that, and who uses it. No I/O."""

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from tfd.protocol.route import Route


class Waiter(Protocol):
    """A connection that can go on as soon as there is a route."""

    def route_found(self) -> None:
        """Go on: the container has a route now."""


class Routes:
    """Routes by declared container, with the connections that wait for one and the number that use one."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        # Dictionaries for sets: who came first is served first.
        self._waiting: dict[str, dict[Waiter, None]] = {}
        self._uses: Counter[Route] = Counter()
        self._drains: dict[Route, list[Callable[[], None]]] = {}

    def get(self, container: str) -> Route | None:
        """Give the container's route, None while there is none."""
        return self._routes.get(container)

    def set(self, container: str, route: Route | None) -> None:
        """Change the container's route; those that wait for one go on."""
        if route is None:
            self._routes.pop(container, None)
            return
        self._routes[container] = route
        for waiter in self._waiting.pop(container, {}):
            waiter.route_found()

    def wait(self, container: str, waiter: Waiter) -> None:
        """Have `waiter.route_found` called once, at the next route that is set."""
        self._waiting.setdefault(container, {})[waiter] = None

    def stop_waiting(self, container: str, waiter: Waiter) -> None:
        """Forget a waiter. Harmless when it does not wait."""
        waiting = self._waiting.get(container)
        if waiting is not None:
            waiting.pop(waiter, None)
            if not waiting:
                del self._waiting[container]

    def join(self, route: Route) -> None:
        """Count one more user of the route."""
        self._uses[route] += 1

    def leave(self, route: Route) -> None:
        """Count one user less; the last one out completes the route's drains."""
        self._uses[route] -= 1
        if not self._uses[route]:
            del self._uses[route]
            for callback in self._drains.pop(route, []):
                callback()

    def users(self, route: Route) -> int:
        """Give the number of connections that use the route."""
        return self._uses[route]

    def drain(self, route: Route, callback: Callable[[], None]) -> None:
        """Call `callback` once nobody uses the route, at once when nobody does."""
        if self._uses[route]:
            self._drains.setdefault(route, []).append(callback)
        else:
            callback()
