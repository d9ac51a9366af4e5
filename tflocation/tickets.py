"""One-time tickets: the right to open one channel to a container's port or to a pipe, once and soon.

Rule of this file: no I/O; the time is a parameter, in seconds of one monotonic clock.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tfd.protocol.channel import random_ticket
from tfd.protocol.errors import Code, CommandError

LIFETIME: Final = 60.0
"""Seconds in which a ticket must be presented."""

MOST: Final = 4096
"""Tickets that one account may hold unused."""

REMEMBERED: Final = 4096
"""Used tickets that are told from unknown ones: 0.7 MB. All of a lifetime were 46, at 1,500 a second."""


@dataclass(frozen=True, slots=True)
class PortTarget:
    """A channel that leads to a container's port."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class PipeTarget:
    """A channel that carries a pipe, by its id of 16 bytes."""

    pipe: bytes


Target = PortTarget | PipeTarget


@dataclass(frozen=True, slots=True)
class Grant:
    """A ticket as the location knows it. `id` has 16 bytes, `key` 32."""

    id: bytes
    key: bytes
    cipher: str
    account: str
    container: str
    target: Target
    expires: float


class Refusal(StrEnum):
    """Why a ticket that was presented is not good."""

    UNKNOWN = "unknown"
    USED = "used before"
    EXPIRED = "expired"


class Tickets:
    """The tickets that are out, and those that were used not long ago.

    Args:
        lifetime: seconds in which a ticket must be presented.
        most: unused tickets that one account may hold.
        remembered: used tickets, of all accounts, that are told from unknown ones.
        random: gives a new id and key.

    """

    def __init__(
        self,
        *,
        lifetime: float = LIFETIME,
        most: int = MOST,
        remembered: int = REMEMBERED,
        random: Callable[[], tuple[bytes, bytes]] = random_ticket,
    ) -> None:
        self.lifetime = lifetime
        self._most = most
        self._remembered = remembered
        self._random = random
        # All live equally long, so both are in the order in which they expire, and the first go first: a
        # plain dict would pass by the places of all that went before at each look at its first.
        self._grants: OrderedDict[bytes, Grant] = OrderedDict()
        self._used: OrderedDict[bytes, float] = OrderedDict()
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._grants)

    def mint(self, account: str, container: str, target: Target, now: float, cipher: str) -> Grant:
        """Make a ticket for one channel to `target`, which is in or of `container`.

        Raises:
            CommandError: the account holds too many tickets that it has not used (code "limit").

        """
        self.expire(now)
        if self._held[account] >= self._most:
            raise CommandError(Code.LIMIT, f"the account holds {self._most} unused tickets; use those first")
        ticket, key = self._random()
        grant = Grant(ticket, key, cipher, account, container, target, now + self.lifetime)
        self._grants[ticket] = grant
        self._held[account] += 1
        return grant

    def redeem(self, ticket: bytes, now: float) -> Grant | Refusal:
        """Take a ticket that was presented: whatever the answer, it is not good again.

        Used ones are unknown once many others were used.
        """
        grant = self._grants.get(ticket)
        if grant is None:
            return Refusal.USED if ticket in self._used else Refusal.UNKNOWN
        self._drop(grant)
        if now >= grant.expires:
            return Refusal.EXPIRED
        self._used[ticket] = grant.expires
        if len(self._used) > self._remembered:
            self._used.popitem(last=False)
        return grant

    def unused(self, now: float) -> list[Grant]:
        """Give the tickets that may still be presented."""
        self.expire(now)
        return list(self._grants.values())

    def take_over(self, grant: Grant) -> None:
        """Know a ticket that the process before has given; those that expire first come first."""
        self._grants[grant.id] = grant
        self._held[grant.account] += 1

    def revoke(self, account: str) -> int:
        """Withdraw the account's tickets, and tell how many there were."""
        return self._withdraw(lambda grant: grant.account == account)

    def forget(self, container: str) -> int:
        """Withdraw the tickets for a container's ports: its address may soon be another's.

        Those for its pipes stay: what was said last may still wait there. Tells how many there were.
        """
        return self.withdraw(lambda grant: grant.container == container)

    def withdraw(self, condition: Callable[[Grant], bool]) -> int:
        """Withdraw the tickets for ports that meet a condition, and tell how many there were."""
        return self._withdraw(lambda grant: isinstance(grant.target, PortTarget) and condition(grant))

    def expire(self, now: float) -> None:
        """Forget what is too old to be presented, used or not."""
        while self._grants:
            grant = next(iter(self._grants.values()))
            if now < grant.expires:
                break
            self._drop(grant)
        while self._used:
            ticket = next(iter(self._used))
            if now < self._used[ticket]:
                break
            del self._used[ticket]

    def _withdraw(self, condition: Callable[[Grant], bool]) -> int:
        found = [grant for grant in self._grants.values() if condition(grant)]
        for grant in found:
            self._drop(grant)
        return len(found)

    def _drop(self, grant: Grant) -> None:
        del self._grants[grant.id]
        self._held[grant.account] -= 1
        if not self._held[grant.account]:
            del self._held[grant.account]
