"""Which containers may connect to which: kept with the containers, enforced by this machine's firewall."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Any

from tflocation import firewall
from tflocation.engines.interface import EngineError, NotFound
from tflocation.engines.lxd import instances
from tflocation.engines.lxd.containers import Containers
from tflocation.engines.lxd.files import Files
from tflocation.engines.lxd.instances import Place
from tflocation.engines.lxd.network import address_of
from tflocation.engines.lxd.process import HOSTS, hosts_file


class Connections:
    """The allowed pairs of one location."""

    def __init__(self, containers: Containers, files: Files, place: Place) -> None:
        self._containers = containers
        self._files = files
        self._place = place
        self._applying = asyncio.Lock()
        self._applied: str | None = None
        self._involved: set[str] | None = None

    async def allow(self, pairs: set[tuple[str, str]], hosts: Mapping[str, Mapping[str, str]]) -> None:
        """See `Engine.set_allowed`."""
        targets: dict[str, set[str]] = defaultdict(set)
        for source, target in pairs:
            targets[source].add(target)
        for raw in await self._containers.raw():
            if instances.is_made(raw):
                with suppress(NotFound):  # destroyed meanwhile
                    await self._remember(raw, targets[raw["name"]], hosts.get(raw["name"], {}))
        await self.enforce()

    async def enforce(self, without: str | None = None) -> None:
        """Bring the firewall to what the containers' own configuration says, but for the one named.

        One that has no part in any pair changes nothing.
        """
        if without is not None and self._involved is not None and without not in self._involved:
            return
        async with self._applying:
            found = await self._containers.raw()
            ips = {
                raw["name"]: IPv4Address(address_of(raw))
                for raw in found
                if raw["name"] != without and address_of(raw)
            }
            allowed = frozenset(
                (ips[raw["name"]], ips[target])
                for raw in found
                if raw["name"] in ips
                for target in instances.connections(raw)
                if target in ips
            )
            self._involved = {
                name
                for raw in found
                for target in instances.connections(raw)
                for name in (raw["name"], target)
            }
            place = self._place
            rules = firewall.Firewall(place.bridge, place.gateway.ip, allowed).ruleset()
            if self._applied is None:
                await self._apply(firewall.guard(place.bridge, place.gateway.network, place.addresses))
            if rules != self._applied:
                await self._apply(rules)
                self._applied = rules

    async def _apply(self, rules: str) -> None:
        try:
            await firewall.apply(rules)
        except firewall.FirewallError as error:
            raise EngineError(f"the firewall of {self._place.bridge}: {error}") from error

    def forget(self) -> None:
        """Apply the rules anew next time, whatever was applied before."""
        self._applied = self._involved = None

    async def _remember(self, raw: dict[str, Any], targets: set[str], hosts: Mapping[str, str]) -> None:
        """Write the container's configuration and its /etc/hosts, where they differ."""
        name, config = raw["name"], raw["config"]
        connects, known = " ".join(sorted(targets)), json.dumps(hosts, sort_keys=True)
        if known != config.get(instances.HOSTS, "{}"):
            text = hosts_file(name, address_of(raw), hosts).encode()
            await self._files.put(name, HOSTS, text)
            # One that starts from here on takes it over by itself.
            if not await self._containers.is_stopped(name):
                await self._files.put(name, "/etc/hosts", text)
        changes = {instances.CONNECTS: connects, instances.HOSTS: known}
        if any(config.get(key, "{}" if key == instances.HOSTS else "") != changes[key] for key in changes):
            await self._containers.configure(name, changes)
