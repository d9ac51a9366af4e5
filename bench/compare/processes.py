"""Processes that the bench starts: none outlives it, and what they use is known."""

import ctypes
import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

STOP_LIMIT = 5.0
LINE_LIMIT = 120.0
_PR_SET_CHILD_SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def started(
    command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block; its standard output is a pipe, its complaints go to `log`.

    The kernel ends it if the bench itself is killed (setpriv(1), --pdeathsig).
    """
    with log.open("ab") as complaints:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    pids = family([process.pid])
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in pids:
        # Their parent has not ended them; the number is theirs as long as they are of its session.
        if pid != process.pid:
            if _session(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
            _reap(pid)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _reap(pid: int) -> None:
    """Take the end of a process that has become the bench's child: see `adopt_orphans`."""
    end = time.monotonic() + STOP_LIMIT
    with suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < end:
            time.sleep(0.01)


def adopt_orphans() -> None:
    """Become the parent of processes whose own has ended (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def use_all_descriptors() -> int:
    """Raise the limit of open descriptors to the highest that may be, for what is started too; give it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def run(command: Sequence[str | Path], limit: float = 60.0) -> str:
    """Run a program to its end and give what it printed. Raises RuntimeError with what it complained of."""
    words = ["setpriv", "--pdeathsig", "TERM", *map(str, command)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{' '.join(words[3:])}: not over after {limit:g} s") from None
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[3:])}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def first_line(process: subprocess.Popen[bytes], limit: float = LINE_LIMIT) -> str:
    """Wait so many seconds at most for the next line that a program prints.

    Raises RuntimeError: it ended before, or printed none.
    """
    assert process.stdout is not None
    assert isinstance(process.args, list)
    name, number = " ".join(process.args[3:]), process.stdout.fileno()
    line, end = b"", time.monotonic() + limit
    # Byte by byte: select(2) would not tell of a line that a buffer of this process has already.
    while not line.endswith(b"\n"):
        if not select.select([number], [], [], max(0.0, end - time.monotonic()))[0]:
            raise RuntimeError(f"{name}: no line after {limit:g} s")
        byte = os.read(number, 1)
        if not byte:
            raise RuntimeError(f"{name}: ended at its start")
        line += byte
    return line.decode().strip()


def family(pids: Iterable[int]) -> list[int]:
    """Give these processes and all that descend from them (proc(5), children)."""
    found = []
    for pid in pids:
        found.append(pid)
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
            children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except OSError:
            continue
        found += family(children)
    return found


def _stat(pid: int) -> list[str]:
    """Give the fields of /proc/PID/stat from the state on; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _session(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[3]) if fields else 0


def processor_times(pid: int) -> list[float]:
    """Give a process's seconds in user and kernel mode, and both of its ended children (proc(5), stat)."""
    return [int(field) / _TICKS for field in _stat(pid)[11:15]]


def processor_seconds(pids: Iterable[int]) -> float:
    """Give the processor time of processes, their descendants, and those of them that have ended."""
    return sum(sum(processor_times(pid)) for pid in family(pids))


def scheduled_seconds(pids: Iterable[int]) -> float:
    """Give the time that all threads of processes have run on a processor, finer than in ticks (proc(5))."""
    tasks = [task for pid in family(pids) for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident(pids: Iterable[int]) -> tuple[float, float]:
    """Give the resident and the proportional memory of processes and their descendants in MiB."""
    sums = {"Rss": 0, "Pss": 0}
    for pid in family(pids):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for name, _, value in (line.partition(":") for line in lines):
            if name in sums:
                sums[name] += int(value.split()[0])
    return sums["Rss"] / 1024, sums["Pss"] / 1024


class Foreign:
    """The processor time that others use while something is measured.

    `cores` is how many cores' worth it was since this object was made; `stolen` is the hypervisor's part.
    """

    def __init__(self) -> None:
        self._time = time.monotonic()
        self._busy, self._stolen = _machine()
        self._ours = processor_seconds([os.getpid()])

    def since(self) -> tuple[float, float]:
        """Give both."""
        seconds = time.monotonic() - self._time
        busy, stolen = _machine()
        ours = processor_seconds([os.getpid()]) - self._ours
        return max(0.0, busy - self._busy - ours) / seconds, (stolen - self._stolen) / seconds


def _machine() -> tuple[float, float]:
    """Give the seconds in which the machine's processors worked, and those stolen from it (proc(5), stat)."""
    user, nice, system, _idle, _wait, hard, soft, stolen = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + hard + soft) / _TICKS, stolen / _TICKS
