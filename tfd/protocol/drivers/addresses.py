"""The addresses of one location, tried one after another; names are resolved anew in each round."""

from collections import deque
from collections.abc import Callable
from typing import Final

from tfd.protocol.address import Address
from tfd.protocol.drivers.loop import Loop, Timer
from tfd.protocol.drivers.resolver import resolve

RESOLVE_LIMIT: Final = 3.0
"""Seconds for the look-up of a name."""


class Addresses:
    """Walks through addresses in rounds, the one that worked last first.

    Args:
        loop: the loop that calls back.
        addresses: in the order in which they are tried at first.
        found: called with the IP address and the port to try next; `present` is what they came from.
        exhausted: called with what went wrong last, when a round is over.

    """

    def __init__(
        self,
        loop: Loop,
        addresses: tuple[Address, ...],
        found: Callable[[str, int], None],
        exhausted: Callable[[str], None],
    ) -> None:
        self.present: Address | None = None
        self._loop = loop
        self._all = deque(addresses)
        self._found = found
        self._exhausted = exhausted
        self._to_resolve: deque[Address] = deque()
        self._to_try: deque[tuple[str, int]] = deque()
        self._attempt = 0
        self._limit: Timer | None = None

    @property
    def all(self) -> tuple[Address, ...]:
        """All addresses, the one that worked last first."""
        return tuple(self._all)

    def replace(self, addresses: tuple[Address, ...]) -> None:
        """Walk through other addresses from the next round on."""
        self._all = deque(addresses)

    def begin(self) -> None:
        """Begin a round with the first address."""
        self._to_resolve = deque(self._all)
        self._to_try.clear()
        self.next("no address is known: write `address` under its [location.NAME]")

    def next(self, reason: str) -> None:
        """Go on after a try that failed for this reason."""
        self._give_up_resolving()
        if self._to_try:
            self._found(*self._to_try.popleft())
        elif self._to_resolve:
            self._resolve(self._to_resolve.popleft())
        else:
            self._exhausted(reason)

    def worked(self) -> None:
        """Begin with the present address from now on."""
        if self.present is not None and self.present in self._all:
            self._all.remove(self.present)
            self._all.appendleft(self.present)

    def stop(self) -> None:
        """Forget the round; nothing is called back until another one begins."""
        self._give_up_resolving()
        self._to_resolve.clear()
        self._to_try.clear()

    def _give_up_resolving(self) -> None:
        self._attempt += 1
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _resolve(self, address: Address) -> None:
        self.present = address
        attempt = self._attempt
        self._limit = self._loop.call_later(
            RESOLVE_LIMIT, lambda: self.next(f"{address} was not found in time by its name")
        )

        def resolved(result: list[str] | str) -> None:
            if attempt != self._attempt:
                return
            if isinstance(result, str):
                self.next(f"{address} is not known: {result}")
            else:
                self._to_try.extend((host, address.port) for host in result)
                self.next(f"{address} has no address")

        resolve(self._loop, address.host, address.port, resolved)
