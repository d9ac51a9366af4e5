"""The link to one location: keeps a session open, over one connection after another.

Rule of this file: it never gives up. Every step of a try has a limit, every try that fails is followed
by another, and the name is resolved anew each time. What is said over the session is its owner's affair.
"""

import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import zmq

from tfd.protocol import logged
from tfd.protocol.address import Address
from tfd.protocol.backoff import Backoff
from tfd.protocol.client_session import ClientSession
from tfd.protocol.dataclass import dataclass
from tfd.protocol.drivers.addresses import Addresses
from tfd.protocol.drivers.complaint import STABLE, Complaint
from tfd.protocol.drivers.log import Log
from tfd.protocol.drivers.loop import Loop, Timer
from tfd.protocol.drivers.transport import Keys, Transport
from tfd.protocol.errors import Code, UsageError
from tfd.protocol.events import (
    Event,
    Failed,
    Lost,
    Opened,
    Refused,
    Replied,
    SessionEvent,
    StreamAborted,
    StreamCredit,
    StreamData,
    StreamEnded,
    Welcome,
)
from tfd.protocol.logged import Kind

STEP_LIMIT: Final = 3.0
"""Seconds for the connection with its handshake, and again for the answer to hello."""

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 4.0
"""Seconds between rounds of tries: the cap keeps the way back under ten seconds once a path has healed."""

REFUSED_PAUSE: Final = 60.0
"""Seconds until the next try where the location said no: only a person can change that."""

ROUND_TRIPS: Final = 16
"""Answers of which the quickest tells the round trip; the others include the location's own work."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that was not fulfilled; `code` is one of errors.Code or a newer location's."""

    code: str
    message: str


Answer = dict[str, Any] | Failure
Answered = Callable[[Answer], None]
StreamEvent = StreamCredit | StreamData | StreamEnded | StreamAborted


class Owner(Protocol):
    """Who is told what happens on a link."""

    def link_opened(self, welcome: Welcome) -> None:
        """Know that the session is open; requests that were waiting are on their way."""

    def link_lost(self, reason: str) -> None:
        """Know that the session is not open any more; called once for each `link_opened`."""

    def link_refused(self, reason: str) -> None:
        """Know that the location refuses us; the link tries on, at longer intervals."""

    def link_event(self, name: str, body: dict[str, Any]) -> None:
        """Take an event of the location."""


