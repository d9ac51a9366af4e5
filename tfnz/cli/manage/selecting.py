"""Which container, or which volume, is meant by what the user typed. Decides, and does no I/O."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
"""A container or a volume as the location tells it."""

SDK = "sdk"
"""The environment of containers and volumes that `tf` and programs made; all others are declared."""


class NotFound(ValueError):  # noqa: N818 - it names the condition
    """Nothing has that name; the message says where to look."""


class Ambiguous(ValueError):  # noqa: N818 - it names the condition
    """Several have that name; the message lists them."""


def title(container: Record) -> str:
    """Give what people call a container: its tag or uuid, and for a declared one environment/NAME/replica."""
    if is_declared(container):
        return str(container["name"])
    return str(container["tag"] or container["uuid"])


def is_declared(container: Record) -> bool:
    """Tell whether a tfd.toml declares the container, so that no session holds it."""
    return str(container["name"]).split("/", 1)[0] != SDK


def find_container(containers: Sequence[Record], key: str) -> Record:
    """Give the container that `key` means; raises NotFound or Ambiguous.

    Tried in this order: the whole uuid, id or name; the tag; a declared name without its replica or without
    its environment; the beginning of a uuid.
    """
    found = _first(
        containers,
        (
            lambda one: key in (one["uuid"], one["id"], one["name"]),
            lambda one: one["tag"] is not None and key.lower() == one["tag"],
            lambda one: is_declared(one) and key == _without_replica(one["name"]),
            lambda one: is_declared(one) and key in _without_environment(one["name"]),
            lambda one: bool(key) and str(one["uuid"]).startswith(key),
        ),
    )
    if not found:
        raise NotFound(f"there is no container {key!r}; see: tf ps")
    if len(found) > 1:
        names = ", ".join(sorted(_unique_name(one) for one in found))
        raise Ambiguous(f"{key!r} means {len(found)} containers: {names}; name one of them")
    return found[0]


def find_volume(volumes: Sequence[Record], key: str) -> Record:
    """Give the volume that `key` means: uuid, tag, name or the beginning of a uuid.

    Of uuid:tag and tag:uuid what is before the colon is looked up. Raises NotFound or Ambiguous.
    """
    first = key.partition(":")[0]
    found = _first(
        volumes,
        (
            lambda one: first in (one["uuid"], one["name"]),
            lambda one: one["tag"] is not None and first.lower() == one["tag"],
            lambda one: bool(first) and str(one["uuid"]).startswith(first),
        ),
    )
    if not found:
        raise NotFound(f"there is no volume {key!r}; see: tf volume list")
    if len(found) > 1:
        names = ", ".join(sorted(str(one["uuid"]) for one in found))
        raise Ambiguous(f"{key!r} means {len(found)} volumes: {names}; name one of them")
    return found[0]


def _first(records: Sequence[Record], rules: Sequence[Callable[[Record], bool]]) -> list[Record]:
    """Give what the first rule with any match matches."""
    for rule in rules:
        if found := [one for one in records if rule(one)]:
            return found
    return []


def _unique_name(container: Record) -> str:
    return str(container["name"] if is_declared(container) else container["uuid"])


def _without_replica(name: str) -> str:
    return name.rpartition("/")[0]


def _without_environment(name: str) -> tuple[str, str]:
    """Give NAME/replica and NAME of environment/NAME/replica."""
    rest = name.partition("/")[2]
    return rest, _without_replica(rest)
