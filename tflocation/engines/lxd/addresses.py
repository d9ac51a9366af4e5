"""Which address a new container gets: chosen from what is known, without a request for each."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from tflocation.engines.interface import EngineError
from tflocation.engines.lxd.network import addresses, choose_address


class Addresses:
    """The first `count` addresses of a network. `refresh` lists all containers and gives them to `learn`."""

    def __init__(self, gateway: IPv4Interface, count: int, refresh: Callable[[], Awaitable[object]]) -> None:
        self._gateway = gateway
        self._count = count
        self._refresh = refresh
        self._taken: set[IPv4Address] | None = None
        self._reserved: set[IPv4Address] = set()

    def learn(self, containers: list[dict[str, Any]]) -> None:
        """Take note of the addresses that are in use."""
        self._taken = addresses(containers)

    @asynccontextmanager
    async def reserved(self, start: int, refused: set[IPv4Address]) -> AsyncIterator[IPv4Address]:
        """Keep an address, looked for from the `start`th on, until its container is among those in use."""
        if self._taken is None:
            await self._refresh()
        try:
            address = self._choose(start, refused)
        except EngineError:  # some may have been given up since
            await self._refresh()
            address = self._choose(start, refused)
        self._reserved.add(address)
        try:
            yield address
        finally:
            self._reserved.discard(address)

    def _choose(self, start: int, refused: set[IPv4Address]) -> IPv4Address:
        taken = (self._taken or set()) | self._reserved | refused
        return choose_address(self._gateway, self._count, taken, start)
