"""The client's end of a session: requests out, replies and events in, over transports that come and go.

This file knows no socket and no clock. The driver hands it frames and the time, sends what
`outgoing` gives, and calls `tick` at `deadline`.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any

from tfd.protocol.commands import COMMANDS, EVENTS, WELCOME, Repeat, Role
from tfd.protocol.dataclass import dataclass
from tfd.protocol.endpoint import Endpoint
from tfd.protocol.errors import Code, ProtocolError, UsageError, VersionError
from tfd.protocol.events import (
    Event,
    Failed,
    Lost,
    Opened,
    Refused,
    Replied,
    SessionEvent,
    StreamAborted,
    Welcome,
)
from tfd.protocol.messages import VERSION, Kind, Message, decode, encode, one_line
from tfd.protocol.schema import Mismatch

MAX_IN_FLIGHT = 256
"""Requests sent and unanswered at once; the location keeps as many answers of keyed requests."""


class State(Enum):
    """Where a client's session is."""

    DISCONNECTED = "disconnected"
    GREETING = "greeting"
    OPEN = "open"
    CLOSED = "closed"


class Input(Enum):
    """What moves a client's session."""

    CONNECTED = "connected"
    WELCOMED = "welcomed"
    LOST = "lost"
    REFUSED = "refused"
    DISCONNECTED = "disconnected"


TRANSITIONS: Mapping[tuple[State, Input], State] = MappingProxyType(
    {
        (State.DISCONNECTED, Input.CONNECTED): State.GREETING,
        (State.DISCONNECTED, Input.DISCONNECTED): State.DISCONNECTED,
        (State.GREETING, Input.CONNECTED): State.GREETING,
        (State.GREETING, Input.WELCOMED): State.OPEN,
        (State.GREETING, Input.LOST): State.DISCONNECTED,
        (State.GREETING, Input.REFUSED): State.CLOSED,
        (State.GREETING, Input.DISCONNECTED): State.DISCONNECTED,
        (State.OPEN, Input.CONNECTED): State.GREETING,
        (State.OPEN, Input.LOST): State.DISCONNECTED,
        (State.OPEN, Input.REFUSED): State.CLOSED,
        (State.OPEN, Input.DISCONNECTED): State.DISCONNECTED,
        (State.CLOSED, Input.CONNECTED): State.GREETING,
        (State.CLOSED, Input.DISCONNECTED): State.CLOSED,
    }
)

# Trying again cannot help against these; whatever else goes wrong with a session may pass.
_FINAL = frozenset({Code.VERSION, Code.REVOKED, Code.DENIED, Code.BAD_PARAMETER, Code.UNKNOWN_COMMAND})


@dataclass(slots=True)
class _Request:
    name: str
    frame: bytes
    limit: float


