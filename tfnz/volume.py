"""Volumes: directories that outlive containers, with one snapshot point."""

import posixpath
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tfnz.base import Taggable

if TYPE_CHECKING:
    from tfnz.connection import Connection

MISSING = "there is no such volume, or it is destroyed already"
"""What is told of volumes that are unknown, destroyed or another account's: one text for all."""


class Volume(Taggable):
    """A volume of this account. Made by `create_volume`, `ensure_volume` and `volume` of a Location.

    `termination_callback` (volume, 0) is called once, when anyone has destroyed it; it may be set later.
    """

    def __init__(self, connection: "Connection", user: bytes, record: Mapping[str, Any]) -> None:
        super().__init__(user, str(record["uuid"]), record.get("tag"))
        self.name = str(record["name"])
        """What the location calls it."""
        self.record: Mapping[str, Any] = record
        """What the location told last: size and used (bytes), node, users (ids of containers)."""
        self.termination_callback: Callable[..., object] | None = None
        self.dead = False
        self.in_hand = False
        """Whether a thread of this program is destroying it, and will call the callback itself."""
        self._connection = connection

    def __repr__(self) -> str:
        return f"<Volume '{self.display_name()}'>"

    def connection(self) -> "Connection":
        """Give the connection that the volume is known by."""
        return self._connection

    def snapshot(self) -> None:
        """Set the one snapshot point to what is in the volume now. Containers may be using it.

        Raises ValueError, TimeoutError.
        """
        self._do("volume.snapshot")

    def rollback(self) -> None:
        """Go back to the snapshot point, else to the volume as it was created; as often as wanted.

        Containers that use it are held meanwhile, and then go on. Raises ValueError, TimeoutError.
        """
        self._do("volume.rollback")

    def ensure_alive(self) -> None:
        """Raise ValueError when it is destroyed."""
        if self.dead:
            raise ValueError(f"{self!r}: {MISSING}")

    @staticmethod
    def trees_intersect(current: Iterable[str], proposed: str) -> tuple[str, str] | None:
        """Tell whether an absolute path lies in, over or on one of others.

        Returns:
            None, or the pair of the lower and the upper path, normalised, that meet first.

        """
        new = _parts(proposed)
        for path in current:
            old = _parts(path)
            short, long = sorted((new, old), key=len)
            if long[: len(short)] == short:
                return _path(long), _path(short)
        return None

    def _do(self, command: str) -> None:
        self.ensure_alive()
        self._connection.call(command, {"name": self.name})


def _parts(path: str) -> list[str]:
    return [part for part in posixpath.normpath(path).split("/") if part]


def _path(parts: list[str]) -> str:
    return "/" + "/".join(parts)
