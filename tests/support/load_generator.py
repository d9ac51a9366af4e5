"""Connections to an echoing port: some that stay and carry bytes both ways, and new ones at a rate.

    python -m tests.support.load_generator HOST PORT CONNECTIONS BYTES_PER_SECOND NEW_PER_SECOND

A process of its own, so that nothing else delays it. Each line on its input makes it print, as one line of
JSON, what was seen since the line before; at the end of its input it lets everything come to its end first.
"""

import contextlib
import hashlib
import json
import os
import random
import selectors
import socket
import sys
import time
from dataclasses import asdict, dataclass, field

TICK = 0.1
PATIENCE = 60.0
"""Seconds after which a connection that does not come to anything is given up and counted as broken."""

REQUEST = 3000
CHUNK = 1 << 16
_BLOCK = random.Random(5).randbytes(1_048_573)  # noqa: S311 - the same bytes in each run; the length is a prime


def content(seed: int, start: int, size: int) -> bytes:
    """Give a piece of an endless content of which no two places, and no two seeds, look alike."""
    at = (seed * 104_729 + start) % len(_BLOCK)
    piece = _BLOCK[at : at + size]
    return piece if len(piece) == size else piece + content(seed, start + len(piece), size - len(piece))


@dataclass
class Report:
    """What was seen; gaps are in seconds.

    `gap` is the longest time that a connection which stays was without a byte, `new_gap` the longest that
    a new one took from its beginning to the end of its answer.
    """

    opened: int = 0
    answered: int = 0
    refused: int = 0
    broken: int = 0
    wrong: int = 0
    bytes: int = 0
    gap: float = 0.0
    new_gap: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)

    def fault(self, kind: str, reason: str) -> None:
        """Count a fault."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def add(self, other: "Report") -> None:
        """Take in what was seen later."""
        for name in ("opened", "answered", "refused", "broken", "wrong", "bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.gap, self.new_gap = max(self.gap, other.gap), max(self.new_gap, other.new_gap)
        for reason, count in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count


class Echo:
    """What one connection sends, and what it must have back."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.sent = self.received = 0
        self._out, self._in = hashlib.sha256(), hashlib.sha256()

    def send(self, connection: socket.socket, size: int) -> int:
        """Send at most `size` bytes; give how many were taken. Raises OSError."""
        piece = content(self.seed, self.sent, size)
        taken = 0
        with contextlib.suppress(BlockingIOError):
            taken = connection.send(piece)
        self._out.update(piece[:taken])
        self.sent += taken
        return taken

    def take(self, data: bytes) -> bool:
        """Take what came; tell whether it is what was sent."""
        right = data == content(self.seed, self.received, len(data))
        self._in.update(data)
        self.received += len(data)
        return right and self.received <= self.sent

    @property
    def whole(self) -> bool:
        """Whether all that was sent came back, by its hash too."""
        return self.received == self.sent and self._in.digest() == self._out.digest()


