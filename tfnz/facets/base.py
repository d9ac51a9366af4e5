"""What all that is done with a container needs: that it is there, ready, and not dead."""

from typing import TYPE_CHECKING, Self

from tfnz.base import Connectable, Killable, Waitable

if TYPE_CHECKING:
    from tfnz.location import Location
    from tfnz.node import Node


class Usable(Waitable, Killable, Connectable):
    """A container as the facets see it.

    Args:
        node: where it runs.
        uuid: its id here.

    """

    def __init__(self, node: "Node", uuid: bytes) -> None:
        Waitable.__init__(self)
        Killable.__init__(self)
        self._ip: str | None = None
        Connectable.__init__(self, node.conn(), uuid, node.pk, None)
        self.id = ""
        """The location's own id of it, empty until it has answered."""
        self._node = node
        self._location = node.location()

    def node(self) -> "Node":
        """Give the node it runs on."""
        return self._node

    def parent(self) -> "Node":
        """Give the node it runs on."""
        return self._node

    def location(self) -> "Location":
        """Give its location."""
        return self._location

    def container_id(self) -> str:
        """Give the location's own id of it. Raises ValueError when it is dead."""
        return self._usable().id

    def _usable(self) -> Self:
        """Wait until it is ready. Raises ValueError when it is dead or will never be ready."""
        if self.dead and self._failure is None:
            self.ensure_alive()
        self.wait_until_ready()
        return self
