"""The data plane of one connection: channels for pipes and tunnels, over one pool. In its loop's thread."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from tfd.protocol.drivers.link import Answer, Failure, Link
from tfd.protocol.drivers.log import Log
from tfd.protocol.drivers.loop import Loop, Timer
from tfd.protocol.drivers.relaying.channels import ChannelPool
from tfd.protocol.drivers.relaying.driver import new_buffer
from tfd.protocol.drivers.stock import Stock
from tfd.protocol.errors import Code
from tfd.protocol.liveness import CHECK_INTERVAL
from tfnz.attachment import Carriage
from tfnz.pipes import OpenPipe, PipeOwner

if TYPE_CHECKING:
    from tfnz.aio import Asyncio
    from tfnz.relaying import Relaying

DEFAULT_LEASE: Final = 30.0
"""Seconds that a location keeps what has no client, where it has not told."""

Opened = Callable[[OpenPipe | Failure], None]


class DataPlane:
    """Everything of one connection that is carried by channels.

    Args:
        loop: the connection's.
        log: the connection's.
        link: the connection's.

    """

    def __init__(self, loop: Loop, log: Log, link: Link) -> None:
        self.link = link
        self.lease = DEFAULT_LEASE
        """Seconds that the location keeps a pipe without a channel; set when it has told."""
        self.log = log
        self.carriage = Carriage(loop, ChannelPool(loop, log), new_buffer(), set())
        self.stock = Stock(loop, log, link)
        self.relaying: Relaying | None = None
        """Made when it is first needed, see tfnz.relaying."""
        self.asyncio: Asyncio | None = None
        """Made when it is first needed, see tfnz.aio."""
        self._loop = loop
        self._pipes: set[OpenPipe] = set()
        self._watched: set[Callable[[], None]] = set()
        self._lost = False
        self._closed = False
        self._timer: Timer = loop.call_later(CHECK_INTERVAL, self._check)

    def open_pipe(
        self, command: str, params: Mapping[str, Any], owner: PipeOwner, opened: Opened, timeout: float
    ) -> None:
        """Send a command that is answered with a pipe; `opened` gets the pipe or why there is none.

        While there is no session it waits for one, within `timeout` (seconds).
        """

        def answered(answer: Answer) -> None:
            if isinstance(answer, Failure):
                opened(answer)
                return
            try:
                pipe = OpenPipe(self, answer, owner)
            except (KeyError, TypeError, ValueError) as error:
                opened(Failure(Code.MALFORMED, f"the location's answer to {command}: {error!r}"))
                return
            if not pipe.closed:
                self._pipes.add(pipe)
            opened(pipe)

        if self._closed:
            opened(self._over())
        else:
            self.link.request(command, params, timeout, answered)

    def forget(self, pipe: OpenPipe) -> None:
        """Know that a pipe is over."""
        self._pipes.discard(pipe)

    def watch(self, check: Callable[[], None]) -> None:
        """Call `check` every few seconds: it looks for channels whose peer is gone."""
        self._watched.add(check)

    def link_lost(self) -> None:
        """Know that the session is interrupted: the path of all channels may be dead."""
        self._lost = True
        self.carriage.pool.drop()

    def link_opened(self) -> None:
        """Know that the session is open: what was carried is carried on over new channels."""
        self.stock.clear()
        if self._lost:
            self._lost = False
            for pipe in list(self._pipes):
                pipe.reattach()

    def close(self) -> None:
        """Tell those who use a pipe that the session is over, and close what is kept ahead."""
        self._closed = True
        for pipe in list(self._pipes):
            pipe.fail(self._over())
        for attachment in list(self.carriage.open):
            attachment.close()
        self._timer.cancel()
        self.stock.close()
        self.carriage.pool.close()

    def _over(self) -> Failure:
        return Failure(Code.UNAVAILABLE, f"the session with location {self.link.name} is over")

    def _check(self) -> None:
        for pipe in list(self._pipes):
            pipe.check_alive()
        for check in list(self._watched):
            check()
        self._timer = self._loop.call_later(CHECK_INTERVAL, self._check)
