"""What connections need of the listener that accepted them and of the proxy that they belong to."""

from typing import TYPE_CHECKING, Protocol

from tfd.protocol.dataclass import dataclass
from tfd.protocol.drivers.log import Log
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.drivers.relaying.channels import ChannelPool
from tfd.protocol.drivers.relaying.routes import Routes
from tfd.protocol.drivers.relaying.tickets import TicketSource

if TYPE_CHECKING:
    from tfd.protocol.drivers.relaying.connection import Connection


class Listener(Protocol):
    """What a connection needs of the listener that accepted it.

    `container` is what its route is looked up by; `connect_timeout` is seconds.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def container(self) -> str: ...  # noqa: D102
    @property
    def port(self) -> int: ...  # noqa: D102
    @property
    def connect_timeout(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Shared:
    """What all connections of one proxy use."""

    loop: Loop
    log: Log
    tickets: TicketSource
    pool: ChannelPool
    routes: Routes
    connections: "set[Connection]"
    buffer: memoryview
