"""Both ends under everything that networks do: cuts, losses, reconnects, restarts, silence."""

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.protocol.pair import Pair
from tfd.protocol.commands import COMMANDS, Repeat, Role
from tfd.protocol.errors import CommandError
from tfd.protocol.session import (
    Called,
    Failed,
    Replied,
    ServerSession,
    State,
    StreamData,
)

TIMEOUT = 30.0
REQUESTS: dict[str, dict[str, Any]] = {
    "node.list": {},
    "container.create": {"name": "prod/web/0", "key": "k", "image": "nginx", "config": {}},
    "account.invite": {"name": "bob", "role": "user", "expires": 60, "address": "vps:2020"},
    "blob.put": {"digest": "sha256:" + "0" * 64, "size": 1 << 20},
}
few = st.integers(1, 4)
index = st.integers(0, 1 << 16)


class SessionMachine(RuleBasedStateMachine):
    """Random days of a client and a location."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(role=Role.ADMIN)
        self.asked: list[int] = []
        self.seen_calls = 0
        self.waiting: list[tuple[ServerSession, int]] = []
        self.executed: Counter[tuple[int, int]] = Counter()
        self.sessions: list[ServerSession] = []
        self.streams: list[int] = []
        self.room: dict[int, int] = {}
        self.connect(settled=True)

    def latest_stream(self, which: int) -> int:
        """Give one of the streams that may still be open."""
        return self.streams[-1 - which % min(3, len(self.streams))]

    def see(self) -> None:
        """Take note of what the location was asked."""
        for server, call in self.pair.calls[self.seen_calls :]:
            if not any(each is server for each in self.sessions):
                self.sessions.append(server)  # kept, so that its id stays its own
            self.executed[id(server), call.id] += 1
            self.waiting.append((server, call.id))
            if COMMANDS[call.name].stream:
                self.streams.append(call.id)
                self.room[call.id] = 0
        self.seen_calls = len(self.pair.calls)

    @rule(name=st.sampled_from(sorted(REQUESTS)), count=few, delivered=st.booleans())
    def ask(self, name: str, count: int, delivered: bool) -> None:
        """A caller wants something, connected or not."""
        for _ in range(count):
            request_id = self.pair.client.request(name, REQUESTS[name], self.pair.now, TIMEOUT)
            self.asked.append(request_id)
        self.pair.collect()
        if delivered:
            self.settle()

    @rule(settled=st.booleans())
    def connect(self, settled: bool) -> None:
        """The client's driver has a fresh connection, perhaps while the old one still looks well."""
        self.pair.connect()
        if settled:
            self.settle()

    @rule(what=st.sampled_from(["cut", "drop", "restart"]))
    def disturb(self, what: str) -> None:
        """The connection is gone, with or without notice, or the location forgets all sessions."""
        if what == "restart":
            self.pair.restart_location()
        else:
            self.pair.cut()
        if what == "drop":
            self.pair.client.disconnected(self.pair.now)

    @rule(to_server=few, to_client=few)
    def lose(self, to_server: int, to_client: int) -> None:
        """Frames vanish, as when a transport reconnects below both ends."""
        del self.pair.to_server[:to_server]
        del self.pair.to_client[:to_client]

    @rule(count=few)
    def deliver_to_server(self, count: int) -> None:
        """Some frames reach the location."""
        for _ in range(min(count, len(self.pair.to_server))):
            self.pair.deliver_to_server()
        self.see()

    @rule(count=few)
    def deliver_to_client(self, count: int) -> None:
        """Some frames reach the client."""
        for _ in range(min(count, len(self.pair.to_client))):
            self.pair.deliver_to_client()

    @rule()
    def settle(self) -> None:
        """The network is well for a moment."""
        self.pair.settle()
        self.see()

    @rule(seconds=st.floats(0.0, 4.0))
    def tick(self, seconds: float) -> None:
        """Time passes."""
        self.pair.tick(seconds)

    @precondition(lambda self: self.waiting)
    @rule(which=index, well=st.booleans(), told=st.booleans())
    def answer(self, which: int, well: bool, told: bool) -> None:
        """A handler is done, perhaps long after its session; its answer may be lost with the connection."""
        server, call_id = self.waiting.pop(which % len(self.waiting))
        if well:
            server.reply(call_id, {"done": call_id})
        else:
            server.fail(call_id, CommandError("engine", "it did not work"))
        self.pair.collect()
        if not told:
            self.pair.cut()

    @precondition(lambda self: self.streams)
    @rule(which=index, size=st.integers(1, 100), settled=st.booleans())
    def grant(self, which: int, size: int, settled: bool) -> None:
        """The location takes more of one of the latest streams."""
        stream = self.latest_stream(which)
        self.room[stream] += size
        self.pair.location.grant(stream, size)
        self.pair.collect()
        if settled:
            self.settle()

    @precondition(lambda self: self.streams)
    @rule(which=index, shares=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=4), settled=st.booleans())
    def send(self, which: int, shares: list[float], settled: bool) -> None:
        """The client sends some of what it may."""
        stream = self.latest_stream(which)
        for share in shares:
            size = int(self.pair.client.credit(stream) * share)
            if size:
                self.pair.client.send_stream(stream, b"x" * size)
        self.pair.collect()
        if settled:
            self.settle()

    @rule(size=st.integers(1, 100))
    def upload(self, size: int) -> None:
        """A blob is on its way: asked for, answered, and with some credit."""
        self.connect(settled=True)
        self.ask("blob.put", 1, delivered=True)
        if self.waiting:
            server, call_id = self.waiting.pop()
            server.reply(call_id, {"done": call_id})
            self.grant(0, size, settled=True)

    @precondition(lambda self: self.streams)
    @rule(
        which=index, end=st.sampled_from(["client ends", "location ends", "client aborts", "location aborts"])
    )
    def finish(self, which: int, end: str) -> None:
        """Either end is done with a stream, or with its patience."""
        stream = self.latest_stream(which)
        side = self.pair.client if end.startswith("client") else self.pair.location
        if end.endswith("ends"):
            side.end_stream(stream)
        else:
            side.abort_stream(stream, "enough")
        self.pair.collect()

    @invariant()
    def no_request_is_answered_twice(self) -> None:
        """A caller hears of its request once."""
        answers = Counter(
            event.id for event in self.pair.client_events if isinstance(event, Replied | Failed)
        )

        assert not answers or max(answers.values()) == 1

    @invariant()
    def keyed_requests_are_executed_once(self) -> None:
        """Within the life of a location's session nothing keyed is called twice."""
        for server, call in self.pair.calls:
            if COMMANDS[call.name].repeat is Repeat.KEYED:
                assert self.executed[id(server), call.id] <= 1

    @invariant()
    def credit_is_kept(self) -> None:
        """Honest ends never fault each other, and no byte comes that was not granted."""
        for server in self.sessions:
            assert server.counters["stream-fault"] == 0
        assert self.pair.client.counters["stream-fault"] == 0
        came: Counter[int] = Counter()
        for event in self.pair.server_events:
            if isinstance(event, StreamData):
                came[event.id] += len(event.data)
            elif isinstance(event, Called):
                came[event.id] = 0
        assert all(came[stream] <= room for stream, room in self.room.items())

    @invariant()
    def honest_ends_understand_each_other(self) -> None:
        """Neither end ever takes the other's frames for malformed."""
        assert self.pair.client.counters["malformed"] == 0
        for server in self.sessions:
            assert server.counters["malformed"] == 0

    def teardown(self) -> None:
        """Once its time is over every request has been answered, exactly once."""
        self.pair.tick(TIMEOUT)
        answers = [event.id for event in self.pair.client_events if isinstance(event, Replied | Failed)]

        assert sorted(answers) == self.asked
        self.pair.connect()
        self.pair.settle()
        assert self.pair.client.state is State.OPEN


TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
