"""The location's end of a session: checked calls in, replies and events out.

This file knows no socket and no clock, and decides nothing about accounts: the driver tells the
account and role that the transport has proven.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any

from tfd.protocol.commands import COMMANDS, EVENTS, Command, Repeat, Role, check
from tfd.protocol.dataclass import dataclass
from tfd.protocol.endpoint import Endpoint
from tfd.protocol.errors import Code, CommandError, ProtocolError, UsageError, VersionError
from tfd.protocol.events import Attached, Called, Lost, ServerEvent
from tfd.protocol.messages import VERSION, Kind, Message, decode, encode, one_line

MAX_CALLS = 1024
"""Calls of one session that wait for their answer; more are answered with busy."""
MAX_CALL_BYTES = 16 << 20
"""Bytes of the requests that wait for their answer, as they came: what one account can make us hold."""
MAX_STREAMS = 64
"""Open streams of one session; a request for one more is answered with busy."""
KEPT_ANSWERS = 256
"""Answers of keyed requests kept for a resume: as many as a client may have unanswered at once."""


class State(Enum):
    """Where a session is, from the location's view."""

    GREETING = "greeting"
    OPEN = "open"
    DETACHED = "detached"
    CLOSED = "closed"


class Input(Enum):
    """What moves a session at the location."""

    GREETED = "greeted"
    LOST = "lost"
    ENDED = "ended"


TRANSITIONS: Mapping[tuple[State, Input], State] = MappingProxyType(
    {
        (State.GREETING, Input.GREETED): State.OPEN,
        (State.GREETING, Input.LOST): State.CLOSED,
        (State.GREETING, Input.ENDED): State.CLOSED,
        (State.OPEN, Input.GREETED): State.OPEN,
        (State.OPEN, Input.LOST): State.DETACHED,
        (State.OPEN, Input.ENDED): State.CLOSED,
        (State.DETACHED, Input.GREETED): State.OPEN,
        (State.DETACHED, Input.LOST): State.DETACHED,
        (State.DETACHED, Input.ENDED): State.CLOSED,
        (State.CLOSED, Input.LOST): State.CLOSED,
        (State.CLOSED, Input.ENDED): State.CLOSED,
    }
)


def session_id_of(frame: bytes) -> bytes | None:
    """Give the session id of a hello that wants to resume, else None; never raises.

    The driver looks for the account's session of that id before it makes a new one.
    """
    try:
        message = decode(frame)
        if message.kind is not Kind.REQUEST or message.name != "hello":
            return None
        hello = check("hello", message.body, Role.GUEST)
    except (ProtocolError, CommandError):
        return None
    return bytes(hello["session"]) if hello["resume"] else None


@dataclass(frozen=True, slots=True)
class _Call:
    command: Command
    size: int


