"""The command behind `bench/memory`: where the memory of tfd goes. It fails nothing, and prints all."""

import argparse
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.compare.figures import IDLE_MANY, IDLE_SOME, held_count
from bench.compare.processes import adopt_orphans, run, started, use_all_descriptors
from bench.footprint import allocators, smaps
from bench.footprint.box import Box, compile_modules, isolated, location, serving
from bench.footprint.imports import parse
from bench.footprint.inside import ALLOCATORS, OBJECTS
from bench.footprint.printed import add_python, head, kib, mb, measured_with, row
from bench.footprint.smaps import Memory

PROMISE = 17_000_000
"""Bytes resident, idle."""

LEAST = 40
"""KiB of a module that has a line of its own."""

TYPES = 14
"""Of objects, that have a line of their own."""

SETTLED = 2.0
"""Seconds from a change until memory is looked at."""

CONTAINERS = (1, 10, 50)
CONNECTIONS = (IDLE_SOME, IDLE_MANY)


def cells(memory: Memory) -> tuple[str, ...]:
    """Give the cells RSS, PSS, anonymous."""
    return mb(memory.resident), mb(memory.proportional), mb(memory.anonymous)


def print_imports(python: str, least: int) -> None:
    """Print what the interpreter and each import take, in their order."""
    found = parse(run(isolated(python, "importing.py")))
    head(
        "The interpreter and tfd's imports, in their order, KiB",
        "module",
        "RSS, itself",
        "anonymous, itself",
        "RSS, with what it imports",
        "anonymous, with what it imports",
    )
    large = [one for one in found if max(one.whole, one.whole_anonymous) >= least]
    small = [one for one in found if one not in large]
    for one in large:
        name = "· " * (one.depth - 1) + one.name
        row(name, one.own, one.own_anonymous, one.whole, one.whole_anonymous)
    for what, ones in ((f"{len(small)} modules of less than {least} each", small), ("all", found)):
        row(what, sum(one.own for one in ones), sum(one.own_anonymous for one in ones), "", "")


def idle(found: Box) -> Memory:
    """Print what an idle tfd has, by what it is used for, and what its allocators say; give the sum."""
    mappings = smaps.read(found.pid)
    whole = smaps.total(mappings)
    head("tfd, ready and idle, MB (10^6 bytes)", "of it", "RSS", "PSS", "anonymous")
    for kind, memory in smaps.by_kind(mappings).items():
        row(kind, *cells(memory))
    row("all", *cells(whole))
    over = whole.resident - PROMISE
    verdict = "kept" if over <= 0 else f"missed by {mb(over)}"
    print(
        f"\npromised: {mb(PROMISE)} resident, {verdict}. {mb(whole.shared)} of it are pages of programs and "
        "libraries that other processes have in use as well: RSS counts them whole, PSS its part of them."
    )
    seen = allocators.parse(found.report(ALLOCATORS))
    head("Its allocators, MB", "allocator", "of the kernel", "in use", "free")
    row("Python's, objects of up to 512 bytes", *map(mb, (seen.arenas, seen.small, seen.arenas - seen.small)))
    row("malloc, all else", *map(mb, (seen.heap, seen.large, seen.heap - seen.large)))
    return whole


def connections(found: Box, empty: Memory, counts: Iterable[int]) -> None:
    """Print what idle connections take."""
    head(
        "Idle connections, each of which carried a byte both ways",
        "connections",
        "RSS MB",
        "PSS MB",
        "KiB RSS each",
        "KiB anonymous each",
    )
    row("0", mb(empty.resident), mb(empty.proportional), "", "")
    place = found.ends.place
    for count in counts:
        with started(place.load_command("hold", "idle", count), place.directory / "load.log") as process:
            held = held_count(process)
            time.sleep(SETTLED)
            full = smaps.total(smaps.read(found.pid))
        each = (kib(size / max(1, held)) for size in (full - empty).growth)
        row(f"{held:,}", mb(full.resident), mb(full.proportional), *each)
        time.sleep(SETTLED)
    after = smaps.total(smaps.read(found.pid))
    row("0 again", mb(after.resident), mb(after.proportional), "", "")


def containers(python: str, directory: Path, counts: Sequence[int]) -> None:
    """Print what declared containers take, each with its listener."""
    head(
        "Declared containers, each with a listener",
        "containers",
        "RSS MB",
        "PSS MB",
        "KiB RSS each",
        "KiB anonymous each",
    )
    first: tuple[int, Memory] | None = None
    for count in counts:
        with (
            location(directory / f"containers-{count}") as (ends, invites),
            serving(python, ends, invites, count) as found,
        ):
            full = smaps.total(smaps.read(found.pid))
        each = ("", "")
        if first is not None and count > first[0]:
            grown = (full - first[1]).growth
            each = (kib(grown[0] / (count - first[0])), kib(grown[1] / (count - first[0])))
        row(f"{count}", mb(full.resident), mb(full.proportional), *each)
        first = first or (count, full)


def objects(found: Box) -> None:
    """Print what Python's objects are, by their types."""
    lines = [line.split(" ", 3) for line in found.report(OBJECTS).splitlines() if line.startswith("object: ")]
    rows = sorted(((int(size), int(count), name) for _, count, size, name in lines), reverse=True)
    head("Python's objects by type; a bytearray is a buffer", "type", "objects", "MB")
    wanted = [one for one in rows if one in rows[:TYPES] or one[2] == "bytearray"]
    for size, count, name in wanted:
        row(f"`{name}`", f"{count:,}", mb(size))
    row(
        f"{len(rows) - len(wanted)} further types",
        f"{sum(one[1] for one in rows if one not in wanted):,}",
        mb(sum(one[0] for one in rows if one not in wanted)),
    )


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    made = argparse.ArgumentParser("bench/memory", description="where the memory of tfd goes")
    add_python(made)
    made.add_argument(
        "--least", type=int, default=LEAST, metavar="KIB", help="of a module with a line of its own"
    )
    made.add_argument("--connections", type=int, nargs="*", default=CONNECTIONS, metavar="N")
    made.add_argument("--containers", type=int, nargs="*", default=CONTAINERS, metavar="N")
    return made


def main() -> None:
    """Measure and print."""
    options = parser().parse_args()
    use_all_descriptors()
    adopt_orphans()
    compile_modules(options.python)
    print(measured_with(options.python))
    print_imports(options.python, options.least)
    with tempfile.TemporaryDirectory(prefix="tfd-bench-") as name:
        directory = Path(name)
        with (
            location(directory / "idle") as (ends, invites),
            serving(options.python, ends, invites) as found,
        ):
            connections(found, idle(found), options.connections)
        with (
            location(directory / "objects") as (ends, invites),
            serving(options.python, ends, invites) as found,
        ):
            objects(found)
        containers(options.python, directory, options.containers)


if __name__ == "__main__":
    main()
