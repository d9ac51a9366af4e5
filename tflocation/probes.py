"""Health probes, made from the location's side: a TCP connection or one HTTP GET to a container's port.

`Health` decides without I/O; `Prober` drives one task for each watched container.
"""

import asyncio
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

CHANGING_INTERVAL = 0.5
"""Seconds between probes while the answer differs from the state, or no state is known yet."""

MAX_CONCURRENT = 64
"""Probes in flight at once over all containers; each holds one socket."""

MAX_STATUS_LINE = 1024
"""Bytes read of an HTTP answer: the status line is all that counts (RFC 9112, section 4)."""

LAST_RESULTS = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Probe:
    """What makes a container good.

    Attributes:
        kind: "tcp" (the port accepts a connection) or "http" (GET `path` answers 200 to 399).
        interval, timeout: seconds.
        rise, fall: results in a row that make it good, or not good.

    """

    kind: str
    port: int
    path: str = "/"
    interval: float = 2.0
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3


@dataclass(slots=True)
class Health:
    """Good or not, from results; a new container is neither until `rise` or `fall` results agree."""

    probe: Probe
    good: bool | None = None
    reason: str = ""
    results: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_RESULTS))
    _streak: int = 0
    _last_ok: bool | None = None

    def record(self, failure: str | None) -> bool:
        """Take one result (None: it answered; else what went wrong); true if `good` changed."""
        ok = failure is None
        self.results.append(failure or "ok")
        self._streak = self._streak + 1 if ok == self._last_ok else 1
        self._last_ok = ok
        if ok == self.good or self._streak < (self.probe.rise if ok else self.probe.fall):
            return False
        self.good = ok
        self.reason = failure or "answers"
        return True

    def pause(self) -> float:
        """Seconds until the next probe."""
        settled = self.good is not None and self._last_ok == self.good
        return self.probe.interval if settled else min(CHANGING_INTERVAL, self.probe.interval)

    def body(self, container: str) -> dict[str, object]:
        """Give the body of the event `container.health`."""
        return {"id": container, "good": bool(self.good), "reason": self.reason, "probes": list(self.results)}


async def probe_once(probe: Probe, address: str) -> str | None:
    """Probe `address` once within the probe's time limit; None if it is good, else what went wrong."""
    try:
        async with asyncio.timeout(probe.timeout):
            if probe.kind == "http":
                return await _http(probe, address)
            await _tcp(probe, address)
            return None
    except TimeoutError:
        return f"no answer from port {probe.port} within {probe.timeout:g} s"
    except OSError as error:
        return f"port {probe.port}: {os.strerror(error.errno) if error.errno else error}"


async def _tcp(probe: Probe, address: str) -> None:
    with socket.socket(
        socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM
    ) as connection:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (address, probe.port))


async def _http(probe: Probe, address: str) -> str | None:
    loop = asyncio.get_running_loop()
    with socket.socket(
        socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM
    ) as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, (address, probe.port))
        host = f"[{address}]" if ":" in address else address
        request = (
            f"GET {probe.path} HTTP/1.1\r\nHost: {host}:{probe.port}\r\n"
            "User-Agent: tflocation\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        )
        await loop.sock_sendall(connection, request.encode())
        answer = b""
        while b"\n" not in answer and len(answer) < MAX_STATUS_LINE:
            chunk = await loop.sock_recv(connection, MAX_STATUS_LINE - len(answer))
            if not chunk:
                break
            answer += chunk
    return judge_status(answer, probe.path)


def judge_status(answer: bytes, path: str) -> str | None:
    """None where the first line of an HTTP answer carries a status from 200 to 399, else what is wrong."""
    parts = answer.split(b"\n", 1)[0].split(None, 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or len(parts[1]) != 3 or not parts[1].isdigit():
        return f"GET {path}: the answer is not HTTP"
    status = int(parts[1])
    return None if 200 <= status < 400 else f"GET {path}: status {status}"


Where = Callable[[str], tuple[str | None, str]]
"""Asked for a container's id: its address (None while it does not run) and its state."""

Report = Callable[[str, Health], None]
"""Told a container's id and its health whenever `good` changed."""


class Prober:
    """Watches of one holder (a session): at most one for each container."""

    def __init__(self, where: Where, report: Report, slots: asyncio.Semaphore) -> None:
        self._where = where
        self._report = report
        self._slots = slots
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._health: dict[str, Health] = {}

    def watch(self, container: str, probe: Probe) -> None:
        """Probe `container` from now on; a watch of the same container is replaced."""
        self.forget(container)
        health = Health(probe)
        self._health[container] = health
        self._tasks[container] = asyncio.create_task(self._run(container, health))

    def forget(self, container: str) -> None:
        """End the watch of `container`, if there is one."""
        self._health.pop(container, None)
        task = self._tasks.pop(container, None)
        if task is not None:
            task.cancel()

    def known(self) -> Mapping[str, Health]:
        """Give the health of every watched container; `good` is None where it is not known yet."""
        return self._health

    def close(self) -> None:
        """End all watches."""
        for container in list(self._tasks):
            self.forget(container)

    async def _run(self, container: str, health: Health) -> None:
        while True:
            began = time.monotonic()
            address, state = self._where(container)
            if address is None:
                failure: str | None = f"the container is {state}"
            else:
                async with self._slots:
                    failure = await probe_once(health.probe, address)
            if health.record(failure):
                self._report(container, health)
            await asyncio.sleep(max(0.05, health.pause() - (time.monotonic() - began)))
