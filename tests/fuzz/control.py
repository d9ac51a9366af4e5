"""Feeds random and mutated control messages to both ends: `python -m tests.fuzz.control --count 1000000`.

Without hypothesis, for speed. A failure prints the seed and the frame, and is a bug.
"""

import argparse
import random
import sys
import time
from collections import Counter
from typing import Any

import msgpack

from tests.protocol.pair import make_client, make_server
from tfd.protocol.commands import COMMANDS, EVENTS, Role
from tfd.protocol.errors import Code
from tfd.protocol.messages import STREAM_BODIES, decode
from tfd.protocol.session import ClientSession, ServerSession, ServerState, State, session_id_of

BATCH = 1000
"""The most messages for one pair of sessions."""
CLOSED_SHARE = 0.2
"""How often a session that is no longer open is given up: most frames are for open ones."""
DIGEST = "sha256:" + "0" * 64
HELLO = {
    "versions": [1],
    "session": b"0123456789abcdef",
    "resume": False,
    "ciphers": ["chacha20poly1305"],
    "program": "fuzz",
}
WELCOME = {
    "version": 1,
    "location": "home",
    "account": "vps",
    "role": "user",
    "resumed": False,
    "cipher": "chacha20poly1305",
    "heartbeat": 2.0,
    "channel_port": 2021,
}
CREATE = {
    "name": "prod/web/0",
    "key": "k",
    "image": "nginx",
    "config": {
        "memory": 1 << 30,
        "files": {"/x": {"digest": DIGEST, "mode": 0o644}},
        "volumes": [["prod/data", "/srv"]],
    },
}
BODIES: dict[str, dict[str, Any]] = {
    "hello": HELLO,
    "join": {"token": b"t" * 16},
    "node.list": {},
    "container.create": CREATE,
    "container.get": {"id": "tf-1"},
    "connections.set": {"environment": "prod", "pairs": [["tf-1", "db", "tf-2"]]},
    "blob.put": {"digest": DIGEST, "size": 10},
    "ticket.take": {"id": "tf-1", "port": 80, "count": 4},
    "container.gone": {"id": "tf-1"},
    "heartbeat": {},
    "not-found": {"message": "no"},
    "unavailable": {"message": "no"},
    "welcome": WELCOME,
}
"""Names with bodies that fit them."""
NAMES = (*COMMANDS, *EVENTS, *STREAM_BODIES, *Code, "", "x" * 65)


