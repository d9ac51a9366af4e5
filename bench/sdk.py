"""What the SDK costs: a large file put and fetched, and a thousand processes.

    .venv/bin/python -m bench.sdk [--megabytes N] [--calls N]

Starts an engine and a location of its own, measures, prints a table, and removes all of it. Needs root and
what `packaging/prepare tests` installs. Peaks are of resident memory, from proc(5): of the program that
uses the SDK, of tflocation, and of the engine's daemon with the helpers that it starts for files.
"""

import argparse
import json
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from bench.chain import row
from tests.support.images import archive, busybox_image, oci_files
from tests.support.product import Location
from tests.support.user import User
from tflocation.development import PrivateEngine

LIMIT = 3600.0
GIB = 1 << 30
INTERVAL = 0.1

PROGRAM = """
import hashlib, json, sys, time
from pathlib import Path
from tfnz.location import Location

BLOCK = bytes(range(256)) * 1024

class Source:
    def __init__(self, size):
        self.left, self.digest = size, hashlib.sha256()
    def read(self, size):
        data = BLOCK[:min(size, self.left, len(BLOCK))]
        self.left -= len(data)
        self.digest.update(data)
        return data

class Sink:
    def __init__(self):
        self.digest = hashlib.sha256()
    def write(self, data):
        self.digest.update(data)

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

size, calls = int(sys.argv[1]), int(sys.argv[2])
told = {}
with Location(quiet=True) as location:
    container = location.node().spawn_container("busybox")
    container.run_process("true")
    told["before"] = peak()
    source, sink = Source(size), Sink()
    begun = time.perf_counter()
    container.put("/large", source)
    told["put"] = time.perf_counter() - begun
    begun = time.perf_counter()
    container.fetch("/large", sink)
    told["fetch"] = time.perf_counter() - begun
    told["same"] = source.digest.digest() == sink.digest.digest()
    told["peak"] = peak()
    begun = time.perf_counter()
    for _ in range(calls):
        container.run_process("true")
    told["calls"] = time.perf_counter() - begun
print(json.dumps(told))
"""


def _status(pid: int, field: str) -> float:
    """Give a figure of a process in MiB, 0 where there is no such process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        found = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return found


class Peaks(threading.Thread):
    """Looks at the engine's daemon and its helpers for files until it is told to stop."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.helpers = 0.0
        self._pid = pid
        self._stopped = threading.Event()

    def run(self) -> None:
        """Look again and again."""
        while not self._stopped.wait(INTERVAL):
            for child in _children(self._pid):
                command = Path(f"/proc/{child}/cmdline")
                try:
                    is_helper = b"forkfile" in command.read_bytes()
                except OSError:
                    continue
                if is_helper:
                    self.helpers = max(self.helpers, _status(child, "VmHWM:"))

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self.join()


def measure(location: Location, engine: PrivateEngine, user: User, options: argparse.Namespace) -> None:
    """Take all figures and print them."""
    assert engine.pid is not None
    before = _status(location.pid, "VmRSS:"), _status(engine.pid, "VmRSS:")
    peaks = Peaks(engine.pid)
    peaks.start()
    process = user.start_python(PROGRAM, str(options.megabytes << 20), str(options.calls))
    try:
        output, errors = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
        peaks.stop()
    if process.returncode:
        raise RuntimeError(errors)
    told = json.loads(output)
    row(f"a file of {options.megabytes} MiB", "seconds", "MB/s (10^6)")
    for what in ("put", "fetch"):
        row(what, f"{told[what]:.1f}", f"{options.megabytes * 1.048576 / told[what]:.0f}")
    row("fetched as put", "yes" if told["same"] else "NO")
    print()
    row("resident memory, MiB", "before", "peak")
    row("the program with the SDK", f"{told['before']:.1f}", f"{told['peak']:.1f}")
    row("tflocation", f"{before[0]:.1f}", f"{_status(location.pid, 'VmHWM:'):.1f}")
    row("the engine's daemon", f"{before[1]:.1f}", f"{_status(engine.pid, 'VmHWM:'):.1f}")
    row("its helper for files", "", f"{peaks.helpers:.1f}")
    print()
    row(
        f"{options.calls} calls of run_process",
        f"{told['calls']:.1f} s",
        f"{told['calls'] * 1000 / options.calls:.1f} ms each",
    )


def main() -> None:
    """Build what is needed, measure, remove it."""
    parser = argparse.ArgumentParser(description="memory and time of the SDK's files and processes")
    parser.add_argument("--megabytes", type=int, default=256, help="of the file")
    parser.add_argument("--calls", type=int, default=100, help="of run_process")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfd-bench-")))
        directory.chmod(0o711)  # the containers' users must pass it
        pool = 4 * GIB + (options.megabytes << 21)
        engine = stack.enter_context(PrivateEngine(directory / "engine", "lxd", pool_size=pool))
        location = Location(directory / "location", engine, extra="registries = []\n")
        stack.callback(location.stop)
        location.start()
        image = archive(
            directory / "busybox.tar", oci_files({"latest": busybox_image(command=["sleep", "100000"])})
        )
        location.add_image(image, "busybox")
        user = User(directory / "home")
        user.join(location, "bench")
        measure(location, engine, user, options)


if __name__ == "__main__":
    main()