class ServerSession(Endpoint):
    """One client's session.

    `location` is this location's name, `program` our name and version, `ciphers` those of channels in
    order of preference, `heartbeat` seconds (a client may ask for less), `channel_port` the TCP port
    for channels. A session that lost its client is DETACHED: the driver keeps it for a while, and gives
    the hello that wants it to `resume`.
    """

    def __init__(
        self,
        *,
        location: str,
        account: str,
        role: Role,
        ciphers: Sequence[str],
        channel_port: int,
        versions: Sequence[int] = (VERSION,),
        heartbeat: float = 2.0,
        program: str = "tflocation",
    ) -> None:
        super().__init__(heartbeat)
        self.state = State.GREETING
        self.account = account
        self.role = role
        self.session_id: bytes | None = None
        self.cipher = ""
        """For channels; agreed in hello."""
        self._location = location
        self._versions = tuple(versions)
        self._ciphers = tuple(ciphers)
        self._heartbeat = heartbeat
        self._channel_port = channel_port
        self._program = program
        self._waits_for_hello = False
        self._called: dict[int, _Call] = {}
        self._called_bytes = 0
        self._answers: dict[int, bytes] = {}
        self._forgotten = 0

    def receive(self, frame: bytes, now: float) -> list[ServerEvent]:
        """Take a frame of the client; whatever it holds, nothing is raised: it is answered and counted."""
        if self.state is State.CLOSED:
            self.counters["stale"] += 1
            return []
        if self.state is State.GREETING and not self._waits_for_hello:
            self._waits_for_hello = True
            self._pulse.start(now, beating=False)
        try:
            message = decode(frame)
        except VersionError as error:
            return self._refuse_version(0, str(error.theirs), "the client")
        except ProtocolError as error:
            self._complain(str(error))
            return []
        if self.state is State.OPEN:
            self._pulse.heard(now)
        if message.kind is Kind.REQUEST and message.name != "hello" and self.state is State.OPEN:
            return self._call(message, len(frame))
        return self._take(message, now)

    def resume(self, frame: bytes, now: float) -> list[ServerEvent]:
        """Take a hello that came over another transport, which from now on is this session's.

        Frames for the old transport are dropped, open streams are aborted, calls go on.
        """
        events = self._detach("the client came back over another connection")
        return events + self.receive(frame, now)

    def disconnected(self, now: float) -> list[ServerEvent]:  # noqa: ARG002 - every input has its time
        """Note that the transport ended; calls go on and the session can be resumed."""
        return self._detach("the connection ended")

    def tick(self, now: float) -> list[ServerEvent]:
        """Do what time demands: heartbeats, and noticing that the client is silent."""
        if self._pulse.silent(now):
            reason = f"nothing was heard for {self._pulse.limit:g} s"
            events = self._detach(reason)
            # A path may fail one way only: the client still hears us, and comes back over a new one.
            self._send_error(0, Code.UNAVAILABLE, f"{reason} from this client")
            return [*events, Lost(reason)]
        self._beat(now)
        return []

    def deadline(self) -> float | None:
        """Give the time of the next needed tick, or None; it may have passed already."""
        return self._pulse.deadline()

    def reply(self, call_id: int, body: Mapping[str, Any]) -> None:
        """Answer a call; nothing when it has been answered. What does not fit a message fails with limit."""
        call = self._called.get(call_id)
        if call is None:
            self.counters["late"] += 1
            return
        if call.command.stream and call_id not in self._streams:
            self.fail(call_id, CommandError(Code.UNAVAILABLE, "the stream was cut: ask again"))
            return
        try:
            frame = encode(Message(Kind.REPLY, call_id, call.command.name, dict(body)))
        except UsageError as error:
            self.fail(call_id, CommandError(Code.LIMIT, f"the reply cannot be sent: {error}"))
        else:
            self._answer(call_id, frame)

    def fail(self, call_id: int, error: CommandError) -> None:
        """Answer a call, or end the stream that it opened, with an error; nothing when both are over."""
        frame = encode(
            Message(Kind.ERROR, call_id, one_line(error.code)[:64], {"message": one_line(error.message)})
        )
        streamed = self._streams.drop(call_id)
        if call_id in self._called:
            self._answer(call_id, frame)
        elif streamed:
            self._frames.append(frame)
        else:
            self.counters["late"] += 1

    def event(self, name: str, body: Mapping[str, Any]) -> None:
        """Tell the client something; dropped while it is away, since it asks anew when it is back.

        Raises UsageError when the name is none of commands.EVENTS or the body cannot be encoded.
        """
        if name not in EVENTS:
            raise UsageError(f"{name} is not an event")
        if self.state is State.OPEN:
            self._send(Kind.EVENT, 0, name, dict(body))

    def set_role(self, account: str, role: Role) -> None:
        """Let an account have this session from now on, as after a join."""
        self.account = account
        self.role = role

    def close(self, code: str, message: str) -> list[ServerEvent]:
        """End the session for good and tell the client why; send `outgoing` before dropping it."""
        if self.state is State.CLOSED:
            return []
        if self.state is State.OPEN:
            self._send(Kind.EVENT, 0, "session.ended", {"code": code, "message": one_line(message)})
        self._send(Kind.ERROR, 0, code, {"message": one_line(message)})
        return self._end(message)

    def _take(self, message: Message, now: float) -> list[ServerEvent]:
        if message.kind is Kind.REQUEST and message.name == "hello":
            return self._greet(message, now)
        if self.state is not State.OPEN:
            # After a restart of the location its clients' next message comes here; so they learn at once.
            self.counters["no-session"] += 1
            self._send_error(0, Code.UNAVAILABLE, "this connection has no session: say hello first")
        elif message.kind is Kind.STREAM:
            return [*self._streams.receive(message)]
        elif message.kind is not Kind.EVENT or message.name != "heartbeat":
            self._complain(f"a client does not send {message.kind.name.lower()} {one_line(message.name)}")
        return []

    def _greet(self, message: Message, now: float) -> list[ServerEvent]:
        try:
            hello = check("hello", message.body, Role.GUEST)
            if self.session_id not in (None, hello["session"]):
                raise CommandError(Code.BAD_PARAMETER, "hello: this connection has another session")
        except CommandError as error:
            self._refuse_call(message.id, error)
            return []
        versions = set(self._versions).intersection(hello["versions"])
        if not versions:
            return self._refuse_version(message.id, _numbers(hello["versions"]), hello["program"])
        cipher = next((name for name in self._ciphers if name in hello["ciphers"]), None)
        if cipher is None:
            text = f"no cipher in common; allowed: {', '.join(self._ciphers)}"
            return self._refuse(message.id, Code.VERSION, text)
        resumed = hello["resume"] and self.session_id is not None
        aborted = self._streams.lose("the client said hello again")
        heartbeat = min(self._heartbeat, hello.get("heartbeat", self._heartbeat))
        self.session_id = hello["session"]
        self.cipher = cipher
        self._move(Input.GREETED)
        self._pulse.start(now, beating=True, interval=heartbeat)
        body = {
            "version": max(versions),
            "location": self._location,
            "account": self.account,
            "role": self.role.name.lower(),
            "resumed": resumed,
            "cipher": cipher,
            "heartbeat": heartbeat,
            "channel_port": self._channel_port,
        }
        self._send(Kind.REPLY, message.id, "hello", body)
        return [*aborted, Attached(hello["session"], hello["program"], resumed)]

    def _call(self, message: Message, size: int) -> list[ServerEvent]:
        if message.id in self._called or message.id in self._streams:
            self.counters["repeated"] += 1
            return []
        kept = self._answers.get(message.id)
        if kept is not None:
            self.counters["repeated"] += 1
            self._frames.append(kept)
            return []
        try:
            params = check(message.name, message.body, self.role)
            call = _Call(COMMANDS[message.name], size)
            self._check_room(message.id, call)
        except CommandError as error:
            self._refuse_call(message.id, error)
            return []
        if call.command.stream:
            self._streams.open(message.id)
        self._called[message.id] = call
        self._called_bytes += size
        return [Called(message.id, message.name, params)]

    def _check_room(self, call_id: int, call: _Call) -> None:
        if call.command.repeat is Repeat.KEYED and call_id <= self._forgotten:
            raise CommandError(Code.UNAVAILABLE, f"{call.command.name}: its answer is not kept any more")
        if len(self._called) >= MAX_CALLS or self._called_bytes + call.size > MAX_CALL_BYTES:
            text = f"{len(self._called)} calls wait; allowed: {MAX_CALLS}, of {MAX_CALL_BYTES} bytes in all"
            raise CommandError(Code.BUSY, text)
        if call.command.stream and len(self._streams) >= MAX_STREAMS:
            raise CommandError(Code.BUSY, f"{len(self._streams)} streams are open; allowed: {MAX_STREAMS}")

    def _answer(self, call_id: int, frame: bytes) -> None:
        call = self._called.pop(call_id)
        self._called_bytes -= call.size
        if call.command.repeat is Repeat.KEYED:
            self._answers[call_id] = frame
            if len(self._answers) > KEPT_ANSWERS:
                oldest = next(iter(self._answers))
                del self._answers[oldest]
                self._forgotten = max(self._forgotten, oldest)
        if self.state is State.OPEN:
            self._frames.append(frame)

    def _refuse_call(self, call_id: int, error: CommandError) -> None:
        self.counters[error.code] += 1
        self._send_error(call_id, error.code, error.message)

    def _refuse_version(self, message_id: int, theirs: str, program: str) -> list[ServerEvent]:
        text = (
            f"{self._program} speaks protocol version {_numbers(self._versions)}, {program} speaks {theirs}: "
            "update the older of the two"
        )
        if self.state is State.OPEN:
            self._complain(text)
            return []
        return self._refuse(message_id, Code.VERSION, text)

    def _refuse(self, message_id: int, code: Code, text: str) -> list[ServerEvent]:
        self.counters[str(code)] += 1
        self._send_error(message_id, code, text)
        return [*self._end(text), Lost(text)]

    def _complain(self, text: str) -> None:
        self.counters["malformed"] += 1
        self._send_error(0, Code.MALFORMED, text)

    def _send_error(self, message_id: int, code: str, text: str) -> None:
        self._send(Kind.ERROR, message_id, code, {"message": one_line(text)})

    def _end(self, reason: str) -> list[ServerEvent]:
        self._move(Input.ENDED)
        self._pulse.stop()
        self._called.clear()
        self._called_bytes = 0
        self._answers.clear()
        return [*self._streams.lose(reason)]

    def _detach(self, reason: str) -> list[ServerEvent]:
        self._move(Input.LOST)
        self._pulse.stop()
        self._frames.clear()
        return [*self._streams.lose(reason)]

    def _move(self, event: Input) -> None:
        self.state = TRANSITIONS[self.state, event]


def _numbers(versions: Sequence[int]) -> str:
    return ", ".join(map(str, versions))