class Fault(Exception):  # noqa: N818 - what a connection ended by, counted and not raised further
    """A connection ended otherwise than it should have."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


class Connection:
    """One connection: it connects, sends what it may, compares what comes, and ends cleanly or by a Fault.

    `allowed` is how many bytes it may have sent by now; with `ending` it shuts down once they are sent.
    """

    def __init__(self, address: tuple[str, int], seed: int, *, allowed: int, ending: bool) -> None:
        self.echo = Echo(seed)
        self.allowed, self.ending = allowed, ending
        self.began = self.heard = time.monotonic()
        self.connected = self.shut = False
        self.connection = socket.socket()
        self.connection.setblocking(False)
        self.connection.connect_ex(address)

    @property
    def wants(self) -> int:
        """What of the socket it waits for."""
        unsent = not self.connected or (not self.shut and (self.echo.sent < self.allowed or self.ending))
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if unsent else 0)

    def ready(self, mask: int) -> tuple[int, bool]:
        """Do what the socket is ready for: give the bytes that came, and whether this was the end."""
        try:
            if not self.connected:
                self._connect()
            if mask & selectors.EVENT_WRITE and not self.shut:
                self._send()
            return self._receive() if mask & selectors.EVENT_READ else (0, False)
        except OSError as error:
            raise Fault("broken" if self.connected else "refused", os.strerror(error.errno or 0)) from error

    def _connect(self) -> None:
        error = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        self.connected = True

    def _send(self) -> None:
        left = self.allowed - self.echo.sent
        if left > 0:
            left -= self.echo.send(self.connection, min(left, CHUNK))
        if left <= 0 and self.ending:
            self.connection.shutdown(socket.SHUT_WR)
            self.shut = True

    def _receive(self) -> tuple[int, bool]:
        try:
            data = self.connection.recv(CHUNK)
        except BlockingIOError:
            return 0, False
        if data:
            if not self.echo.take(data):
                raise Fault("wrong", "other bytes came than were sent")
            return len(data), False
        if not self.shut or self.echo.received < self.echo.sent:
            raise Fault("broken", "an early end")
        if not self.echo.whole:
            raise Fault("wrong", "the hash is another one")
        return 0, True


class Generator:
    """The load, driven by one loop."""

    def __init__(self, address: tuple[str, int], connections: int, rate: int, new_rate: float) -> None:
        self._address, self._rate, self._new_rate = address, rate, new_rate
        self._selector = selectors.DefaultSelector()
        self._report = Report()
        self._stay: set[Connection] = set()
        self._pass: set[Connection] = set()
        self._seed = self._missing = 0
        self._due = 0.0
        self._over = False
        for _ in range(connections):
            self._open(staying=True)

    def run(self) -> None:
        """Go on until the input has ended and everything has come to its end."""
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        tick = time.monotonic()
        while not self._over or self._stay or self._pass:
            for key, mask in self._selector.select(max(tick - time.monotonic(), 0)):
                if key.data is None:
                    self._hear()
                else:
                    self._serve(key.data, mask)
            if time.monotonic() >= tick:
                tick = max(tick + TICK, time.monotonic())
                self._tick(time.monotonic())
        self._tell()

    def _hear(self) -> None:
        if os.read(sys.stdin.fileno(), CHUNK):
            self._tell()
            return
        self._selector.unregister(sys.stdin)
        self._over = True
        for one in self._stay:
            one.ending = True
            self._selector.modify(one.connection, one.wants, one)

    def _tell(self) -> None:
        now = time.monotonic()
        self._report.gap = max([self._report.gap, *(now - one.heard for one in self._stay)])
        self._report.new_gap = max([self._report.new_gap, *(now - one.began for one in self._pass)])
        print(json.dumps(asdict(self._report)), flush=True)
        self._report = Report()

    def _tick(self, now: float) -> None:
        self._due = 0 if self._over else self._due + self._new_rate * TICK
        while self._due >= 1:
            self._due -= 1
            self._open(staying=False)
        while self._missing and not self._over:
            self._missing -= 1
            self._open(staying=True)
        for one in [*self._stay, *self._pass]:
            if now - one.heard > PATIENCE:
                self._end(
                    one, Fault("broken" if one.connected else "refused", f"nothing for {PATIENCE:.0f} s")
                )
            elif one in self._stay and not one.ending:
                one.allowed += int(self._rate * TICK)
                self._selector.modify(one.connection, one.wants, one)

    def _open(self, *, staying: bool) -> None:
        self._seed += 1
        allowed = 0 if staying else REQUEST
        one = Connection(self._address, self._seed, allowed=allowed, ending=not staying or self._over)
        (self._stay if staying else self._pass).add(one)
        self._report.opened += 1
        self._selector.register(one.connection, one.wants, one)

    def _serve(self, one: Connection, mask: int) -> None:
        if one not in self._stay and one not in self._pass:
            return  # ended by what was served before it in the same round
        try:
            got, ended = one.ready(mask)
        except Fault as fault:
            self._end(one, fault)
            return
        now = time.monotonic()
        if got:
            if one in self._stay:
                self._report.gap = max(self._report.gap, now - one.heard)
            one.heard = now
            self._report.bytes += got
        if ended:
            self._report.answered += 1
            if one in self._pass:
                self._report.new_gap = max(self._report.new_gap, now - one.began)
            self._end(one, None)
        else:
            self._selector.modify(one.connection, one.wants, one)

    def _end(self, one: Connection, fault: Fault | None) -> None:
        self._selector.unregister(one.connection)
        one.connection.close()
        staying = one in self._stay
        self._stay.discard(one)
        self._pass.discard(one)
        if fault is not None:
            which = "that stays" if staying else "that is new"
            self._report.fault(fault.kind, f"one {which} is {fault.kind}: {fault.reason}")
            self._missing += staying


def main(host: str, port: str, connections: str, rate: str, new_rate: str) -> None:
    """Run the load."""
    Generator((host, int(port)), int(connections), int(rate), float(new_rate)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