class ClientSession(Endpoint):
    """One session of one account at one location.

    `session_id` is 16 random bytes, new for each session; `program` is our name and version;
    `heartbeat` (s) is the longest interval we want: the location may choose a shorter one.
    """

    def __init__(
        self,
        *,
        session_id: bytes,
        ciphers: Sequence[str],
        program: str,
        heartbeat: float = 2.0,
        versions: Sequence[int] = (VERSION,),
    ) -> None:
        super().__init__(heartbeat)
        self.state = State.DISCONNECTED
        self.welcome: Welcome | None = None
        self._session_id = session_id
        self._ciphers = tuple(ciphers)
        self._program = program
        self._heartbeat = heartbeat
        self._versions = tuple(versions)
        self._last_id = 0
        self._hello = 0
        self._unsent: dict[int, _Request] = {}
        self._sent: dict[int, _Request] = {}
        self._events: list[SessionEvent] = []

    def connected(self, now: float) -> None:
        """Start to greet over a fresh transport; what was queued for the old one is dropped."""
        self._let_go("the connection was replaced")
        self._move(Input.CONNECTED)
        self._pulse.start(now, beating=False, interval=self._heartbeat)
        self._hello = self._next_id()
        hello = {
            "versions": list(self._versions),
            "session": self._session_id,
            "resume": self.welcome is not None,
            "ciphers": list(self._ciphers),
            "program": self._program,
            "heartbeat": self._heartbeat,
        }
        self._send(Kind.REQUEST, self._hello, "hello", hello)

    def disconnected(self, now: float) -> None:  # noqa: ARG002 - every input of a session has its time
        """Note that the driver dropped the transport; the next tick tells which streams are aborted."""
        self._move(Input.DISCONNECTED)
        self._let_go("the connection was dropped")

    def request(self, name: str, params: Mapping[str, Any], now: float, timeout: float) -> int:
        """Ask for a command; gives the request's id, which one Replied or Failed will bear.

        Sent once the session is open, and again after a reconnect when that does no harm. Without an
        answer after `timeout` seconds it fails with code time-out. Raises UsageError when the command is
        not known or the parameters cannot be encoded.
        """
        if name not in COMMANDS or name == "hello":
            raise UsageError(f"{name} is not a command to ask for")
        request_id = self._last_id + 1
        frame = encode(Message(Kind.REQUEST, request_id, name, dict(params)))
        self._next_id()
        self._unsent[request_id] = _Request(name, frame, now + timeout)
        self._pump()
        return request_id

    def receive(self, frame: bytes, now: float) -> list[SessionEvent]:
        """Take a frame of the peer; whatever it holds, nothing is raised."""
        if self.state in (State.GREETING, State.OPEN):
            try:
                message = decode(frame)
            except VersionError as error:
                self._refuse_version(error.theirs)
            except ProtocolError:
                self.counters["malformed"] += 1
            else:
                self._pulse.heard(now)
                self._take(message, now)
        else:
            self.counters["stale"] += 1
        return self._drain()

    def tick(self, now: float) -> list[SessionEvent]:
        """Do what time demands: heartbeats, the peer's silence, requests' time limits."""
        for requests in (self._unsent, self._sent):
            for request_id in [key for key, request in requests.items() if request.limit <= now]:
                self._time_out(request_id, requests.pop(request_id))
        self._pump()
        if self._pulse.silent(now):
            self._lose(f"nothing was heard for {self._pulse.limit:g} s")
        else:
            self._beat(now)
        return self._drain()

    def deadline(self) -> float | None:
        """Give the time of the next needed tick, or None; it may have passed already."""
        if self._events:
            return 0.0
        limits = [request.limit for requests in (self._unsent, self._sent) for request in requests.values()]
        pulse = self._pulse.deadline()
        if pulse is not None:
            limits.append(pulse)
        return min(limits, default=None)

    def _take(self, message: Message, now: float) -> None:
        if message.kind is Kind.REPLY and message.id == self._hello:
            self._greeted(message.body, now)
        elif message.kind is Kind.ERROR:
            self._failed(message)
        elif self.state is not State.OPEN:
            self.counters["stale"] += 1
        elif message.kind is Kind.REPLY:
            self._replied(message)
        elif message.kind is Kind.EVENT:
            self._told(message)
        elif message.kind is Kind.STREAM:
            self._events += self._streams.receive(message)
        else:
            self.counters["malformed"] += 1

    def _greeted(self, body: dict[str, Any], now: float) -> None:
        if self.state is not State.GREETING:
            self.counters["late"] += 1
            return
        asked_to_resume = self.welcome is not None
        try:
            welcome = self._read_welcome(body)
        except Mismatch as error:
            self.counters["malformed"] += 1
            self._lose(f"the location's answer to hello is wrong: {error}")
            return
        self.welcome = welcome
        self._move(Input.WELCOMED)
        self._pulse.start(now, beating=True, interval=welcome.heartbeat)
        self._events.append(Opened(welcome))
        self._send_again(resumed=welcome.resumed and asked_to_resume)
        self._pump()

    def _read_welcome(self, body: dict[str, Any]) -> Welcome:
        # A newer location may tell more; only what this program knows is read.
        known = {parameter.name for parameter in WELCOME.parameters}
        fields = WELCOME.check({key: value for key, value in body.items() if key in known}, "")
        if fields["version"] not in self._versions:
            raise Mismatch(f"version is {fields['version']}; allowed: {_numbers(self._versions)}")
        if fields["cipher"] not in self._ciphers:
            raise Mismatch(f"cipher is {fields['cipher']}; allowed: {', '.join(self._ciphers)}")
        fields["role"] = Role[fields["role"].upper()]
        fields["location"] = one_line(fields["location"])
        fields["account"] = one_line(fields["account"])
        return Welcome(**fields)

    def _send_again(self, *, resumed: bool) -> None:
        for request_id, request in list(self._sent.items()):
            command = COMMANDS[request.name]
            if resumed or command.repeat is Repeat.IDEMPOTENT or command.has_key:
                self._transmit(request_id, request)
            else:
                del self._sent[request_id]
                text = "the location forgot the session; whether the command was executed is not known"
                self._events.append(Failed(request_id, request.name, Code.UNAVAILABLE, text))

    def _pump(self) -> None:
        while self.state is State.OPEN and self._unsent and len(self._sent) < MAX_IN_FLIGHT:
            request_id = next(iter(self._unsent))
            self._sent[request_id] = request = self._unsent.pop(request_id)
            self._transmit(request_id, request)

    def _transmit(self, request_id: int, request: _Request) -> None:
        self._frames.append(request.frame)
        if COMMANDS[request.name].stream:
            self._streams.open(request_id)

    def _replied(self, message: Message) -> None:
        request = self._sent.get(message.id)
        if request is None or request.name != message.name:
            self.counters["late"] += 1
            return
        del self._sent[message.id]
        self._events.append(Replied(message.id, request.name, message.body))
        self._pump()

    def _failed(self, message: Message) -> None:
        code, text = one_line(message.name), one_line(message.body.get("message"))
        request = self._sent.pop(message.id, None)
        if request is not None:
            self._streams.drop(message.id)
            self._events.append(Failed(message.id, request.name, code, text))
            self._pump()
        elif self._streams.drop(message.id):
            self._events.append(StreamAborted(message.id, text, code))
        elif message.id == 0 or (message.id == self._hello and self.state is State.GREETING):
            self._session_failed(code, text)
        else:
            self.counters["late"] += 1

    def _session_failed(self, code: str, text: str) -> None:
        if code in _FINAL:
            self._refuse(code, text)
        elif code == Code.MALFORMED:
            # It says that one frame of ours was dropped; the request in it will time out.
            self.counters["malformed-here"] += 1
        else:
            self._lose(f"{code}: {text}")

    def _told(self, message: Message) -> None:
        if message.name not in EVENTS:
            self.counters["event-unknown"] += 1
        elif message.name != "heartbeat":
            self._events.append(Event(message.name, message.body))

    def _refuse_version(self, theirs: int) -> None:
        if self.state is not State.GREETING:
            self.counters["malformed"] += 1
            return
        ours = _numbers(self._versions)
        text = (
            f"{self._program} speaks protocol version {ours}, the location speaks {theirs}: "
            "update the older of the two"
        )
        self._refuse(Code.VERSION, text)

    def _time_out(self, request_id: int, request: _Request) -> None:
        self._streams.abort(request_id, "the request's time is over")
        text = f"{request.name}: no answer in time; it may still be done at the location"
        self._events.append(Failed(request_id, request.name, Code.TIME_OUT, text))

    def _refuse(self, code: str, text: str) -> None:
        self._move(Input.REFUSED)
        self._let_go("the location ended the session")
        self._events.append(Refused(code, text))

    def _lose(self, reason: str) -> None:
        self._move(Input.LOST)
        self._let_go(reason)
        self._events.append(Lost(reason))

    def _let_go(self, reason: str) -> None:
        self._pulse.stop()
        self._frames.clear()
        self._events += self._streams.lose(reason)

    def _move(self, event: Input) -> None:
        self.state = TRANSITIONS[self.state, event]

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _drain(self) -> list[SessionEvent]:
        events, self._events = self._events, []
        return events


def _numbers(versions: Sequence[int]) -> str:
    return ", ".join(map(str, versions))
