"""Tickets kept ahead of need, so that a new connection waits for no answer of the location."""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from tfd.protocol.dataclass import dataclass, field
from tfd.protocol.drivers.link import Answer, Failure, Link
from tfd.protocol.drivers.log import Log
from tfd.protocol.drivers.loop import Loop, Timer
from tfd.protocol.drivers.relaying.tickets import Ticket, TicketCallback, TicketFailure

FIRST: Final = 4
MOST: Final = 64
"""Tickets kept for one port of one container; also what one request may take."""

USABLE: Final = 0.8
"""The part of a ticket's lifetime after which it is not given out any more: it must still get there."""

LIMIT: Final = 10.0
"""Seconds that a request for tickets may take."""


@dataclass(slots=True)
class _Shelf:
    """The tickets for one port of one container."""

    tickets: deque[tuple[float, Ticket]] = field(default_factory=deque)
    waiting: deque[TicketCallback] = field(default_factory=deque)
    target: int = FIRST
    asking: bool = False
    timer: Timer | None = None


class Stock:
    """The tickets for one location's containers.

    It starts with a few for each port and doubles that whenever it ran out.
    """

    def __init__(self, loop: Loop, log: Log, link: Link) -> None:
        self._loop = loop
        self._log = log
        self._link = link
        self._shelves: dict[tuple[str, int], _Shelf] = {}

    def prepare(self, container: str, port: int) -> None:
        """Take the first tickets for a port before anyone wants them."""
        self._refill(container, port, self._shelf(container, port))

    def take(self, container: str, port: int, callback: TicketCallback) -> None:
        """Call `callback` once, at once or when the location answered, with a ticket or a failure."""
        shelf = self._shelf(container, port)
        self._drop_old(shelf)
        if shelf.tickets:
            _, ticket = shelf.tickets.popleft()
            if len(shelf.tickets) < shelf.target // 2:
                self._refill(container, port, shelf)
            callback(ticket)
            return
        shelf.waiting.append(callback)
        if not shelf.asking:
            shelf.target = min(MOST, shelf.target * 2)
        self._refill(container, port, shelf)

    def forget(self, keep: Callable[[str], bool]) -> None:
        """Drop the tickets of the containers that `keep` does not want kept."""
        for key in [key for key in self._shelves if not keep(key[0])]:
            shelf = self._shelves.pop(key)
            if shelf.timer is not None:
                shelf.timer.cancel()
            _fail(shelf, f"container {key[0]} is gone")

    def clear(self) -> None:
        """Drop all tickets: the location may have forgotten them, or have moved from where they lead."""
        for (container, port), shelf in self._shelves.items():
            shelf.tickets.clear()
            self._refill(container, port, shelf)

    def close(self) -> None:
        """Drop everything and fail those who wait."""
        self.forget(lambda _: False)

    def _shelf(self, container: str, port: int) -> _Shelf:
        return self._shelves.setdefault((container, port), _Shelf())

    def _refill(self, container: str, port: int, shelf: _Shelf) -> None:
        count = min(MOST, shelf.target - len(shelf.tickets) + len(shelf.waiting))
        if shelf.asking or count <= 0:
            return
        shelf.asking = True
        asked = self._loop.now

        def answered(answer: Answer) -> None:
            shelf.asking = False
            if self._shelves.get((container, port)) is not shelf:
                return
            if isinstance(answer, Failure):
                _fail(shelf, f"no ticket for container {container}: {answer.message}")
                return
            self._put(shelf, answer, asked)
            self._serve(shelf)
            self._watch(container, port, shelf)
            if shelf.waiting:
                self._refill(container, port, shelf)

        params = {"id": container, "port": port, "count": count}
        self._link.request("ticket.take", params, LIMIT, answered)

    def _put(self, shelf: _Shelf, answer: dict[str, Any], asked: float) -> None:
        try:
            cipher = str(answer["cipher"])
            for entry in answer["tickets"]:
                host = str(entry["host"] or self._link.host)
                ticket = Ticket(bytes(entry["id"]), bytes(entry["key"]), cipher, host, int(entry["port"]))
                # Counted from the question: the location's count began no earlier.
                shelf.tickets.append((asked + USABLE * float(entry["lifetime"]), ticket))
        except (KeyError, TypeError, ValueError) as error:
            text = "the location's answer to ticket.take is not understood"
            self._log.limited("stock", "warning", text, location=self._link.name, error=repr(error))
            _fail(shelf, "the location's answer is not understood")

    def _serve(self, shelf: _Shelf) -> None:
        self._drop_old(shelf)
        while shelf.waiting and shelf.tickets:
            shelf.waiting.popleft()(shelf.tickets.popleft()[1])

    def _drop_old(self, shelf: _Shelf) -> None:
        while shelf.tickets and shelf.tickets[0][0] <= self._loop.now:
            shelf.tickets.popleft()

    def _watch(self, container: str, port: int, shelf: _Shelf) -> None:
        """Renew the tickets when the first of them grows old; a stock that nobody used shrinks."""
        if shelf.timer is not None:
            shelf.timer.cancel()
            shelf.timer = None
        if shelf.tickets:
            shelf.timer = self._loop.call_at(shelf.tickets[0][0], lambda: self._renew(container, port, shelf))

    def _renew(self, container: str, port: int, shelf: _Shelf) -> None:
        self._drop_old(shelf)
        shelf.target = max(FIRST, shelf.target // 2)
        self._refill(container, port, shelf)
        if not shelf.asking:
            self._watch(container, port, shelf)


def _fail(shelf: _Shelf, reason: str) -> None:
    waiting, shelf.waiting = shelf.waiting, deque()
    for callback in waiting:
        callback(TicketFailure(reason))
