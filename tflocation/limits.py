"""What one account may use of a location, and the check made before more is given. Pure: no I/O."""

from dataclasses import dataclass

from tfd.protocol.errors import CommandError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds for one account.

    Attributes:
        containers: number of containers that exist, running or not.
        memory: bytes, the sum of the memory limits of the account's containers.
        volumes: bytes, the sum of the sizes of the account's volumes.
        container_memory: bytes given to a container that declares no memory limit of its own.
        volume_size: bytes given to a volume that is created without a size.

    """

    containers: int = 64
    memory: int = 64 * GIB
    volumes: int = 256 * GIB
    container_memory: int = 1 * GIB
    volume_size: int = 4 * GIB


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account has at the moment, in the units of `Limits`."""

    containers: int = 0
    memory: int = 0
    volumes: int = 0


def check_container(limits: Limits, usage: Usage, memory: int) -> None:
    """Refuse one more container of `memory` bytes where it would exceed the limits.

    Raises CommandError `limit`, saying which limit, its value, what is in use and what was asked for.
    """
    if usage.containers + 1 > limits.containers:
        raise CommandError(
            "limit",
            f"containers: the account's limit is {limits.containers}, and {usage.containers} exist; "
            "1 more asked for",
        )
    if usage.memory + memory > limits.memory:
        raise CommandError("limit", _bytes_message("memory", limits.memory, usage.memory, memory))


def check_volumes(limits: Limits, usage: Usage, size: int) -> None:
    """Refuse `size` more bytes of volumes where they would exceed the limits.

    Raises CommandError `limit`, saying the limit's value, what is in use and what was asked for.
    """
    if usage.volumes + size > limits.volumes:
        raise CommandError("limit", _bytes_message("volumes", limits.volumes, usage.volumes, size))


def _bytes_message(what: str, limit: int, used: int, asked: int) -> str:
    return (
        f"{what}: the account's limit is {readable(limit)}, {readable(used)} is in use, "
        f"{readable(asked)} more asked for"
    )


def readable(size: int) -> str:
    """`size` bytes as people write it: the largest binary unit that keeps the number exact enough."""
    for factor, unit in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} B"
