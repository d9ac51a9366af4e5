"""What the proxy asks of the rest of the daemon: one-time tickets for channels, and a log."""

from collections.abc import Callable
from typing import Protocol

from tfd.protocol.dataclass import dataclass
from tfd.protocol.route import Route


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to open one channel to one container's port, once.

    `id` has 16 bytes, `key` 32; `cipher` is one of `tfd.protocol.channel.available_ciphers()`. `host`
    (an address or a name) and `port` are where the channel is opened.
    """

    id: bytes
    key: bytes
    cipher: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class TicketFailure:
    """No ticket can be had now. `reason` is one clear line for the log."""

    reason: str


TicketCallback = Callable[[Ticket | TicketFailure], None]


class TicketSource(Protocol):
    """Whoever gives tickets: the links to the locations."""

    def take_ticket(self, route: Route, port: int, callback: TicketCallback) -> None:
        """Call `callback` exactly once, now or later, with a ticket for the container's `port`.

        Never blocks and never raises. A ticket given is the caller's: it is used at once or thrown away.
        """
