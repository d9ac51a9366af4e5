"""Where a relayed connection leads."""

from tfd.protocol.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """Where connections for a declared container go: a container's id at a location."""

    location: str
    container: str
