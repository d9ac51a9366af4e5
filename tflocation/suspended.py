"""What the location's end of the channels is between two processes."""

from dataclasses import dataclass, field

from tfd.protocol.relay import RelayState
from tflocation.tickets import PortTarget


@dataclass(frozen=True, slots=True)
class SuspendedChannel:
    """A channel to a container's port. `plain` and `channel` are the sockets' cookies."""

    account: str
    container: str
    target: PortTarget
    plain_gone: bool
    relay: RelayState
    plain: int
    channel: int


@dataclass(frozen=True, slots=True)
class SuspendedTicket:
    """A ticket to a container's port that nobody has presented yet, for `remaining` seconds."""

    id: bytes = field(repr=False)
    key: bytes = field(repr=False)
    cipher: str
    account: str
    container: str
    target: PortTarget
    remaining: float


@dataclass(frozen=True, slots=True)
class SuspendedNewcomer:
    """A connection to the channel port that has presented a part of a ticket at most."""

    opening: bytes = field(repr=False)
    channel: int
