"""What the operator may set about the engine, and how a running one is found."""

import hashlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOCKETS = (
    Path("/var/lib/incus/unix.socket"),
    Path("/run/incus/unix.socket"),
    Path("/var/lib/lxd/unix.socket"),
    Path("/var/snap/lxd/common/lxd/unix.socket"),
)
SUBNET_BITS = 20  # 4,093 containers on one location


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Where the engine is and what in it is ours.

    `socket` None looks for Incus, then for LXD. `pool` None takes the engine's only storage pool, or the one
    named `default`. `bridge` is the name of our network (at most 15 characters), `subnet` its IPv4 network;
    None takes a free one.
    """

    socket: Path | None = None
    project: str = "tfd"
    pool: str | None = None
    bridge: str = "tfd0"
    subnet: ipaddress.IPv4Network | None = None


def find_socket() -> Path | None:
    """Give the socket of the engine that runs on this machine: Incus before LXD."""
    return next((path for path in SOCKETS if path.is_socket()), None)


def free_subnet(bridge: str, routes: str) -> ipaddress.IPv4Network:
    """Choose a /20 of 10.0.0.0/8 that overlaps no route of this machine, the same one for the same `bridge`.

    `routes` is the text of /proc/net/route (proc(5)).
    """
    taken = list(_networks(routes))
    start = int.from_bytes(hashlib.blake2b(bridge.encode(), digest_size=2).digest(), "big")
    count = 1 << (SUBNET_BITS - 8)
    for step in range(count):
        number = (start + step) % count
        candidate = ipaddress.IPv4Network(((10 << 24) + (number << (32 - SUBNET_BITS)), SUBNET_BITS))
        if not any(candidate.overlaps(other) for other in taken):
            return candidate
    raise ValueError("every subnet of 10.0.0.0/8 is routed already: set the location's subnet")


def _networks(routes: str) -> Iterator[ipaddress.IPv4Network]:
    for line in routes.splitlines()[1:]:
        fields = line.split()
        destination, mask = (int.from_bytes(bytes.fromhex(fields[n]), "little") for n in (1, 7))
        if mask:
            yield ipaddress.IPv4Network((destination, mask.bit_count()))
