"""What the service knows of the engine's containers: a copy kept fresh by the engine's events.

Tickets, probes and limits are answered from it at once, also while the engine restarts. An answer of the
engine is older than what was learnt while it was on its way; `stamp` tells one from the other.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tfd.protocol.errors import Code, CommandError
from tflocation.engines.interface import ContainerInfo, State
from tflocation.limits import Usage

REMEMBERED = 10_000
"""Changes remembered for lists that are on their way."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A container is new or differs from what was known."""

    container: ContainerInfo


@dataclass(frozen=True, slots=True)
class Gone:
    """A container is no longer there; `container` is what was known of it last."""

    container: ContainerInfo


Difference = Changed | Gone


class Inventory:
    """Containers by id. Pure: the caller asks the engine and tells the answers.

    Attributes:
        loaded: whether a whole list was ever seen; before it nothing can be said about any container.
        stamp: a number that grows with each change; take it before asking the engine.
        rebooting: ids of containers that stop now to start again at once; meanwhile they are starting.

    """

    def __init__(self) -> None:
        self._containers: dict[str, ContainerInfo] = {}
        self._changed_at: dict[str, int] = {}
        self.loaded = False
        self.stamp = 0
        self.rebooting: set[str] = set()

    def replace(self, containers: Iterable[ContainerInfo], asked_at: int) -> list[Difference]:
        """Take a whole list that was asked for at the stamp `asked_at`; gives what differs."""
        fresh = {container.id: container for container in containers}
        differences: list[Difference] = []
        for container_id in list(self._containers):
            if container_id not in fresh and not self.is_stale(container_id, asked_at):
                differences += self.drop(container_id)
        for container_id, new in fresh.items():
            if not self.is_stale(container_id, asked_at):
                differences += self.put(new)
        self.loaded = True
        return differences

    def is_stale(self, container_id: str, asked_at: int) -> bool:
        """Whether what was asked for at this stamp is older than what is known of the container."""
        return self._changed_at.get(container_id, 0) > asked_at

    def put(self, container: ContainerInfo) -> list[Difference]:
        """Take one container's present state; gives what differs."""
        self._touch(container.id)
        if container.id in self.rebooting:
            container = replace(container, state=State.STARTING, exit=None, reason="")
        if self._containers.get(container.id) == container:
            return []
        self._containers[container.id] = container
        return [Changed(container)]

    def drop(self, container_id: str) -> list[Difference]:
        """Forget a container; gives what differs."""
        self._touch(container_id)
        old = self._containers.pop(container_id, None)
        return [] if old is None else [Gone(old)]

    def of(self, account: str) -> list[ContainerInfo]:
        """Give the account's containers."""
        return [container for container in self._containers.values() if container.account == account]

    def all(self) -> list[ContainerInfo]:
        """Give the containers of all accounts."""
        return list(self._containers.values())

    def own(self, account: str, container_id: str) -> ContainerInfo:
        """Give one container of the account.

        Raises CommandError: not-found where it is another's or does not exist, unavailable before the
        engine was heard for the first time.
        """
        container = self._containers.get(container_id)
        if container is not None and container.account == account:
            return container
        if not self.loaded:
            raise CommandError(Code.UNAVAILABLE, "the location's engine has not answered yet; try again")
        raise CommandError(Code.NOT_FOUND, f"there is no container {container_id}")

    def users(self, account: str, volume: str) -> list[ContainerInfo]:
        """Give the account's containers that have the volume."""
        return [container for container in self.of(account) if volume in container.volumes]

    def whereabouts(self, container_id: str) -> tuple[str | None, str]:
        """Give address (None unless its process runs) and state of a container, for probes."""
        container = self._containers.get(container_id)
        if container is None:
            return None, "gone"
        return (container.ip if container.state is State.RUNNING else None), str(container.state)

    def usage(self, account: str, default_memory: int) -> Usage:
        """Sum up the account's containers; one without a memory limit counts `default_memory` bytes."""
        own = self.of(account)
        return Usage(len(own), sum(container.memory or default_memory for container in own))

    def _touch(self, container_id: str) -> None:
        self.stamp += 1
        self._changed_at.pop(container_id, None)
        self._changed_at[container_id] = self.stamp
        if len(self._changed_at) > REMEMBERED:
            del self._changed_at[next(iter(self._changed_at))]
