"""Our programs as quickstart runs them: a place for their state, and each one beside this program."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from preconditions import STOP_LIMIT, QuickstartError

TREE = Path(__file__).resolve().parent.parent
PROGRAMS = TREE / ".venv" / "bin"
STATE = Path("/var/lib/tfd-quickstart")
START_LIMIT = 90.0


class Place:
    """Where the state of one location and of its tfd lies, apart from that of installed ones."""

    def __init__(self, name: str) -> None:
        """Each engine has accounts of its own, so each has a place of its own."""
        self.directory = STATE / name
        self.directory.mkdir(parents=True, exist_ok=True)

    def environment(self, program: str) -> dict[str, str]:
        """Give a program's environment."""
        return {**os.environ, "STATE_DIRECTORY": os.fspath(self.directory / program)}

    def run(self, program: str, *arguments: str | Path, limit: float = 300.0) -> str:
        """Run one of our commands and give its output; raises QuickstartError with what it said."""
        command = [os.fspath(PROGRAMS / program), *(os.fspath(argument) for argument in arguments)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=limit,
                env=self.environment(program),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise QuickstartError(f"{' '.join(command)}: not done within {limit:.0f} s") from error
        if done.returncode != 0:
            raise QuickstartError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()


class Program:
    """One of our programs, run beside this one; its lines go to a file beside its state."""

    def __init__(
        self, place: Place, name: str, *arguments: str | Path, environment: dict[str, str] | None = None
    ) -> None:
        """Nothing is started yet; `environment` is for a program that is not a service."""
        self.name = name
        self.log = place.directory / f"{name}.log"
        self.command = [os.fspath(PROGRAMS / name), *(os.fspath(argument) for argument in arguments)]
        self.environment = {**place.environment(name), **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        Path(self.environment["STATE_DIRECTORY"]).mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )

    def ended(self) -> str:
        """Give one line on why it ended, or an empty string while it runs."""
        code = self.process.poll() if self.process else None
        if code is None:
            return ""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f"{self.name} ended with exit {code}: {lines[-1] if lines else 'it said nothing'}"

    def stop(self) -> None:
        """End it by SIGTERM, and by SIGKILL where that does not help within the limit."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def wait_until(what: str, programs: Sequence[Program], condition: Callable[[], bool]) -> None:
    """Wait for `condition`; raises QuickstartError once a program ended or the limit has passed."""
    end = time.monotonic() + START_LIMIT
    while not condition():
        for one in programs:
            if ended := one.ended():
                raise QuickstartError(ended)
        if time.monotonic() > end:
            logs = ", ".join(os.fspath(one.log) for one in programs)
            raise QuickstartError(f"after {START_LIMIT:.0f} s still waiting for {what}; see {logs}")
        time.sleep(0.1)
