"""What must hold before quickstart begins: it is alone, nothing is left of an earlier run, ports are free."""

import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfd.protocol.address import Address

STOP_LIMIT = 30.0  # seconds that a service has to end by itself


class QuickstartError(Exception):
    """What failed, and what to do about it: the line that the user sees."""


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Tell what was done, and in how many seconds."""
    start = time.monotonic()
    yield
    print(f"{time.monotonic() - start:8.1f} s  {what}", flush=True)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock that one quickstart at a time has; raises QuickstartError with the other's process."""
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise QuickstartError(f"runs already, as process {lock.read()}: stop it first") from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def leftovers(state: Path) -> list[Path]:
    """Give the processes, as their directories in /proc, of services whose state is below `state`."""
    mark = f"STATE_DIRECTORY={state}/".encode()
    left = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and b"\0" + mark in b"\0" + (entry / "environ").read_bytes():
                left.append(entry)
    return left


def end_leftovers(state: Path) -> None:
    """End services whose state is below `state`: an earlier run left them because it was killed."""
    left = leftovers(state)
    if not left:
        return
    for entry in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(entry.name), signal.SIGTERM)
    with step(f"ended what an earlier run had left: {', '.join(f'process {one.name}' for one in left)}"):
        end = time.monotonic() + STOP_LIMIT
        while any(one.exists() for one in left):
            if time.monotonic() > end:
                raise QuickstartError(f"process {left[0].name} of an earlier run does not end: kill -9 it")
            time.sleep(0.1)


def check_ports(addresses: Iterable[Address]) -> None:
    """Raise QuickstartError for the first TCP address that somebody listens on already."""
    for address in addresses:
        if address.is_unix:
            continue
        try:
            family, kind, _, _, target = socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM
            )[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(target)
                probe.listen()
        except OSError as error:
            raise QuickstartError(
                f"cannot listen on {address}: {error.strerror}{_holder(address.port)}"
            ) from error


def _holder(port: int) -> str:
    """Name the process that listens on a port, as ss(8) shows it; nothing where it shows none."""
    done = subprocess.run(
        ["ss", "-Hlntp", f"sport = :{port}"], capture_output=True, text=True, timeout=10, check=False
    )
    found = re.search(r'\("([^"]+)",pid=(\d+)', done.stdout)
    return f"; {found[1]}, process {found[2]}, listens there: stop it" if found else ""
