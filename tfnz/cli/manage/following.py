"""`tf logs -f`: what a container writes, until it is gone.

A held container has a console, a pipe that begins with its last output. A declared one has only its log,
the last output up to a limit: it is asked for again and again, and what is new in it is printed.
"""

import os
import threading
from typing import TYPE_CHECKING, Final

from tfd.protocol.errors import Code
from tfd.protocol.pipe import Kind
from tfnz.cli.manage.selecting import Record, is_declared, title

if TYPE_CHECKING:
    from tfnz.location import Location

INTERVAL: Final = 1.0
"""Seconds between two looks at a log."""

_ENDED: Final = ("stopped", "failed")


def follow(location: "Location", container: Record, lines: int | None) -> int:
    """Print a container's output, `lines` of what there is first, until it ends or is gone; give 0."""
    from tfnz.connection import RemoteError

    try:
        if is_declared(container):
            _poll(location, container, lines)
        else:
            _listen(location, container, lines)
    except RemoteError as error:
        if error.code != Code.NOT_FOUND:
            raise
    return 0


def added(before: bytes, now: bytes) -> bytes:
    """Give what a log has more than an earlier one; either may have lost its beginning to the limit."""
    if now.startswith(before):
        return now[len(before) :]
    length = _overlap(before, now)
    return now[length:]


def write(data: bytes, descriptor: int = 1) -> None:
    """Write to stdout, or another descriptor, at once and all of it."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _listen(location: "Location", container: Record, lines: int | None) -> None:
    from tfnz.exchange import Exchange

    identity = {"id": container["id"]}
    old: bytes = location.connection.call("container.log", identity)["log"]
    what = f"the console of container {title(container)}"
    with Exchange(location.connection, "container.console", identity, what) as exchange:
        skipped = max(0, len(old) - len(_last(old, lines)))
        for piece in exchange.pieces(stall=None):
            if piece.kind is Kind.DATA:
                write(piece.payload[skipped:])
                skipped = max(0, skipped - len(piece.payload))


def _poll(location: "Location", container: Record, lines: int | None) -> None:
    pause = threading.Event()
    call = location.connection.call
    identity = {"id": container["id"]}
    before: bytes = call("container.log", identity)["log"]
    write(_last(before, lines))
    while True:
        pause.wait(INTERVAL)
        state = call("container.get", identity)["container"]["state"]
        now: bytes = call("container.log", identity)["log"]
        write(added(before, now))
        before = now
        if state in _ENDED:
            return


def _last(log: bytes, lines: int | None) -> bytes:
    return log if lines is None else b"".join(log.splitlines(keepends=True)[-lines:])


def _overlap(before: bytes, now: bytes) -> int:
    """Give how long the longest end of `before` is that `now` begins with (Knuth, Morris and Pratt 1977)."""
    fallback = [0] * len(now)
    length = 0
    for index in range(1, len(now)):
        while length and now[index] != now[length]:
            length = fallback[length - 1]
        length += now[index] == now[length]
        fallback[index] = length
    length = 0
    for byte in before:
        if length == len(now):
            length = fallback[length - 1]
        while length and byte != now[length]:
            length = fallback[length - 1]
        length += byte == now[length]
    return length
