"""Thousands of connections to an echoing port that move data, slow readers among them."""

import contextlib
import hashlib
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence

from tests.support.waiting import wait_for

BLOCKS_PER_SECOND = 1000
"""Of all connections together, each in its turn: a Python client can do no more beside what it measures."""

BLOCK = 1024
SLOW_EVERY = 20
"""One connection in so many is read a little at a time, while much waits for it."""

SLOW_BYTES = 256 * BLOCK
TICK = 0.01
LIMIT = 60.0


class Stream:
    """One connection: what went and what came back."""

    def __init__(self, connection: socket.socket, *, slow: bool) -> None:
        self.connection, self.slow = connection, slow
        self.missing = 0
        self.asked = 0.0
        self._sent, self._received = hashlib.sha256(), hashlib.sha256()

    def send(self, size: int) -> None:
        """Send bytes that no other connection has."""
        block = os.urandom(size)
        self._sent.update(block)
        self.missing += size
        self.asked = time.monotonic()
        self.connection.sendall(block)

    def receive(self, flags: int = 0) -> None:
        """Take what there is. Raises ConnectionError where the connection has ended."""
        data = self.connection.recv(2 * BLOCK, flags)
        if not data:
            raise ConnectionError("a connection that moved data has ended")
        self._received.update(data)
        self.missing -= len(data)

    @property
    def is_whole(self) -> bool:
        """Whether all that was sent has come back, and nothing else."""
        return self.missing == 0 and self._sent.digest() == self._received.digest()


class Moving:
    """Moves data on these connections from a thread of its own until `finish`.

    Attributes:
        longest: the longest time in seconds from a block's sending to its return, slow readers left out.

    """

    def __init__(self, connections: Sequence[socket.socket]) -> None:
        self.longest = 0.0
        self._taken = 0
        self._streams = {
            one.fileno(): Stream(one, slow=number % SLOW_EVERY == 0) for number, one in enumerate(connections)
        }
        self._turns = deque(self._streams.values())
        self._stop = threading.Event()
        self._errors: list[OSError] = []
        self._poll = select.epoll()
        for stream in self._turns:
            if stream.slow:
                stream.send(SLOW_BYTES)
            else:
                self._poll.register(stream.connection.fileno(), select.EPOLLIN)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def wait_turns(self, count: int) -> None:
        """Wait until each connection has had its turn so many times more."""
        goal = self._taken + count * len(self._turns)
        wait_for(lambda: self._errors or self._taken >= goal, LIMIT, "each connection to have its turn")

    def stop(self) -> None:
        """Move nothing more."""
        self._stop.set()
        self._thread.join()

    def finish(self) -> None:
        """Wait for all that is under way. Raises OSError where one broke, lost bytes or doubled them."""
        self.stop()
        self._poll.close()
        if self._errors:
            raise self._errors[0]
        for stream in self._turns:
            while stream.missing > 0:
                self._take(stream)
            if not stream.is_whole:
                raise ConnectionError("other bytes came back than were sent")

    def _run(self) -> None:
        try:
            due = time.monotonic()
            while not self._stop.is_set():
                for descriptor, _ in self._poll.poll(max(0.0, due - time.monotonic())):
                    self._take(self._streams[descriptor])
                if time.monotonic() >= due:
                    due = max(due + TICK, time.monotonic())
                    for _ in range(int(BLOCKS_PER_SECOND * TICK)):
                        self._next_turn()
        except OSError as error:
            self._errors.append(error)

    def _next_turn(self) -> None:
        if not self._turns:
            return
        stream = self._turns[0]
        self._turns.rotate(-1)
        self._taken += 1
        if stream.slow:
            if not stream.missing:
                return
            with contextlib.suppress(BlockingIOError):
                stream.receive(socket.MSG_DONTWAIT)
        elif not stream.missing:
            stream.send(BLOCK)

    def _take(self, stream: Stream) -> None:
        stream.receive()
        if not stream.slow and not stream.missing:
            self.longest = max(self.longest, time.monotonic() - stream.asked)