class Link:
    """A session with one location that comes back by itself.

    Args:
        loop: the loop that calls back.
        context: ZeroMQ's context of this process.
        log: where connections and troubles are told.
        name: the location's name here.
        keys: ours and the location's.
        addresses: tried in order, the one that answered last first.
        ciphers: for channels, in order of preference.
        program: our name and version.
        heartbeat: seconds.
        owner: is told what happens.

    """

    def __init__(
        self,
        loop: Loop,
        context: "zmq.Context[zmq.Socket[bytes]]",
        log: Log,
        *,
        name: str,
        keys: Keys,
        addresses: tuple[Address, ...],
        ciphers: tuple[str, ...],
        program: str,
        heartbeat: float,
        owner: Owner,
    ) -> None:
        self.name = name
        self.reason = "not connected yet"
        """What went wrong last; empty while the session is open."""
        self.host = ""
        """The address that the present or the last connection led to."""
        self.session_id: Final = os.urandom(16)
        """What the location knows the session by."""
        self._loop = loop
        self._context = context
        self._log = log
        self._keys = keys
        self._addresses = Addresses(loop, addresses, self._connect, self._pause)
        self._owner = owner
        self._session = ClientSession(
            session_id=self.session_id, ciphers=ciphers, program=program, heartbeat=heartbeat
        )
        self._transport: Transport | None = None
        self._opened = False
        self._closed = False
        self._backoff = Backoff(f"link {name}", FIRST_PAUSE, LONGEST_PAUSE, STABLE)
        self._limit: Timer | None = None
        self._tick: Timer | None = None
        self._tick_at = 0.0
        self._asked: dict[int, tuple[Answered, float | None]] = {}
        self._streams: dict[int, Callable[[StreamEvent], None]] = {}
        self._drained: list[Callable[[], None]] = []
        self._round_trips: deque[float] = deque(maxlen=ROUND_TRIPS)
        self._complaint = Complaint(log, name)
        loop.call_later(0, self._start_round)

    @property
    def connected(self) -> bool:
        """Whether the session is open."""
        return self._opened

    @property
    def last_heard(self) -> float | None:
        """When the location sent something last (seconds of the loop's clock); None while disconnected."""
        return self._session.last_heard

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All addresses of the location, the one that answered last first."""
        return self._addresses.all

    @property
    def welcome(self) -> Welcome | None:
        """What the location said of itself when the session was opened last."""
        return self._session.welcome

    @property
    def round_trip(self) -> float:
        """Seconds of the quickest of the latest answers; 0 before the first."""
        return min(self._round_trips, default=0.0)

    def request(
        self, name: str, params: Mapping[str, Any], timeout: float, answered: Answered, waits: bool = False
    ) -> int | None:
        """Ask for a command; `answered` is called exactly once, with the reply's body or a Failure.

        While there is no session the request waits for one, within its `timeout` (seconds). One that `waits`
        for something to happen tells nothing of the round trip. Gives its id, None where it failed at once.
        """
        try:
            number = self._session.request(name, params, self._loop.now, timeout)
        except UsageError as error:
            failure = Failure(Code.BAD_PARAMETER, f"{name}: {error}")
            self._loop.call_later(0, lambda: answered(failure))
            return None
        self._asked[number] = (answered, None if waits else self._loop.now)
        self._flush()
        return number

    def follow(self, number: int, happened: Callable[[StreamEvent], None]) -> None:
        """Call `happened` with each event of the stream of this request, until its end or abort."""
        self._streams[number] = happened

    @property
    def full(self) -> bool:
        """Whether frames wait because the connection takes no more at present."""
        return self._transport is not None and self._transport.backlog > 0

    def room(self, number: int) -> int:
        """Give the bytes that a stream takes now: its credit, none while the connection is full."""
        return 0 if self.full else self._session.credit(number)

    def send(self, number: int, data: bytes) -> None:
        """Send a chunk of at most `room` bytes on a stream."""
        self._session.send_stream(number, data)
        self._flush()

    def end(self, number: int) -> None:
        """Say that a stream's data is complete."""
        self._session.end_stream(number)
        self._flush()

    def abort(self, number: int, reason: str) -> None:
        """Give a stream up; no more of its events are told."""
        self._streams.pop(number, None)
        self._session.abort_stream(number, reason)
        self._flush()

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call once, when the connection takes data again."""
        self._drained.append(callback)

    def close(self) -> None:
        """Drop the connection for good; requests without an answer fail, and nothing else is told."""
        self._closed = True
        self._addresses.stop()
        self._streams.clear()
        self._drop_transport()
        for number in list(self._asked):
            self._answer(number, Failure(Code.UNAVAILABLE, f"the link to location {self.name} was closed"))
        for timer in (self._limit, self._tick):
            if timer is not None:
                timer.cancel()

    # One try after another

    def set_addresses(self, addresses: tuple[Address, ...]) -> None:
        """Use other addresses from the next try on; a connection that stands is kept."""
        self._addresses.replace(addresses)

    def _start_round(self) -> None:
        if not self._closed:
            self._addresses.begin()

    def _pause(self, reason: str) -> None:
        self._retry_at(self._backoff.failed(self._loop.now), logged.LOCATION_UNREACHABLE, reason)

    def _retry_at(self, when: float, kind: Kind, reason: str) -> None:
        self.reason = reason
        self._complaint.tell(kind, f"location {self.name} is not connected", reason, self._loop.now)
        self._loop.call_at(when, self._start_round)

    def _limit_step(self, reason: str | None) -> None:
        """Begin a step that fails for this reason at its limit; None ends the last one."""
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if reason is not None:
            self._limit = self._loop.call_later(STEP_LIMIT, lambda: self._failed(reason, False))

    def _connect(self, host: str, port: int) -> None:
        self.host = host
        self._limit_step("does not answer")
        self._transport = Transport(
            self._loop,
            self._context,
            self._keys,
            host,
            port,
            ready=self._greet,
            frame=self._receive,
            drained=self._on_drained,
            ended=self._failed,
        )

    def _greet(self) -> None:
        self._limit_step("does not answer to hello")
        self._session.connected(self._loop.now)
        self._flush()

    def _failed(self, reason: str, refused: bool) -> None:
        """Give the present connection up and go on."""
        was_open = self._opened
        self._limit_step(None)
        self._drop_transport()
        self._session.disconnected(self._loop.now)
        self._handle(self._session.tick(self._loop.now))
        told = f"{self._addresses.present} {reason}"
        self._say_lost(told)
        if refused:
            self._owner.link_refused(told)
        if was_open:
            # The address worked: begin with it again after the shortest pause.
            self._addresses.stop()
        self._addresses.next(told)

    def _drop_transport(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None
            self._on_drained()

    # The session

    def _receive(self, frame: bytes) -> None:
        self._handle(self._session.receive(frame, self._loop.now))
        self._flush()

    def _on_tick(self) -> None:
        self._tick = None
        self._handle(self._session.tick(self._loop.now))
        self._flush()

    def _flush(self) -> None:
        """Send what the session has to send, and see that it is ticked when it needs it."""
        if self._transport is not None:
            frames = self._session.outgoing()
            if frames:
                self._transport.send(frames)
        deadline = self._session.deadline()
        if deadline is None or self._closed:
            return
        if self._tick is None or deadline < self._tick_at:
            if self._tick is not None:
                self._tick.cancel()
            self._tick_at = deadline
            self._tick = self._loop.call_at(deadline, self._on_tick)

    def _on_drained(self) -> None:
        callbacks, self._drained = self._drained, []
        for callback in callbacks:
            callback()

    def _handle(self, events: list[SessionEvent]) -> None:
        for event in events:
            if self._closed:
                return
            match event:
                case Opened(welcome):
                    self._on_opened(welcome)
                case Replied(number, _, body):
                    self._answer(number, body)
                case Failed(number, _, code, message):
                    self._answer(number, Failure(code, message))
                case Event(name, body):
                    self._owner.link_event(name, body)
                case Lost(reason):
                    self._failed(reason, False)
                case Refused(code, message):
                    self._on_refused(code, message)
                case _:
                    self._on_stream(event)

    def _on_opened(self, welcome: Welcome) -> None:
        self._limit_step(None)
        self._opened = True
        self.reason = ""
        self._complaint.over(self._loop.now)
        self._addresses.worked()
        self._log.event(
            logged.LOCATION_CONNECTED,
            f"connected to location {self.name}",
            location=self.name,
            address=str(self._addresses.present),
            account=welcome.account,
            resumed=welcome.resumed,
        )
        self._owner.link_opened(welcome)

    def _on_refused(self, code: str, message: str) -> None:
        self._limit_step(None)
        self._drop_transport()
        self._addresses.stop()
        reason = f"refused ({code}): {message}"
        self._say_lost(reason)
        self._owner.link_refused(reason)
        self._retry_at(self._loop.now + REFUSED_PAUSE, logged.LOCATION_REFUSED, reason)

    def _say_lost(self, reason: str) -> None:
        self.reason = reason
        if self._opened:
            self._opened = False
            self._round_trips.clear()
            self._complaint.tell(logged.LOCATION_LOST, f"lost location {self.name}", reason, self._loop.now)
            self._owner.link_lost(reason)

    def _answer(self, number: int, answer: Answer) -> None:
        if (asked := self._asked.pop(number, None)) is not None:
            answered, since = asked
            if since is not None and not isinstance(answer, Failure):
                self._round_trips.append(self._loop.now - since)
            answered(answer)

    def _on_stream(self, event: StreamEvent) -> None:
        if isinstance(event, StreamEnded | StreamAborted):
            happened = self._streams.pop(event.id, None)
        else:
            happened = self._streams.get(event.id)
        if happened is not None:
            happened(event)
