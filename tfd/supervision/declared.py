"""What the configuration asks for, in the words of the wire: names, keys, volumes and probes."""

from collections.abc import Mapping

from tfd.config.model import Config, Container, Health
from tfd.protocol.dataclass import dataclass
from tfd.supervision.placement import Place, Request
from tfd.world import Probe

DIGEST_LENGTH = 24
"""Hexadecimal digits of the identity in a key: 96 bits, far from any accident, short enough to read."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One enabled container of the configuration. `digest` changes whenever it has to be replaced."""

    environment: str
    container: Container
    probe: Probe | None
    digest: str

    @property
    def name(self) -> str:
        """The name that the configuration gives it."""
        return self.container.name

    @property
    def wire_name(self) -> str:
        """The name that the location knows: `environment/NAME/replica`."""
        return f"{self.environment}/{self.container.name}/0"

    @property
    def volumes(self) -> tuple[tuple[str, str], ...]:
        """Pairs of a volume's name on the wire and its mount point."""
        return tuple((f"{self.environment}/{name}", mount) for name, mount in self.container.volumes)

    def fits(self, location: str, key: str) -> bool:
        """Tell whether a container at a location was created from this declaration and may be there."""
        allowed = self.container.locations
        return self.generation(key) is not None and (not allowed or location in allowed)

    def request(self, homes: Mapping[str, Place]) -> Request:
        """Give what it needs of a node; `homes` is where its volumes are being created."""
        return Request(
            name=self.wire_name,
            image=self.container.image,
            memory=self.container.memory,
            locations=self.container.locations,
            volumes=tuple(name for name, _ in self.volumes),
            homes=homes,
        )

    def key(self, generation: int) -> str:
        """Give the idempotency key under which this declaration is created for the n-th time."""
        return f"{self.digest}-{generation}"

    def generation(self, key: str) -> int | None:
        """Give the generation in a key of this declaration, None where the key is of another one."""
        digest, _, number = key.partition("-")
        return int(number) if digest == self.digest and number.isdecimal() else None


def declared(config: Config) -> dict[str, Declared]:
    """Give every enabled container of a configuration by its name."""
    ports = {listener.container: listener.port for listener in reversed(config.listeners)}
    return {
        name: Declared(
            environment=config.daemon.environment,
            container=container,
            probe=_probe(container, ports.get(name)),
            digest=container.identity().hex()[:DIGEST_LENGTH],
        )
        for name, container in config.containers.items()
        if container.enabled
    }


def _probe(container: Container, port: int | None) -> Probe | None:
    """Give the declared probe, else a TCP connection to the first listener's port, else none."""
    health = container.health or (Health(port=port) if port is not None else None)
    if health is None:
        return None
    return Probe(health.port, health.http, health.interval, health.timeout, health.rise, health.fall)
