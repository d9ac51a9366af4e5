"""Telling the service manager how the service is, and having it keep descriptors (sd_notify(3)).

Outside systemd ($NOTIFY_SOCKET unset) nothing is told and nothing fails.
"""

import contextlib
import os
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

MOST_AT_ONCE: Final = 253
"""Descriptors that one message carries at most (the kernel's SCM_MAX_FD)."""

_DIGITS: Final = 18
_WAITING: Final = 256
_PROBE_LIMIT: Final = 2.0


class Notifier:
    """Messages to the service manager; only `barrier` and `can_store` wait, for a limited time; none raises.

    A message that the service manager is too slow to take waits for the next one that is sent.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._status = ""
        self._unsent: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self.watchdog_interval: float | None = None
        """Seconds between two signs of life that systemd wants at most, None where it wants none."""
        if os.environ.get("NOTIFY_SOCKET"):
            from sdnotify import SystemdNotifier

            # It finds the socket; messages are sent here, since it passes no descriptors.
            self._socket = SystemdNotifier().socket
            if self._socket is not None:
                # PID 1 may be slow to read, and the relay must not wait for it.
                self._socket.setblocking(False)
            self.watchdog_interval = _watchdog_interval()

    @property
    def connected(self) -> bool:
        """Whether there is a service manager that is told."""
        return self._socket is not None

    def ready(self) -> None:
        """Say that the service is up, or that a reload is over, whatever its result."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Show `text`, one line, in `systemctl status`; the same text twice is sent once."""
        if text != self._status:
            self._status = text
            self._send("STATUS=" + text.replace("\n", " "))
        else:
            self._flush()

    def reloading(self) -> None:
        """Say that a reload began; `ready` must follow."""
        # Type=notify-reload waits for both in one datagram.
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the service is going down."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def extend_timeout(self, seconds: float) -> None:
        """Ask for `seconds` from now on, whatever of the start's or the stop's time is left."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1_000_000)}")

    def store(self, name: str, descriptors: Sequence[int]) -> None:
        """Have copies of descriptors kept and passed to the next process under a name (FDSTORE=1).

        They are kept whatever becomes of their other ends (FDPOLL=0). What the service manager holds already
        it does not take twice.

        Args:
            name: at most 255 characters of printable ASCII without a colon.
            descriptors: any number; they stay the caller's.

        """
        message = f"FDSTORE=1\nFDPOLL=0\nFDNAME={name}"
        for start in range(0, len(descriptors), MOST_AT_ONCE):
            self._send(message, tuple(descriptors[start : start + MOST_AT_ONCE]))

    def forget(self, name: str) -> None:
        """Have the service manager close all that it keeps under a name (FDSTOREREMOVE=1)."""
        self._send(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def barrier(self, limit: float) -> bool:
        """Wait until all that was sent has been dealt with, `limit` seconds at most; tell whether it was."""
        until = time.monotonic() + limit
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            # A message of its own, as sd_notify(3) demands.
            sent = self._deliver_until(until, b"BARRIER=1", (theirs,))
        finally:
            os.close(theirs)
        try:
            return sent and _happens(ours, select.POLLHUP, until)
        finally:
            os.close(ours)

    def can_store(self) -> bool:
        """Find out whether descriptors are kept at all: FileDescriptorStoreMax= is 0 unless it is set.

        No version of systemd tells that a descriptor was refused. So it is given the end of a pipe, and the
        other end shows whether somebody holds it still. Waits 2 s at most.
        """
        if self._socket is None:
            return False
        until = time.monotonic() + _PROBE_LIMIT
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        try:
            sent = self._deliver_until(until, b"FDSTORE=1\nFDNAME=probe", (theirs,))
        finally:
            os.close(theirs)
        try:
            return sent and self.barrier(until - time.monotonic()) and not _happens(ours, select.POLLERR, 0)
        finally:
            self.forget("probe")
            os.close(ours)

    def close(self) -> None:
        """Close the socket to the service manager."""
        if self._socket is not None:
            self._flush()
            self._socket.close()
            self._socket = None
        while self._unsent:
            _close(self._unsent.popleft()[1])

    def _send(self, message: str, descriptors: tuple[int, ...] = ()) -> None:
        if self._socket is None:
            return
        self._flush()
        data = message.encode()
        if self._unsent or not self._deliver(data, descriptors):
            if len(self._unsent) == _WAITING:
                _close(self._unsent.popleft()[1])
            # Copies, since the caller may close its own before they are sent.
            self._unsent.append((data, _copies(descriptors)))

    def _flush(self) -> None:
        while self._unsent and self._deliver(*self._unsent[0]):
            _close(self._unsent.popleft()[1])

    def _deliver_until(self, until: float, data: bytes, descriptors: tuple[int, ...]) -> bool:
        """Send what waits and one message more; tell whether all of it went out before `until`."""
        if self._socket is None:
            return False
        self._flush()
        while self._unsent or not self._deliver(data, descriptors):
            if not _happens(self._socket.fileno(), select.POLLOUT, until):
                return False
            self._flush()
        return True

    def _deliver(self, data: bytes, descriptors: tuple[int, ...]) -> bool:
        """Send one message; tell whether that is over, be it that it can never be sent."""
        assert self._socket is not None
        try:
            if descriptors:
                socket.send_fds(self._socket, [data], list(descriptors))
            else:
                self._socket.send(data)
        except BlockingIOError:
            return False
        except OSError:
            pass  # nobody reads there any more
        return True


def _happens(descriptor: int, event: int, until: float) -> bool:
    """Wait for an event of a descriptor until a time of the monotonic clock; tell whether it came."""
    poll = select.poll()
    poll.register(descriptor, event)
    left = max(0.0, until - time.monotonic()) if until else 0.0
    return any(events & event for _, events in poll.poll(left * 1000))


def _copies(descriptors: Sequence[int]) -> tuple[int, ...]:
    copies: list[int] = []
    with contextlib.suppress(OSError):  # no more descriptors: those that there are must do
        copies.extend(os.dup(descriptor) for descriptor in descriptors)
    return tuple(copies)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _watchdog_interval() -> float | None:
    """Half of $WATCHDOG_USEC in seconds, where it is meant for this process (sd_watchdog_enabled(3))."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    own = str(os.getpid())
    if not (microseconds.isascii() and microseconds.isdecimal()):
        return None
    if os.environ.get("WATCHDOG_PID", own) != own:
        return None
    # A number too long for int() is longer than any process lives.
    return int(microseconds[:_DIGITS]) / 2_000_000 or None
