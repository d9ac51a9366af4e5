"""A real client of a location for tests: the protocol's client session over a DEALER with CURVE."""

import secrets
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import zmq

from tfd.protocol.channel import available_ciphers
from tfd.protocol.errors import CommandError
from tfd.protocol.keys import KeyPair, generate, z85_encode
from tfd.protocol.messages import MAX_CHUNK
from tfd.protocol.session import (
    ClientSession,
    Event,
    Failed,
    Refused,
    Replied,
    SessionEvent,
    State,
    StreamAborted,
    StreamCredit,
    StreamEnded,
)

LIMIT = 20.0
STEP = 0.05


class Client:
    """One account's connection to a location; every method waits, within a limit.

    `public` is the location's key, `session_id` the session's. `events` are what the location told by itself.
    """

    def __init__(
        self,
        port: int,
        public: bytes,
        pair: KeyPair | None = None,
        *,
        host: str = "127.0.0.1",
        heartbeat: float = 2.0,
        session_id: bytes | None = None,
    ) -> None:
        self.pair = pair or generate()
        self.session_id = session_id or secrets.token_bytes(16)
        self.session = ClientSession(
            session_id=self.session_id,
            ciphers=available_ciphers(),
            program="test",
            heartbeat=heartbeat,
        )
        self.events: list[Event] = []
        self.refused: Refused | None = None
        self._seen: list[SessionEvent] = []
        self._answers: dict[int, Replied | Failed] = {}
        self.port, self.public = port, public
        self._address = f"tcp://{host}:{port}"
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self.connect()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Open a fresh transport and greet over it."""
        self.drop()
        dealer = self._context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.CURVE_SERVERKEY, z85_encode(self.public).encode())
        dealer.setsockopt(zmq.CURVE_PUBLICKEY, z85_encode(self.pair.public).encode())
        dealer.setsockopt(zmq.CURVE_SECRETKEY, z85_encode(self.pair.secret).encode())
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.IPV6, 1)
        dealer.connect(self._address)
        self._socket = dealer
        self.session.connected(time.monotonic())
        self._send()

    def drop(self) -> None:
        """Drop the transport without a word."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self.session.disconnected(time.monotonic())

    def return_if_lost(self) -> None:
        """Open a fresh transport where the one that there is was lost, as every client does.

        On a busy machine a beat may come too late.
        """
        if self._socket is not None and self.session.state is State.DISCONNECTED:
            self.connect()

    def close(self) -> None:
        """Drop the transport for good."""
        self.drop()
        self._context.term()

    def send_raw(self, *frames: bytes) -> None:
        """Send a message that no session made."""
        assert self._socket is not None
        self._socket.send_multipart(frames)

    def open(self, limit: float = LIMIT) -> "Client":
        """Wait until the session is open."""
        self.until(lambda: self.session.state is State.OPEN, limit, "the session to open")
        return self

    def until(self, condition: Callable[[], Any], limit: float, what: str) -> None:
        """Keep the session going until the condition holds; come back where it was lost meanwhile."""
        end = time.monotonic() + limit
        while not condition():
            if time.monotonic() >= end:
                raise AssertionError(f"after {limit} s still waiting for {what}; refused: {self.refused}")
            self.return_if_lost()
            self.step()

    def step(self, wait: float = STEP) -> None:
        """Take what comes within `wait` seconds, and do what time demands."""
        if self._socket is not None and self._socket.poll(int(wait * 1000)):
            frame = self._socket.recv(copy=True)
            self._take(self.session.receive(frame, time.monotonic()))
        self._take(self.session.tick(time.monotonic()))
        self._send()

    def call(self, command: str, /, limit: float = LIMIT, **parameters: Any) -> dict[str, Any]:
        """Ask for a command and give the reply's body. Raises CommandError as the location answered."""
        return self.answer(self.ask(command, limit, **parameters), limit)

    def ask(self, command: str, /, limit: float = LIMIT, **parameters: Any) -> int:
        """Ask for a command and give the request's id."""
        number = self.session.request(command, parameters, time.monotonic(), limit)
        self._send()
        return number

    def answer(self, number: int, limit: float = LIMIT) -> dict[str, Any]:
        """Wait for the answer to a request. Raises CommandError as the location answered."""
        self.until(lambda: number in self._answers, limit, f"the answer to request {number}")
        answer = self._answers.pop(number)
        if isinstance(answer, Failed):
            raise CommandError(answer.code, answer.message)
        return answer.body

    def wait_event(
        self, name: str, condition: Callable[[dict[str, Any]], bool] = lambda _: True, limit: float = LIMIT
    ) -> dict[str, Any]:
        """Wait for an event of this name that fits; it and the ones before it are forgotten."""

        def found() -> bool:
            return any(event.name == name and condition(event.body) for event in self.events)

        self.until(found, limit, f"the event {name}")
        while True:
            event = self.events.pop(0)
            if event.name == name and condition(event.body):
                return event.body

    def put_blob(self, digest: str, content: bytes, limit: float = LIMIT) -> None:
        """Send a blob under the location's credit. Raises CommandError as the location answered."""
        number = self.ask("blob.put", limit, digest=digest, size=len(content))
        offset = self.answer(number, limit)["offset"]
        while offset < len(content):
            self._check_stream(number)
            size = min(self.session.credit(number), MAX_CHUNK, len(content) - offset)
            if size:
                self.session.send_stream(number, content[offset : offset + size])
                offset += size
            self.step(0 if size else STEP)
        self.session.end_stream(number)
        self._send()
        self.until(lambda: self._ended(number), limit, "the end of the upload")
        self._check_stream(number)

    def _ended(self, number: int) -> bool:
        return any(
            isinstance(event, StreamEnded | StreamAborted) and event.id == number for event in self._seen
        )

    def _check_stream(self, number: int) -> None:
        for event in self._seen:
            if isinstance(event, StreamAborted) and event.id == number:
                raise CommandError(event.code or "aborted", event.reason)

    def _take(self, events: list[SessionEvent]) -> None:
        for event in events:
            match event:
                case Replied() | Failed():
                    self._answers[event.id] = event
                case Event():
                    self.events.append(event)
                case Refused():
                    self.refused = event
                case StreamCredit():
                    pass
                case _:
                    self._seen.append(event)

    def _send(self) -> None:
        frames = self.session.outgoing()
        if self._socket is not None:
            for frame in frames:
                self._socket.send(frame)
