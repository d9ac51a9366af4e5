"""What libzmq reports of the connections to the control socket: those that did not finish their handshake."""

import asyncio
from typing import Any, Final, Protocol

import zmq
from zmq.utils.monitor import parse_monitor_message

from tflocation.sockets import FAILED, HANDSHAKE_LIMIT, MONITORED, Handshakes

HANDSHAKE_SLACK: Final = 1.0
"""Seconds that a report on a handshake may take to get here."""


class Count(Protocol):
    """Counts what a stranger caused, and logs it at a bounded rate."""

    def __call__(self, what: str, message: str, **fields: Any) -> None:
        """Count `what`; `message` and `fields` are for the log."""


class Monitor:
    """Watches one ROUTER, from its making to `close`; `take` is called whenever `socket` wakes up."""

    def __init__(self, router: zmq.Socket[bytes], count: Count) -> None:
        self.socket = router.get_monitor_socket(MONITORED)
        self._router = router
        self._count = count
        self._handshakes = Handshakes()
        self._awaiting: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Watch no more; the ROUTER is closed after it."""
        if self._awaiting is not None:
            self._awaiting.cancel()
        self._router.disable_monitor()
        self.socket.close(linger=0)

    def take(self) -> bool:
        """Take one report; false where none waits."""
        try:
            frames = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        report = parse_monitor_message(frames)
        event = report["event"]
        if event == zmq.EVENT_ACCEPT_FAILED:
            message = "a connection could not be accepted"
            self._count("connections not accepted", message, errno=report["value"])
        elif event == zmq.EVENT_ACCEPTED:
            if self._handshakes.accepted():
                self._await_handshakes()
        else:
            self._handshakes.finished()
            if event & FAILED:
                self._handshake_failed()
        return True

    def _await_handshakes(self) -> None:
        """Look for those that ended without a report once all that is begun now must be over."""
        self._handshakes.begin()
        delay = HANDSHAKE_LIMIT / 1000 + HANDSHAKE_SLACK
        self._awaiting = asyncio.get_running_loop().call_later(delay, self._handshakes_over)

    def _handshakes_over(self) -> None:
        failed, more = self._handshakes.end()
        for _ in range(failed):
            self._handshake_failed()
        if more:
            self._await_handshakes()

    def _handshake_failed(self) -> None:
        self._count("handshakes failed", "a connection did not finish its handshake")
