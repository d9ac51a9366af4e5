"""tfd and tflocation between the same client and backend, each as the process that a user runs."""

import os
import socket
import sys
import time
from pathlib import Path

from bench.compare.processes import first_line, run, started
from bench.compare.programs import Ends, Kind, Program

READY_LIMIT = 30.0
RISE = 2
"""Good answers that make a container good, as by default."""
TFD = Path(sys.executable).with_name("tfd")
"""As its package installs it."""


def start(ends: Ends) -> None:
    """Start a location, join it, and start a tfd with one listener."""
    start_location(ends)
    configure(ends)
    ends.start_near(*command(ends), environment=environment(ends))


def start_location(ends: Ends, containers: int = 0, more: int = 0) -> list[str]:
    """Start the far end alone. Gives the invites of the account that has the containers, and of `more`."""
    place = ends.place
    words = [*place.far_prefix, sys.executable, "-m", "bench.compare.far_end"]
    words += [f"{place.directory}", place.far_host, str(containers), str(more)]
    process = ends.stack.enter_context(started(words, place.directory / "far.log"))
    ends.far.append(process.pid)
    ends.invite = first_line(process)
    return [first_line(process) for _ in range(1 + more)]


def configure(ends: Ends) -> None:
    """Join the location, and write tfd.toml."""
    for name in ("state", "run"):
        (ends.place.directory / name).mkdir(exist_ok=True)
    words = [f"{name}={value}" for name, value in environment(ends).items()]
    run(["env", *words, *ends.place.near_prefix, TFD, "join", ends.invite])
    write_configuration(ends, rise=RISE)


def write_configuration(ends: Ends, rise: int) -> None:
    """Write tfd.toml: a container, which is good after so many good answers, and a listener for it."""
    place = ends.place
    (place.directory / "tfd.toml").write_text(
        f'[container.backend]\nimage = "backend"\nhealth = {{ port = {place.backend}, rise = {rise} }}\n'
        f'[[listener]]\ncontainer = "backend"\nbind = "127.0.0.1:{place.near}"\nport = {place.backend}\n'
    )


def command(ends: Ends) -> list[str | Path]:
    """Give the command of the daemon."""
    return [TFD, "--config", ends.place.directory / "tfd.toml"]


def environment(ends: Ends) -> dict[str, str]:
    """Give what systemd would set."""
    directory = ends.place.directory
    return {"STATE_DIRECTORY": f"{directory / 'state'}", "RUNTIME_DIRECTORY": f"{directory / 'run'}"}


def seconds_to_ready(ends: Ends, daemon: list[str | Path]) -> float:
    """Start a tfd that has joined, and give the time until it tells systemd READY=1 (sd_notify(3)).

    Raises TimeoutError: it tells nothing for READY_LIMIT.
    """
    path = ends.place.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(os.fspath(path))
        told.settimeout(READY_LIMIT)
        begun = time.perf_counter()
        ends.start_near(
            *daemon,
            environment={**environment(ends), "NOTIFY_SOCKET": os.fspath(path)},
        )
        while "READY=1" not in told.recv(65536).decode().splitlines():
            pass
        seconds = time.perf_counter() - begun
    path.unlink()
    return seconds


def import_seconds(module: str) -> tuple[float, float]:
    """Give the time that an interpreter takes to import a module, and the processor's part of it."""
    program = (
        "from time import perf_counter, process_time\n"
        "begun, used = perf_counter(), process_time()\n"
        f"import {module}\n"
        "print(perf_counter() - begun, process_time() - used)"
    )
    seconds, processor = run([sys.executable, "-c", program]).split()
    return float(seconds), float(processor)


OURS = Program("tfd", Kind.OURS, start, "tfd and tflocation", idle_most=9500)
