"""What a checked configuration is: frozen values, compared by what they say.

This module imports nothing of ours and reads nothing, so every part of the daemon may hold these values
without the parser. A reload compares them: equal values mean that nothing is to be done.
Times are seconds, sizes are bytes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from tfd.protocol.address import Address
from tfd.protocol.dataclass import dataclass, field
from tfd.protocol.drivers.relaying.proxy_protocol import ProxyProtocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Network, IPv6Network

    Network: TypeAlias = IPv4Network | IPv6Network

IMAGE_SCHEMES = ("oci-archive:", "docker-archive:", "oci:")
"""How an image that lies on this machine is written, besides a bare path (containers-transports(5))."""


def is_local_image(image: str) -> bool:
    """Tell whether an image lies on this machine, to be brought to the location."""
    return image.startswith(("/", *IMAGE_SCHEMES))


class Restart(StrEnum):
    """What happens when a container's process has ended."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Daemon:
    """`[daemon]`: what concerns the daemon as a whole. `heartbeat` and `lease` are seconds."""

    environment: str = "prod"
    log_level: str = "info"
    heartbeat: float = 2.0
    lease: float = 30.0


@dataclass(frozen=True, slots=True)
class Health:
    """`health`: how a container's answer is asked for, from the location's side.

    With `http` it is a GET of that path, else a TCP connection to `port`. `interval` and `timeout` are
    seconds; `rise` good answers in a row make a container good, `fall` bad ones make it bad.
    """

    port: int
    http: str | None = None
    interval: float = 2.0
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3


@dataclass(frozen=True, slots=True)
class FileSource:
    """Where one of a container's files comes from: `path` on this machine, else `content`.

    `digest` is the BLAKE2b-256 of the bytes when the configuration was read, so a file that has changed makes
    an unequal value at the next reload; the bytes of `path` are not kept. `mode` is the permission bits.
    """

    path: str | None
    content: bytes | None
    digest: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Container:
    """`[container.NAME]`: one declared container.

    `image` is a reference, or an absolute path where it lies on this machine (with its scheme if one was
    written); `image_stamp` then changes when that file does. `memory` is bytes, `cpus` processors,
    `processes` a count; None is the location's default. No `command` or `entrypoint` (None) means the
    image's own. No `health` means a TCP connection to the port that a listener names. No `locations` means
    the best node of all. `connects_to` names the containers that this one may reach. `log` says whether its
    output goes to the journal.
    """

    name: str
    image: str
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: tuple[tuple[str, str], ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, FileSource], ...] = ()
    memory: int | None = None
    cpus: float | None = None
    processes: int | None = None
    restart: Restart = Restart.ALWAYS
    health: Health | None = None
    locations: tuple[str, ...] = ()
    connects_to: tuple[str, ...] = ()
    log: bool = True
    enabled: bool = True
    image_stamp: str = ""

    def identity(self) -> bytes:
        """Digest of all that a running container cannot change: 32 bytes, stable over processes and versions.

        Two declarations with the same identity are served by the same container; with another, it is
        replaced. It covers image, command, entrypoint, environment, volumes, files (their contents as they
        were when the configuration was read), memory, cpus and processes, and leaves out name, restart,
        health, locations, connects_to, log and enabled, which change in place. It reads and raises nothing.
        """
        # libsodium's BLAKE2b: hashlib would load all of OpenSSL, 3.7 MB, for nothing else.
        from nacl.bindings import crypto_generichash_blake2b_salt_personal

        parts = _flattened(
            ("image", self.image, self.image_stamp),
            ("command", self.command),
            ("entrypoint", self.entrypoint),
            ("environment", self.environment),
            ("volumes", self.volumes),
            ("files", tuple((path, source.digest, source.mode) for path, source in self.files)),
            ("limits", self.memory, self.cpus, self.processes),
        )
        digest: bytes = crypto_generichash_blake2b_salt_personal(
            b"".join(parts), digest_size=32, person=b"tfd.container"
        )
        return digest


@dataclass(frozen=True, slots=True)
class Listener:
    """`[[listener]]`: local sockets that lead to one port of one declared container.

    `name` is the first bind address as it was written. `connect_timeout` is seconds that an accepted
    connection waits for the container. Without `allow`, every address may connect.
    """

    name: str
    binds: tuple[Address, ...]
    container: str
    port: int
    proxy_protocol: ProxyProtocol = ProxyProtocol.OFF
    connect_timeout: float = 30.0
    max_connections: int = 10_000
    allow: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Metrics:
    """`[metrics]`: where tfd shows over HTTP how it is; without `binds`, nowhere.

    This machine may always look; others only where `allow` has their address.
    """

    binds: tuple[Address, ...] = ()
    allow: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class LocationAddress:
    """`[location.NAME]`: where a location is reached, in the order in which the addresses are tried."""

    name: str
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration file, checked."""

    daemon: Daemon = field(default_factory=Daemon)
    containers: Mapping[str, Container] = field(default_factory=dict)
    listeners: tuple[Listener, ...] = ()
    locations: Mapping[str, LocationAddress] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)


def _flattened(*values: object) -> list[bytes]:
    """Each value as bytes with its kind and length before it: no two structures give the same bytes."""
    parts: list[bytes] = []
    for value in values:
        if isinstance(value, tuple):
            parts.append(b"(%d:" % len(value))
            parts += _flattened(*value)
        else:
            text = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
            parts.append(b"%s%d:%s" % (type(value).__name__[:1].encode(), len(text), text))
    return parts
