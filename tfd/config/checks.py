"""What must hold between the tables of a configuration, beyond each value by itself."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from tfd.config.problems import key_text, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from tfd.config.model import Container, Listener, Metrics
    from tfd.config.problems import KeyPath, Place
    from tfd.protocol.address import Address

ANY_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104 (the wildcard addresses are looked for, not bound)


def check_containers(containers: Mapping[str, Container], names: Collection[str], top: Place) -> None:
    """Check `connects_to` against the containers' names, and files against the volumes over them."""
    for container in containers.values():
        place = top.at("container").at(container.name)
        for position, other in enumerate(container.connects_to):
            inner = place.at("connects_to").at(position)
            if other == container.name:
                inner.wrong(f"{shown(other)}, which is this container itself", "the names of others")
            elif other not in names:
                inner.unknown(other, f"{shown(other)}, which is no container", names)
        mounts = {mount for _, mount in container.volumes}
        for path, _ in container.files:
            if hidden := mounts & {path, *_parents(path)}:
                hint = f"the volume at {min(hidden)} would hide it"
                place.at("files").at(path).wrong("a file in a volume", "a path outside of volumes", hint)


def _parents(path: str) -> Iterator[str]:
    """Give the directories above an absolute path."""
    while path != "/":
        path = posixpath.dirname(path)
        yield path


def check_locations(containers: Mapping[str, Container], known: Collection[str], top: Place) -> None:
    """Check each container's `location` against those that are declared or joined."""
    for container in containers.values():
        place = top.at("container").at(container.name).at("location")
        for name in container.locations:
            if name not in known:
                place.unknown(name, f"{shown(name)}, which is neither joined nor declared", known)


def check_listeners(listeners: Sequence[tuple[int, Listener]], names: Collection[str], top: Place) -> None:
    """Check that listeners, with their positions, name containers that exist."""
    for position, listener in listeners:
        place = top.at("listener").at(position)
        if listener.container and listener.container not in names:
            found = f"{shown(listener.container)}, which is no container"
            place.at("container").unknown(listener.container, found, names)


def check_addresses(listeners: Sequence[tuple[int, Listener]], metrics: Metrics, top: Place) -> None:
    """Check that no address is bound twice, and that metrics are shown to others only where that was said."""
    taken = _Taken()
    for position, listener in listeners:
        taken.add_all(listener.binds, top.at("listener").at(position).at("bind"))
    place = top.at("metrics").at("bind")
    taken.add_all(metrics.binds, place)
    for address in metrics.binds:
        if not metrics.allow and not _is_of_this_machine(address):
            allowed = 'an address of loopback, such as "127.0.0.1:9164", or "unix:/path"'
            hint = 'or say who may look, besides this machine: allow = ["192.0.2.7"]'
            place.wrong(f"'{address}', which others may reach", allowed, hint)


class _Taken:
    """The addresses bound so far.

    Every address of a family overlaps each of that family with the same port. Every IPv6 address does not
    hold the IPv4 ones: listeners are bound with IPV6_V6ONLY. A host name overlaps only itself, as what it
    resolves to is not known here.
    """

    def __init__(self) -> None:
        self.keys: dict[Address, KeyPath] = {}
        self._first: dict[tuple[int, int], Address] = {}  # by family and port
        self._wild: dict[tuple[int, int], Address] = {}

    def add_all(self, addresses: Sequence[Address], place: Place) -> None:
        """Add what `place` binds, and report there what cannot be bound beside the others."""
        for address in addresses:
            other = self.overlapping(address)
            if other is None:
                self.add(address, place.key)
                continue
            key = self.keys[other]
            line = place.report.line_of(key)
            where = key_text(key) if line is None else f"{key_text(key)} on line {line}"
            place.wrong(f"'{address}', where '{other}' of {where} listens already", "each address once")

    def add(self, address: Address, key: KeyPath) -> None:
        self.keys[address] = key
        if family := _family(address):
            self._first.setdefault((family, address.port), address)
            if address.host in ANY_ADDRESSES:
                self._wild[(family, address.port)] = address

    def overlapping(self, address: Address) -> Address | None:
        """Return one that cannot be bound beside `address`."""
        if address in self.keys:
            return address
        same = self._first if address.host in ANY_ADDRESSES else self._wild
        return same.get((_family(address), address.port))


def _is_of_this_machine(address: Address) -> bool:
    """Whether only this machine reaches it. What a name resolves to is not known here.

    Nor is what a socket unit binds; that others are refused there all the same is the server's affair.
    """
    if address.is_unix or address.passed or address.host in ("localhost", "::1"):
        return True
    return _family(address) == 4 and address.host.startswith("127.")


def _family(address: Address) -> int:
    """Return 4, 6, or 0 for a name and a Unix socket."""
    if ":" in address.host:
        return 6
    return 4 if address.host.replace(".", "").isdecimal() else 0
