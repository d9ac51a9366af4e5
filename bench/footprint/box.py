"""A tfd at a location of its own, as it is installed: compiled, isolated, with one container or more."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.compare import ours
from bench.compare.processes import run
from bench.compare.programs import Ends, Place, free_port
from bench.compare.rounds import answers, backend
from bench.footprint.inside import END
from tests.support.waiting import wait_for
from tfd.status import ask

TREE = Path(__file__).resolve().parents[2]
QUIET = 4.0
"""Seconds after a start until memory is looked at: tfd gives its start's back after two."""

REPORT_LIMIT = 20.0


def isolated(python: str, program: str, *arguments: str | Path) -> list[str | Path]:
    """Give the command of a program of this package, whose interpreter takes nothing from the environment."""
    return [python, "-I", Path(__file__).with_name(program), TREE, *arguments]


def compile_modules(python: str) -> None:
    """Compile what is measured, as installed modules are: an interpreter that does it itself takes more."""
    run([python, "-m", "compileall", "-q", TREE / "tfd"])


@dataclass(frozen=True, slots=True)
class Box:
    """One running tfd and its location."""

    ends: Ends

    @property
    def pid(self) -> int:
        """The process of tfd."""
        return self.ends.near[-1]

    @property
    def location_pid(self) -> int:
        """The process of tflocation."""
        return self.ends.far[-1]

    @property
    def log(self) -> Path:
        """What tfd prints."""
        return self.ends.place.directory / "near.log"

    def status(self) -> dict[str, Any]:
        """Give what tfd answers to `tfd status`."""
        document: dict[str, Any] = json.loads(
            ask("status", self.ends.place.directory / "run" / "status.sock")
        )
        return document

    def report(self, number: int) -> str:
        """Have tfd tell what is within it (see inside.py), and give that."""
        before = self.log.stat().st_size
        os.kill(self.pid, number)

        def told() -> str:
            with self.log.open() as file:
                file.seek(before)
                text = file.read()
            return text if END in text else ""

        return wait_for(told, REPORT_LIMIT, "tfd's report")


@contextmanager
def location(directory: Path, accounts: int = 1) -> Iterator[tuple[Ends, list[str]]]:
    """Run a location with its backend, and give an invite for each account."""
    directory.mkdir()
    with ExitStack() as stack:
        port = stack.enter_context(backend(directory))
        ends = Ends(Place(directory, free_port(), free_port(), port), stack)
        _, *more = ours.start_location(ends, more=accounts - 1)
        yield ends, [ends.invite, *more]


def declare(ends: Ends, containers: int) -> None:
    """Write a tfd.toml with so many containers at the first account's location, each with a listener."""
    place = ends.place
    ports = [place.near, *(free_port() for _ in range(containers - 1))]
    (place.directory / "tfd.toml").write_text(
        "".join(
            f'[container.c{number}]\nimage = "backend"\nlocation = "location0"\n'
            f'[[listener]]\nbind = "127.0.0.1:{port}"\ncontainer = "c{number}"\nport = {place.backend}\n'
            for number, port in enumerate(ports)
        )
    )


@contextmanager
def serving(python: str, ends: Ends, invites: Sequence[str], containers: int = 1) -> Iterator[Box]:
    """Run a tfd that joins with these invites, until it relays and has been quiet for a while."""
    directory, environment = ends.place.directory, ours.environment(ends)
    for name in ("state", "run"):
        (directory / name).mkdir(exist_ok=True)
    words = [f"{name}={value}" for name, value in environment.items()]
    for number, invite in enumerate(invites):
        join = isolated(python, "inside.py", "join", "--name", f"location{number}", invite)
        run(["env", *words, *join])
    declare(ends, containers)
    with ExitStack() as stack:
        mine = Ends(ends.place, stack, far=ends.far)
        ours.seconds_to_ready(mine, isolated(python, "inside.py", "--config", directory / "tfd.toml"))
        if not answers(ends.place):
            raise RuntimeError(f"nothing comes back through tfd: see {directory}/*.log")
        time.sleep(QUIET)
        yield Box(mine)
