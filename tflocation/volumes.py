"""What is decided about volumes: their records, their tags, and those that are destroyed once they are free.

Pure: no I/O. A volume that leaves has an entry in the engine's memory area, so that a restarted service
goes on waiting for it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tfd.protocol.command_types import TAG
from tfd.protocol.errors import Code, CommandError
from tfd.protocol.schema import Mismatch
from tflocation.engines.interface import VolumeInfo
from tflocation.uuids import derived

SDK = "sdk/"
"""What the names of volumes begin with that are made by `volume.create`; the rest is the UUID."""

MAX_VOLUMES = 1024
"""Volumes of one account: their records fit into one message."""

PREFIX = "leaving."


@dataclass(frozen=True, slots=True)
class Leaving:
    """A volume to be destroyed once no container of the session `holder` (hexadecimal id) has it."""

    account: str
    name: str
    holder: str

    @property
    def key(self) -> str:
        """Where the memory area keeps it: no account's name holds a slash."""
        return f"{PREFIX}{self.account}/{self.name}"

    @property
    def value(self) -> str:
        """What the memory area keeps."""
        return json.dumps({"holder": self.holder})


def leaving(memory: Mapping[str, str]) -> dict[tuple[str, str], Leaving]:
    """Read the volumes that leave, by account and name.

    An entry that cannot be read has no holder, so that its volume comes back if anybody uses it.
    """
    found = {}
    for key, value in memory.items():
        account, slash, name = key.removeprefix(PREFIX).partition("/")
        if not key.startswith(PREFIX) or not slash:
            continue
        try:
            holder = json.loads(value)["holder"]
        except (ValueError, TypeError, KeyError, RecursionError):
            holder = ""
        found[account, name] = Leaving(account, name, holder if isinstance(holder, str) else "")
    return found


def uuid_of(account: str, name: str) -> str:
    """Give a volume's UUID: part of the name of one that the SDK made, else derived from the name."""
    return name.removeprefix(SDK) if name.startswith(SDK) else derived("volume", account, name)


def records(volumes: Iterable[VolumeInfo]) -> list[dict[str, Any]]:
    """Give the volumes of one account as they travel.

    A declared volume has its name as its tag, in lower case, unless that is another's: a tag is never
    given twice.
    """
    ordered = sorted(volumes, key=lambda volume: volume.name)
    taken = {volume.tag for volume in ordered if volume.tag}
    found = []
    for volume in ordered:
        tag = volume.tag or _derived_tag(volume.name, taken)
        if tag is not None:
            taken.add(tag)
        found.append(
            {
                "name": volume.name,
                "uuid": uuid_of(volume.account, volume.name),
                "tag": tag,
                "node": volume.node,
                "size": volume.size,
                "used": volume.used,
                "users": sorted(volume.users),
                "synchronous": volume.synchronous,
            }
        )
    return found


def check_tag(tag: str, own: Iterable[VolumeInfo]) -> None:
    """Refuse a tag that one of the account's volumes has. Raises CommandError exists."""
    if any(record["tag"] == tag for record in records(own)):
        raise CommandError(Code.EXISTS, f"the tag {tag} is another volume's; choose one, or destroy that one")


def missing(name: str) -> CommandError:
    """Give the one answer about a volume that is not the account's, whoever else may have such a one."""
    return CommandError(Code.NOT_FOUND, f"there is no volume {name}")


def _derived_tag(name: str, taken: set[str]) -> str | None:
    if name.startswith(SDK):
        return None
    try:
        tag = TAG.check(name.lower(), "tag")
    except Mismatch:
        return None
    return None if tag in taken else tag