class Fuzz:
    """A source of frames, and a pair of sessions that take them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a seed repeats a failure
        self.seen: Counter[str] = Counter()
        self.start()

    def start(self) -> None:
        """Begin with fresh sessions, mostly open ones with requests under way."""
        self.now = 0.0
        self.next_id = 5
        self.client: ClientSession = make_client()
        self.server: ServerSession = make_server(role=self.random.choice(list(Role)))
        self.client.connected(self.now)
        for name in ("node.list", "blob.put", "container.create"):
            self.client.request(name, BODIES[name], self.now, 1e6)
        if self.random.random() < 0.9:
            # Twice: the hello with its answer, then the requests that waited for it.
            self.exchange()
            self.exchange()

    def exchange(self) -> None:
        """Let each end read what the other really says."""
        for frame in self.client.outgoing():
            self.server.receive(frame, self.now)
        for frame in self.server.outgoing():
            self.client.receive(frame, self.now)

    def step(self, frame: bytes) -> None:
        """Give one frame to both ends, and now and then let the driver do something."""
        known = session_id_of(frame) is not None
        events = self.server.resume(frame, self.now) if known else self.server.receive(frame, self.now)
        told = self.client.receive(frame, self.now)
        self.seen.update(type(event).__name__ for event in (*events, *told))
        if self.random.random() < 0.05:
            self.disturb()
        if self.random.random() < 0.05:
            for answer in (*self.server.outgoing(), *self.client.outgoing()):
                decode(answer)

    def is_over(self) -> bool:
        """Whether it is time for fresh sessions."""
        both_open = self.client.state is State.OPEN and self.server.state is ServerState.OPEN
        return not both_open and self.random.random() < CLOSED_SHARE

    def disturb(self) -> None:
        """Let time pass, a handler answer, a stream move, or the transport change."""
        number = self.random.randrange(12)
        match self.random.randrange(6):
            case 0:
                self.now += self.random.random()
                self.client.tick(self.now)
                self.server.tick(self.now)
            case 1:
                self.server.reply(number, {})
            case 2:
                self.server.grant(number, 10)
                self.client.grant(number, 10)
            case 3:
                self.client.end_stream(number)
                self.server.abort_stream(number, "enough")
            case 4 if self.client.state is not State.OPEN:
                self.client.connected(self.now)
            case _:
                self.client.deadline()

    def frame(self) -> bytes:
        """Make a frame: valid, nearly valid, a mutated one, or random bytes."""
        choice = self.random.random()
        if choice < 0.05:
            return self.random.randbytes(self.random.randrange(60))
        frame: bytes = msgpack.packb(self.fields())
        return frame if choice < 0.75 else self.mutate(frame)

    def fields(self) -> list[Any]:
        """Give a message's fields, each mostly of the right type."""
        pick = self.random.choice
        kind = pick((1,) * 8 + (2, 2, 3, 4) + (5,) * 8)
        message_id = pick((self.next_id, self.random.randrange(1, 12)))
        if kind in (3, 4) and self.random.random() < 0.5:
            message_id = 0
        self.next_id += 1
        name = pick(tuple(BODIES))
        body: Any = dict(BODIES[name])
        if kind == 5:
            name = pick(tuple(STREAM_BODIES))
            body = {"data": b"x" * 5, "credit": 10, "end": None, "abort": "text"}[name]
        fields = [1, kind, message_id, name, body]
        if isinstance(body, dict) and body and self.random.random() < 0.2:
            body[pick(tuple(body))] = self.value(3)
        if self.random.random() < 0.1:
            fields[3] = pick(NAMES)
        if self.random.random() < 0.2:
            fields[self.random.randrange(5)] = self.value(3)
        return fields

    def value(self, depth: int) -> Any:
        """Give any value that MessagePack carries."""
        number = self.random.randrange(10 if depth else 7)
        if number < 7:
            scalars = (None, True, -1, 1 << 60, self.random.random() * 1e9, "é\n\0", b"\xff" * 16)
            return scalars[number]
        if number == 7:
            return [self.value(depth - 1) for _ in range(self.random.randrange(4))]
        if number == 8:
            return msgpack.ExtType(self.random.randrange(128), b"x")
        return {self.random.choice(("a", 1, b"b", "id")): self.value(depth - 1)}

    def mutate(self, frame: bytes) -> bytes:
        """Flip, cut, double or put in bytes."""
        changed = bytearray(frame)
        for _ in range(self.random.randrange(1, 4)):
            start = self.random.randrange(len(changed) + 1)
            end = min(len(changed), start + self.random.randrange(4))
            changed[start:end] = self.random.randbytes(self.random.randrange(4))
        return bytes(changed)


def run(count: int, seed: int) -> Counter[str]:
    """Feed `count` messages; gives the events that came of them. Whatever is raised is a bug."""
    fuzz = Fuzz(seed)
    for number in range(count):
        if number % BATCH == 0 or fuzz.is_over():
            fuzz.start()
        frame = fuzz.frame()
        try:
            fuzz.step(frame)
        except Exception:
            print(f"seed {seed}, message {number}: {frame.hex()}", file=sys.stderr)
            raise
    return fuzz.seen


def main() -> None:
    """Read the command line, fuzz, and tell what was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=None, help="repeats a run")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    start = time.monotonic()
    seen = run(options.count, seed)
    seconds = time.monotonic() - start
    print(f"{options.count} messages, 0 crashes ({seconds:.0f} s, seed {seed})")
    print(", ".join(f"{name} {number}" for name, number in seen.most_common()))


if __name__ == "__main__":
    main()
