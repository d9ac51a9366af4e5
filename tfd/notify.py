"""Telling systemd how the daemon is (sd_notify(3)): ready, status, reloading, stopping, alive.

Outside systemd ($NOTIFY_SOCKET unset) nothing is told and nothing fails.
"""

import os
import time


class Notifier:
    """Messages to the service manager; never blocks, never raises."""

    def __init__(self) -> None:
        self._notifier = None
        self._status = ""
        self.watchdog_interval: float | None = None
        """Seconds between two signs of life that systemd wants at most, None where it wants none."""
        if os.environ.get("NOTIFY_SOCKET"):
            from sdnotify import SystemdNotifier

            self._notifier = SystemdNotifier()
            if self._notifier.socket is not None:
                # PID 1 may be slow to read, and the relay must not wait for it.
                self._notifier.socket.setblocking(False)
            self.watchdog_interval = _watchdog_interval()

    def ready(self) -> None:
        """Say that the service is up, or that a reload is over, whatever its result."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Show `text`, one line, in `systemctl status`; the same text twice is sent once."""
        if text != self._status:
            self._status = text
            self._send("STATUS=" + text.replace("\n", " "))

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

    def close(self) -> None:
        """Close the socket to the service manager."""
        if self._notifier is not None and self._notifier.socket is not None:
            self._notifier.socket.close()
            self._notifier = None

    def _send(self, message: str) -> None:
        if self._notifier is not None:
            # sdnotify encodes as latin-1 and drops what does not fit: give it UTF-8 bytes in that guise.
            self._notifier.notify(message.encode().decode("latin-1"))


def _watchdog_interval() -> float | None:
    """Half of $WATCHDOG_USEC in seconds, where it is meant for this process (sd_watchdog_enabled(3))."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 2_000_000
