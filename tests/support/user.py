"""A person with an account at a location, who runs programs of the SDK."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

LIMIT = 120
NO_ENGINE = "unix:///nonexistent/docker.sock"
_JOIN = "import sys; from tfnz import account; account.join(sys.argv[1])"


class Inviting(Protocol):
    """A location, as somebody who is to join sees it."""

    def invite(self, name: str) -> str:
        """Give the line of an invite for an account of that name."""


class User:
    """One person: a home directory with keys, and a local engine or none."""

    def __init__(self, home: Path, docker_host: str = NO_ENGINE) -> None:
        """Make the home directory."""
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.docker_host = docker_host

    @property
    def environment(self) -> dict[str, str]:
        """What the person's programs run with."""
        own = {"HOME": os.fspath(self.home), "XDG_CACHE_HOME": os.fspath(self.home / ".cache")}
        return {**os.environ, **own, "DOCKER_HOST": self.docker_host}

    def join(self, location: Inviting, name: str) -> None:
        """Accept an invite to the location, as an account of this name."""
        self.python(_JOIN, location.invite(name)).check_returncode()

    def start_python(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a Python program, given as text."""
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def python(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a Python program, given as text, to its end."""
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    def command(self, *arguments: str, program: str = "tf") -> list[str]:
        """Give the command line of one of the SDK's commands."""
        module = {"tf": "tf", "tfnz": "tf"}.get(program, program)
        # As the installed script does it: the name that it was called by says which one it is.
        start = f"import sys; sys.argv[0] = {program!r}; from tfnz.cli.{module} import main; main()"
        return [sys.executable, "-c", start, *arguments]

    def run(
        self, *arguments: str, program: str = "tf", given: bytes = b"", limit: float = LIMIT
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end, with `given` at its standard input."""
        return subprocess.run(
            self.command(*arguments, program=program),
            env=self.environment,
            input=given,
            capture_output=True,
            timeout=limit,
            check=False,
        )

    def start(
        self, *arguments: str, program: str = "tf", prefix: Sequence[str] = (), log: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command, its standard input empty, its output in pipes, or together in the file `log`."""
        command = [*prefix, *self.command(*arguments, program=program)]
        if log is None:
            return subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        with log.open("wb") as file:
            return subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )


def said(done: subprocess.CompletedProcess[bytes]) -> tuple[int, str, str]:
    """The exit code, stdout and stderr."""
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def failed(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line on stderr of a command that failed."""
    code, output, errors = said(done)
    assert (code, output) == (1, ""), errors
    (line,) = errors.strip().split("\n")
    return line
