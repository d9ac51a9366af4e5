"""What the location's watchers were told last, so that each change is told once. Pure: no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tflocation import keyvalues
from tflocation.keyvalues import Value

Body = dict[str, Any]

Name = tuple[str, str]
"""Of a volume: its account and its name."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event for the sessions of `account` that watch; None means all accounts'."""

    account: str | None
    event: str
    body: Body


class Watching:
    """Nodes, volumes, key-value stores and domains as they were told last.

    Attributes:
        stamp: grows with each volume that is told by itself; a list of volumes asked for at an older stamp
            may lack or still have one.

    """

    def __init__(self) -> None:
        self._nodes: dict[str, Body] = {}
        self._volumes: dict[Name, Body] = {}
        self._keys: dict[str, dict[str, Value]] = {}
        self._domains: dict[str, list[Body]] = {}
        self.stamp = 0

    def nodes(self) -> list[Body]:
        """Give all nodes."""
        return list(self._nodes.values())

    def volumes(self, account: str) -> list[Body]:
        """Give the account's volumes."""
        return [record for (owner, _), record in self._volumes.items() if owner == account]

    def keys(self, account: str) -> Mapping[str, Value]:
        """Give the account's key-value store."""
        return self._keys.get(account, {})

    def domains(self, account: str) -> list[Body]:
        """Give the domains that the account may publish under."""
        return self._domains.get(account, [])

    def take_nodes(self, records: Iterable[Body]) -> list[Told]:
        """Take all nodes."""
        fresh = {record["name"]: record for record in records}
        gone = [Told(None, "node.gone", {"name": name}) for name in self._nodes.keys() - fresh.keys()]
        changed = [
            Told(None, "node.changed", {"node": record})
            for name, record in fresh.items()
            if self._nodes.get(name) != record
        ]
        self._nodes = fresh
        return gone + changed

    def take_volumes(self, records: Mapping[str, Iterable[Body]], asked_at: int) -> list[Told] | None:
        """Take all volumes by account; None where the list is older than what was told meanwhile."""
        if asked_at != self.stamp:
            return None
        fresh = {(account, record["name"]): record for account, own in records.items() for record in own}
        told = [self._gone(name) for name in self._volumes.keys() - fresh.keys()]
        changed = [name for name, record in fresh.items() if self._volumes.get(name) != record]
        self._volumes = fresh
        return told + [
            Told(account, "volume.changed", {"volume": fresh[account, name]}) for account, name in changed
        ]

    def take_volume(self, account: str, record: Body) -> list[Told]:
        """Take one volume as it is now."""
        self.stamp += 1
        if self._volumes.get((account, record["name"])) == record:
            return []
        self._volumes[account, record["name"]] = record
        return [Told(account, "volume.changed", {"volume": record})]

    def drop_volume(self, account: str, name: str) -> list[Told]:
        """Forget a volume that is no longer there."""
        self.stamp += 1
        if (account, name) not in self._volumes:
            return []
        told = [self._gone((account, name))]
        del self._volumes[account, name]
        return told

    def use_volume(self, account: str, name: str, users: list[str]) -> list[Told]:
        """Take which containers have a volume; nothing where the volume is not known."""
        known = self._volumes.get((account, name))
        return [] if known is None else self.take_volume(account, known | {"users": users})

    def take_keys(self, stores: Mapping[str, Mapping[str, Value]]) -> list[Told]:
        """Take the key-value stores of all accounts."""
        told = []
        for account in self._keys.keys() | stores.keys():
            changes = keyvalues.difference(self.keys(account), stores.get(account, {}))
            if changes:
                told.append(Told(account, "keys.changed", {"changes": changes}))
        self._keys = {account: dict(store) for account, store in stores.items()}
        return told

    def take_domains(self, account: str, domains: list[Body]) -> list[Told]:
        """Take the domains that the account may publish under."""
        if self.domains(account) == domains:
            return []
        self._domains[account] = domains
        return [Told(account, "domains.changed", {"domains": domains})]

    def _gone(self, name: Name) -> Told:
        body = {"name": name[1], "uuid": self._volumes[name]["uuid"]}
        return Told(name[0], "volume.gone", body)
