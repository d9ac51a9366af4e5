"""What a restart of tfd costs its connections, under a real systemd.

    .venv/bin/python -m bench.handover [--connections N ...] [--rounds N] [--idle]

Boots a Debian 12 with tfd's unit, opens connections through it that move data, slow readers among them (see
moving.py), or say nothing (--idle), has `systemctl restart tfd` done, and checks that every byte came back
once and that each still answers. Prints for each number of connections, as the median of the rounds:

- how long `systemctl restart` took until tfd was ready again;
- the longest silence, of a connection that was asked all the time or of any other that moved data;
- how long the former process took to leave them, and the next one to take them over (its journal tells);
- the processor time that PID 1 used.

Needs root and what `packaging/prepare tests` installs.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

from bench.compare.processes import use_all_descriptors
from bench.moving import Moving
from tests.support.debian import BOOKWORM, build_bare, install_programs, layered
from tests.support.machine import Machine
from tests.support.served import UNIT, Served, served
from tfd.protocol import logged

SPARE = 100
"""Descriptors for everything else."""

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figures:
    """Of one restart, in seconds."""

    restart: float
    silence: float
    leaving: float
    taking: float
    pid1: float


class Asking:
    """Asks one connection all the time, and remembers the longest wait for an answer."""

    def __init__(self, served_by: Served) -> None:
        self._connection = served_by.connect()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.longest = 0.0
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            begun = time.monotonic()
            self._connection.sendall(b"?")
            if self._connection.recv(1) != b"?":
                raise ConnectionError("the connection that was asked has ended")
            self.longest = max(self.longest, time.monotonic() - begun)

    def close(self) -> float:
        """Stop, and give the longest wait."""
        self._stop.set()
        self._thread.join()
        self._connection.close()
        return self.longest


def processor_time(pid: int) -> float:
    """Give the seconds that a process has used (proc(5), stat)."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICK


def spans(machine: Machine, since: float) -> tuple[float, float]:
    """Give how long leaving and taking over lasted, as the journal's lines about them have it."""
    lines = machine.run("journalctl", "-u", UNIT, "-o", "json", f"--since=@{since:.3f}").stdout.splitlines()
    entries = {entry.get("MESSAGE_ID"): entry for entry in map(json.loads, lines)}
    leaving, taking = (
        float(entries[kind.id]["TFD_SECONDS"]) for kind in (logged.HANDED_OVER, logged.TAKEN_OVER)
    )
    return leaving, taking


def restart(where: Served, count: int, *, idle: bool) -> Figures:
    """Restart once under this many connections; all of them must live, and no byte be lost or doubled."""
    with ExitStack() as stack:
        connections = [stack.enter_context(where.connect()) for _ in range(count)]
        moving = Moving(() if idle else connections)
        stack.callback(moving.stop)
        asking = Asking(where)
        if not idle:
            moving.wait_turns(1)
        before = processor_time(where.machine.leader)
        begun, wall = time.monotonic(), time.time()
        where.command("systemctl", "restart", UNIT)
        lasted = time.monotonic() - begun
        silence = asking.close()
        if not idle:
            moving.wait_turns(1)
        moving.finish()
        for connection in connections:
            connection.sendall(b"y")
        for connection in connections:
            if connection.recv(1) != b"y":
                raise ConnectionError("a connection has not outlived the restart")
        used = processor_time(where.machine.leader) - before
    return Figures(lasted, max(silence, moving.longest), *spans(where.machine, wall), used)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a restart of tfd costs its connections.")
    parser.add_argument("--connections", type=int, nargs="+", default=[1000, 4000, 10000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--root", type=Path, help="a tree of Debian 12 that is there already")
    parser.add_argument("--idle", action="store_true", help="the connections say nothing")
    options = parser.parse_args()
    hard = use_all_descriptors()
    # tfd has two descriptors for each, and cannot have more than this process where systemd may not raise it.
    most = (hard - SPARE) // 2
    names = [field.name for field in fields(Figures)]
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bare = options.root
        if bare is None:
            bare = work / "bookworm"
            build_bare(BOOKWORM, bare)
        root = stack.enter_context(layered((bare,), work / "layer"))
        install_programs(root)
        where = stack.enter_context(served(root))
        print("connections" + "".join(f"{name + ' s':>12}" for name in names), flush=True)
        for wanted in options.connections:
            count = min(wanted, most)
            if count < wanted:
                print(f"{wanted} are more than {hard} open files (ulimit -Hn) allow: {count} are taken")
            rounds = [restart(where, count, idle=options.idle) for _ in range(options.rounds)]
            medians = [statistics.median(getattr(one, name) for one in rounds) for name in names]
            print(f"{count:>11}" + "".join(f"{value:>12.2f}" for value in medians), flush=True)


if __name__ == "__main__":
    main()
