"""What a client's connection is between two processes."""

from tfd.protocol.dataclass import dataclass, field
from tfd.protocol.drivers.relaying.channels import Endpoint
from tfd.protocol.relay import RelayState, Replay
from tfd.protocol.route import Route


@dataclass(frozen=True, slots=True)
class ListenerState:
    """The listener of a connection from before, whether or not it is still there."""

    name: str
    container: str
    port: int
    connect_timeout: float


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """Everything that a connection is, but for its sockets, for another process to go on with.

    `remaining` are the seconds that its container has to answer, None when it has. `relay` is None while the
    connection is held without a channel. `client` and `channel` are the sockets' cookies.
    """

    listener: ListenerState
    remaining: float | None
    greeting: bytes = field(repr=False)
    replay: Replay
    route: Route | None
    trouble: tuple[str, str]
    endpoint: Endpoint | None
    client_gone: bool
    bytes_in: int
    bytes_out: int
    relay: RelayState | None
    client: int
    channel: int | None
