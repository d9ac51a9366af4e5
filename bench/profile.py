"""What the relay's two ends spend their processor time on, for one load.

    python -m bench.profile kept|ping|down|up [--program tfd|tfd-pypi] [--seconds S] [--calls | --python]

Prints the processor time of tfd and of tflocation for a request (for MB of `down` and `up`), and with
`--calls` the system calls for the same (strace(1), which makes all slower), with `--python` the functions
that it is spent in (py-spy, where it is installed). Processor time and counts say something on a busy machine
too. Needs `packaging/prepare bench`, `make -C bench/load`, and root for `--calls` and `--python`.
"""

import argparse
import json
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bench.compare.ours import OURS
from bench.compare.processes import adopt_orphans, processor_times
from bench.compare.programs import Ends
from bench.compare.rounds import backend, running

LOADS: Final = {
    "kept": ("kept", 64),
    "ping": ("ping",),
    "down": ("bulk", "down", 1),
    "up": ("bulk", "up", 1),
}
MOST_LINES: Final = 12


def ask(ends: Ends, load: str, seconds: float) -> tuple[float, str]:
    """Have a load made, and give how much was done, with its unit."""
    last = (0,) if load == "kept" else ()
    answer = json.loads(ends.place.load(*LOADS[load], seconds, *last))
    return (answer["bytes"] / 1e6, "MB") if "bytes" in answer else (answer["count"], "request")


@contextmanager
def watched(command: Sequence[str]) -> Iterator[None]:
    """Have another program look at a process meanwhile; SIGINT has it write what it saw."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def calls(report: Path) -> list[tuple[float, str]]:
    """Read strace's table: how often each system call was made, and how often in vain."""
    found = []
    for line in report.read_text().splitlines():
        words = line.split()
        if len(words) in (5, 6) and re.fullmatch(r"[\d.]+", words[0]) and words[-1] != "total":
            failed = f", {words[4]} in vain" if len(words) == 6 else ""
            found.append((float(words[3]), words[-1] + failed))
    return sorted(found, reverse=True)


def functions(report: Path) -> list[tuple[float, str]]:
    """Read py-spy's stacks: the share of the samples that each function was on top of."""
    found: dict[str, int] = {}
    for line in report.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        name = re.sub(r":\d+\)$", ")", stack.rpartition(";")[2])
        found[name] = found.get(name, 0) + int(count)
    total = sum(found.values()) or 1
    return sorted(((100 * count / total, name) for name, count in found.items()), reverse=True)


def main() -> None:
    """Measure and print."""
    made = argparse.ArgumentParser("python -m bench.profile", description="where the relay's time goes")
    made.add_argument("load", choices=LOADS)
    programs = {program.name: program for program in OURS}
    made.add_argument("--program", choices=programs, default="tfd", help="tfd-pypi has PyPI's packages")
    made.add_argument("--seconds", type=float, default=4.0)
    ways = made.add_mutually_exclusive_group()
    ways.add_argument("--calls", action="store_true", help="system calls, by strace")
    ways.add_argument("--python", action="store_true", help="functions, by py-spy")
    options = made.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="tfd-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        port = stack.enter_context(backend(directory))
        ends = stack.enter_context(running(programs[options.program], port, directory))
        pids = {"tfd": ends.near[0], "tflocation": ends.far[0]}
        ask(ends, options.load, 0.5)
        before = {end: processor_times(pid) for end, pid in pids.items()}
        with ExitStack() as looking:
            for end, pid in pids.items():
                report = str(directory / end)
                if options.calls:
                    looking.enter_context(watched(("strace", "-f", "-c", "-o", report, "-p", str(pid))))
                elif options.python:
                    spy = ("py-spy", "record", "-r", "500", "-f", "raw", "-o", report, "-p", str(pid))
                    looking.enter_context(watched(spy))
            done, unit = ask(ends, options.load, options.seconds)
        print(f"{options.load}: {done / options.seconds:,.0f} {unit}s a second")
        for end, pid in pids.items():
            times = zip(processor_times(pid), before[end], strict=True)
            user, kernel, *_ = (after - past for after, past in times)
            print(f"{end}: {user / done * 1e6:.1f} us user, {kernel / done * 1e6:.1f} us kernel a {unit}")
            if options.calls:
                for count, call in calls(directory / end)[:MOST_LINES]:
                    print(f"    {count / done:8.3f} {call}")
            elif options.python:
                for share, function in functions(directory / end)[:MOST_LINES]:
                    print(f"    {share:6.1f} % {function}")


if __name__ == "__main__":
    main()
