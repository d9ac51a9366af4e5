"""tfd and tflocation between the same client and backend, each as the process that a user runs."""

import json
import os
import socket
import sys
import time
from pathlib import Path

from bench.compare.processes import first_line, run, started
from bench.compare.programs import Ends, Kind, Program
from tests.support.waiting import wait_for
from tfd.status import StatusError, ask

READY_LIMIT = 30.0
RISE = 2
"""Good answers that make a container good, as by default."""
PACKAGED = Path(sys.executable)
"""The interpreter with Debian's packages, beside which `tfd` is as its own package installs it."""

CURRENT = Path(__file__).resolve().parents[2] / ".venv-pypi" / "bin" / "python"
"""The one with current releases of PyPI, as `pip install` brings them; packaging/prepare makes it."""

AES = "aes256gcm"


def start(ends: Ends, python: Path = PACKAGED) -> None:
    """Start a location, join it, and start a tfd with one listener."""
    start_location(ends, python=python)
    configure(ends, python)
    ends.start_near(*command(ends, python), environment=environment(ends))


def start_current(ends: Ends) -> None:
    """Start both ends with PyPI's releases. Raises RuntimeError where they do not agree on AES-256-GCM."""
    if not CURRENT.exists():
        raise RuntimeError("not started: packaging/prepare bench could not make .venv-pypi; it tells why")
    start(ends, CURRENT)
    require_cipher(ends, AES)


def require_cipher(ends: Ends, wanted: str) -> None:
    """Wait for the session of tfd. Raises RuntimeError where its channels have another cipher."""
    found = wait_for(lambda: _cipher(ends), READY_LIMIT, "tfd's session with its location")
    if found != wanted:
        raise RuntimeError(f"the ends agreed on {found}, where {wanted} is wanted")


def current_versions() -> list[str]:
    """Give the releases of PyPI that `start_current` uses; none where they could not be installed."""
    if not CURRENT.exists():
        return []
    names = ("pynacl", "pyzmq", "msgpack")
    program = "import sys\nfrom importlib.metadata import version\nprint(*map(version, sys.argv[1:]))"
    versions = run([CURRENT, "-c", program, *names]).split()
    return [f"{name} {version} (PyPI)" for name, version in zip(names, versions, strict=True)]


def _cipher(ends: Ends) -> str:
    """Give the cipher of tfd's channels, empty before its session stands."""
    try:
        document = json.loads(ask("status", ends.place.directory / "run" / "status.sock"))
    except StatusError:
        return ""
    return "".join(location["cipher"] for location in document["locations"])


def start_location(ends: Ends, containers: int = 0, more: int = 0, python: Path = PACKAGED) -> list[str]:
    """Start the far end alone. Gives the invites of the account that has the containers, and of `more`."""
    place = ends.place
    words = [*place.far_prefix, str(python), "-m", "bench.compare.far_end"]
    words += [f"{place.directory}", place.far_host, str(containers), str(more)]
    process = ends.stack.enter_context(started(words, place.directory / "far.log"))
    ends.far.append(process.pid)
    ends.invite = first_line(process)
    return [first_line(process) for _ in range(1 + more)]


def configure(ends: Ends, python: Path = PACKAGED) -> None:
    """Join the location, and write tfd.toml."""
    for name in ("state", "run"):
        (ends.place.directory / name).mkdir(exist_ok=True)
    words = [f"{name}={value}" for name, value in environment(ends).items()]
    run(["env", *words, *ends.place.near_prefix, _tfd(python), "join", ends.invite])
    write_configuration(ends, rise=RISE)


def write_configuration(ends: Ends, rise: int) -> None:
    """Write tfd.toml: a container, which is good after so many good answers, and a listener for it."""
    place = ends.place
    (place.directory / "tfd.toml").write_text(
        f'[container.backend]\nimage = "backend"\nhealth = {{ port = {place.backend}, rise = {rise} }}\n'
        f'[[listener]]\ncontainer = "backend"\nbind = "127.0.0.1:{place.near}"\nport = {place.backend}\n'
    )


def command(ends: Ends, python: Path = PACKAGED) -> list[str | Path]:
    """Give the command of the daemon."""
    return [_tfd(python), "--config", ends.place.directory / "tfd.toml"]


def _tfd(python: Path) -> Path:
    return python.with_name("tfd")


def environment(ends: Ends) -> dict[str, str]:
    """Give what systemd would set."""
    directory = ends.place.directory
    return {"STATE_DIRECTORY": f"{directory / 'state'}", "RUNTIME_DIRECTORY": f"{directory / 'run'}"}


def seconds_to_ready(ends: Ends, daemon: list[str | Path]) -> float:
    """Start a tfd that has joined, and give the time until it tells systemd READY=1 (sd_notify(3)).

    Raises TimeoutError: it does not for READY_LIMIT.
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
            if time.perf_counter() - begun > READY_LIMIT:
                raise TimeoutError(f"tfd is not ready after {READY_LIMIT:g} s")
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


OURS = (
    Program("tfd", Kind.OURS, start, "tfd and tflocation with the packages of this Debian", idle_most=9500),
    Program(
        "tfd-pypi",
        Kind.OURS,
        start_current,
        "the same with PyNaCl 1.6, pyzmq and msgpack of PyPI, as `pip install` brings them",
        idle_most=9500,
    ),
)
