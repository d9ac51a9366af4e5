"""A real client session against a real location's sessions, joined in memory.

It does what the two drivers do: carries frames, makes a new ServerSession for each new connection, and
gives a hello that resumes to the session that it names. Calls are answered when the test says so.
"""

from collections.abc import Mapping
from typing import Any

from tfd.protocol.commands import Role
from tfd.protocol.session import (
    Called,
    ClientSession,
    ServerEvent,
    ServerSession,
    SessionEvent,
    session_id_of,
)

CIPHERS = ("aes256gcm", "chacha20poly1305")
HEARTBEAT = 2.0


def make_client(**changes: Any) -> ClientSession:
    """Give a client's session with ordinary settings."""
    settings: dict[str, Any] = {"session_id": b"0123456789abcdef", "ciphers": CIPHERS, "program": "tfd 0.1.0"}
    return ClientSession(**settings | changes)


def make_server(**changes: Any) -> ServerSession:
    """Give a location's session with ordinary settings."""
    settings: dict[str, Any] = {
        "location": "home",
        "account": "vps",
        "role": Role.USER,
        "ciphers": ("chacha20poly1305",),
        "channel_port": 2021,
        "heartbeat": HEARTBEAT,
        "program": "tflocation 0.1.0",
    }
    return ServerSession(**settings | changes)


class Pair:
    """Both ends and the wire between them; `now` is the time of both, in seconds."""

    def __init__(self, client: ClientSession | None = None, **server_settings: Any) -> None:
        self.now = 0.0
        self.client = client or make_client()
        self.server_settings = server_settings
        self.server: ServerSession | None = None
        self.sessions: dict[bytes, ServerSession] = {}
        self.client_events: list[SessionEvent] = []
        self.server_events: list[ServerEvent] = []
        self.calls: list[tuple[ServerSession, Called]] = []
        self.to_server: list[bytes] = []
        self.to_client: list[bytes] = []
        self.connected = False

    @property
    def location(self) -> ServerSession:
        """The location's session of the present connection."""
        assert self.server is not None
        return self.server

    def connect(self) -> None:
        """Give the client a fresh connection; what was under way on the old one is lost."""
        self.cut()
        self.connected = True
        self.server = make_server(**self.server_settings)
        self.client.connected(self.now)
        self.collect()

    def cut(self) -> None:
        """Lose the connection and all that is under way, without either end's notice."""
        self.connected = False
        self.to_server.clear()
        self.to_client.clear()

    def restart_location(self) -> None:
        """Let the location forget every session, as after a kill -9."""
        self.sessions.clear()
        self.server = make_server(**self.server_settings)
        self.to_client.clear()

    def collect(self) -> None:
        """Put what both ends have to send on the wire, or nowhere."""
        frames = self.client.outgoing()
        answers = self.server.outgoing() if self.server is not None else []
        if self.connected:
            self.to_server += frames
            self.to_client += answers

    def deliver_to_server(self) -> None:
        """Bring one frame to the location."""
        frame = self.to_server.pop(0)
        known = self.sessions.get(session_id_of(frame) or b"")
        if known is not None and known is not self.server:
            self.server = known
            events = known.resume(frame, self.now)
        else:
            events = self.location.receive(frame, self.now)
        session_id = self.location.session_id
        if session_id is not None:
            self.sessions[session_id] = self.location
        self.take_server(events)

    def deliver_to_client(self) -> None:
        """Bring one frame to the client."""
        self.client_events += self.client.receive(self.to_client.pop(0), self.now)
        self.collect()

    def take_server(self, events: list[ServerEvent]) -> None:
        """Note events of the present server session."""
        self.server_events += events
        self.calls += [(self.location, event) for event in events if isinstance(event, Called)]
        self.collect()

    def settle(self) -> None:
        """Deliver until nothing is under way."""
        self.collect()
        while self.to_server or self.to_client:
            if self.to_server:
                self.deliver_to_server()
            if self.to_client:
                self.deliver_to_client()

    def tick(self, seconds: float = 0.0) -> None:
        """Let time pass at both ends, without a delivery."""
        self.now += seconds
        self.client_events += self.client.tick(self.now)
        if self.server is not None:
            self.take_server(self.server.tick(self.now))
        self.collect()

    def open(self) -> "Pair":
        """Connect and greet."""
        self.connect()
        self.settle()
        return self

    def ask(self, name: str, params: Mapping[str, Any] | None = None, timeout: float = 60.0) -> int:
        """Ask for a command and deliver it."""
        request_id = self.client.request(name, params or {}, self.now, timeout)
        self.settle()
        return request_id

    def told(self, kind: type) -> list[Any]:
        """Give the client's events of one type so far."""
        return [event for event in self.client_events if isinstance(event, kind)]

    def heard(self, kind: type) -> list[Any]:
        """Give the location's events of one type so far."""
        return [event for event in self.server_events if isinstance(event, kind)]
