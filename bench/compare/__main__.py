"""The command behind `bench/run`."""

import argparse
import json
import os
import platform
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.compare import ours, own, paths
from bench.compare.figures import FIGURES, Figure
from bench.compare.ours import OURS
from bench.compare.processes import adopt_orphans, run, use_all_descriptors
from bench.compare.programs import Kind, Program
from bench.compare.rivals import LIMITS, PACKAGES, RIVALS
from bench.compare.rounds import FOREIGN_MOST, Sample, Settings, measure_all
from bench.compare.table import disturbances, table

ALL = (*OURS, *RIVALS, *LIMITS)
_OTHERS = {"path": "a delayed path", "start": "tfd's start", "location": "tflocation's own figures"}
WHOLE = Settings(rounds=3, seconds=1.5, quiet=True)
"""All figures of all programs take some twenty minutes on two cores that nobody else uses."""
QUICK = Settings(rounds=2, seconds=1.0, quiet=False)


def say(text: str) -> None:
    """Print something, also when it goes to a file or a pipe."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Tell of progress and trouble, beside what is printed."""
    print(text, file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    names = [*(figure.name for figure in FIGURES), *_OTHERS]
    made = argparse.ArgumentParser("bench/run", description="tfd beside its rivals, on this machine")
    made.add_argument("figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(names)}; without one, all")
    made.add_argument("--quick", action="store_true", help="two rounds of a second, nothing measured again")
    made.add_argument("--programs", metavar="NAME,…", help="only tfd and these")
    made.add_argument("--rounds", type=int, metavar="N", help=f"instead of {WHOLE.rounds}")
    made.add_argument(
        "--seconds", type=float, metavar="S", help=f"of each measurement, not {WHOLE.seconds:g}"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="keep every measurement there")
    return made


def chosen(options: argparse.Namespace) -> tuple[list[Figure], list[str], list[Program]]:
    """Give the figures, the other ones' names, and the programs. Raises ValueError: a name is unknown."""
    wanted = options.figures or [*(figure.name for figure in FIGURES), *_OTHERS]
    unknown = set(wanted) - {figure.name for figure in FIGURES} - set(_OTHERS)
    names = {"tfd", *options.programs.split(",")} if options.programs else {program.name for program in ALL}
    unknown |= names - {program.name for program in ALL}
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}; see --help")
    figures = [figure for figure in FIGURES if figure.name in wanted]
    others = [name for name in _OTHERS if name in wanted]
    return figures, others, [program for program in ALL if program.name in names]


def settings(options: argparse.Namespace) -> Settings:
    """Give how much is to be measured."""
    base = QUICK if options.quick else WHOLE
    return Settings(options.rounds or base.rounds, options.seconds or base.seconds, base.quiet)


def machine(programs: Sequence[Program]) -> list[str]:
    """Give the lines that say what was measured where and when, and what the programs are."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    described = run(["git", "describe", "--always", "--dirty"]).strip()
    packages = sorted({PACKAGES[program.name] for program in programs if program.name in PACKAGES})
    packages += ["libsodium23", "python3-nacl"]
    versions = run(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *packages]).splitlines()
    current = ours.current_versions() if any(program.name == "tfd-pypi" for program in programs) else []
    system = f"{os.cpu_count()} x {models[0] if models else 'unknown'}, Linux {platform.release()}"
    python = f"Python {platform.python_version()}, tfd at {described}"
    notes = [f"- {_emphasised(program)}: {program.note}" for program in programs]
    command = shlex.join(["bench/run", *sys.argv[1:]])
    return [
        f"    {command}\n",
        f"{time.strftime('%Y-%m-%d')}, {system}, {python}",
        "; ".join([*versions, *current]) + "\n",
        *notes,
        "",
    ]


def _emphasised(program: Program) -> str:
    return f"*{program.name}*" if program.kind is Kind.LIMIT else program.name


def compare(figures: Sequence[Figure], programs: Sequence[Program], how: Settings) -> list[Sample]:
    """Measure the figures that are compared, and print their tables."""
    samples = list(measure_all(programs, figures, how, complain)) if figures else []
    for figure in figures:
        say("\n".join(table(figure, programs, samples)))
    return samples


def other(name: str, programs: Sequence[Program], how: Settings) -> list[Sample]:
    """Measure one of the figures that are not compared round by round, and print it, or why it failed."""
    measures: dict[str, Callable[[], list[Sample]]] = {
        "path": lambda: paths.compare([each for each in programs if each not in LIMITS], how, say, complain),
        "start": lambda: own.start(how, say),
        "location": lambda: own.location(how, say),
    }
    try:
        return measures[name]()
    except Exception as error:  # noqa: BLE001 - the figures after it are measured all the same
        say(f"`{name}` could not be measured: {error!r}\n")
        return []


def main() -> int:
    """Measure and print; give the exit code."""
    made = parser()
    options = made.parse_args()
    try:
        figures, others, programs = chosen(options)
    except ValueError as error:
        made.error(str(error))
    how = settings(options)
    use_all_descriptors()
    adopt_orphans()
    # What runs is left in order, and what was started is stopped; also where a shell has the signal ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    say("\n".join(machine(programs)))
    begun = time.monotonic()
    try:
        samples = [
            *compare(figures, programs, how),
            *(sample for name in others for sample in other(name, programs, how)),
        ]
    except KeyboardInterrupt:
        complain("stopped")
        return 130
    say(disturbances(samples, FOREIGN_MOST))
    say(f"All of it took {(time.monotonic() - begun) / 60:.0f} minutes.")
    if options.json:
        options.json.write_text(json.dumps([asdict(sample) for sample in samples], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
