"""The product as a user runs it: `tflocation` and `tfd` as processes, on a real engine."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM
from typing import Any

from tests.support.waiting import wait_for
from tflocation.development import PrivateEngine

START_LIMIT = 30.0
STOP_LIMIT = 30.0


def free_port() -> int:
    """Give a TCP port of loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """One of our programs as a process that can be stopped, killed and started anew."""

    def __init__(
        self, program: str, directory: Path, arguments: Sequence[str | Path], namespace: str = ""
    ) -> None:
        """Take `directory` for its state, its runtime files and its log; nothing is started yet."""
        self.program = program
        self.directory = directory
        self.arguments = [os.fspath(argument) for argument in arguments]
        self.prefix = ["ip", "netns", "exec", namespace] if namespace else []
        self.log = directory / f"{program}.log"
        self.process: subprocess.Popen[bytes] | None = None
        for name in ("state", "run"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the service and of commands that speak to it."""
        return {
            **os.environ,
            "STATE_DIRECTORY": os.fspath(self.directory / "state"),
            "RUNTIME_DIRECTORY": os.fspath(self.directory / "run"),
        }

    def command(self, *arguments: str | Path, limit: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a sub-command of the program beside the service."""
        return subprocess.run(
            [
                *self.prefix,
                sys.executable,
                "-m",
                self.program,
                *(os.fspath(argument) for argument in arguments),
            ],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )

    def start(self) -> None:
        """Start the process; its lines go on in the same log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", self.program, *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
            )

    @property
    def pid(self) -> int:
        """The process id of what was started."""
        assert self.process is not None
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, number: int = SIGTERM) -> int:
        """End it as an administrator would; give its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return self.process.returncode

    def lines(self) -> list[str]:
        """Give all log lines so far."""
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []


class Location(Service):
    """A running tflocation."""

    def __init__(
        self,
        directory: Path,
        engine: PrivateEngine,
        *,
        name: str = "home",
        address: str = "127.0.0.1",
        listen: str = "",
        extra: str = "",
    ) -> None:
        """Write its configuration: it listens on `listen`, or else `address`; `extra` is more TOML."""
        directory.mkdir(parents=True, exist_ok=True)
        self.port, self.channel_port = free_port(), free_port()
        self.name = name
        self.config = directory / "tflocation.toml"
        settings = {
            "name": name,
            "listen": f"{listen or address}:{self.port}",
            "channel_listen": f"{listen or address}:{self.channel_port}",
            "address": f"{address}:{self.port}",
            "engine": engine.socket,
            "project": engine.project,
            "pool": engine.pool,
            "network": engine.bridge,
        }
        self.config.write_text("".join(f'{key} = "{value}"\n' for key, value in settings.items()) + extra)
        super().__init__("tflocation", directory, ["--config", self.config])

    def start(self) -> None:
        """Start it and wait until it listens."""
        super().start()
        wait_for(
            lambda: self.status() is not None,
            START_LIMIT,
            f"tflocation {self.name} to answer; see {self.log}",
        )

    def status(self) -> dict[str, Any] | None:
        """Give what `tflocation status --json` prints, or None while it does not answer."""
        done = self.command("--config", self.config, "status", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def invite(self, name: str) -> str:
        """Give the line of an invite for an account of that name."""
        done = self.command("--config", self.config, "invite", name)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def add_image(self, archive: Path, name: str) -> None:
        """Put an image archive into the location under a name."""
        done = self.command("--config", self.config, "image", "add", archive, name, limit=300)
        assert done.returncode == 0, done.stderr


@contextmanager
def serving(location: Location, images: Mapping[str, Path]) -> Iterator[Location]:
    """Start a location, put these archives into it by their images' names, and stop it afterwards."""
    location.start()
    try:
        for name, archive in images.items():
            location.add_image(archive, name)
        yield location
    finally:
        location.stop()


class Daemon(Service):
    """A running tfd."""

    def __init__(self, directory: Path, namespace: str = "") -> None:
        """Take a directory for it; the configuration is written by `configure`."""
        directory.mkdir(parents=True, exist_ok=True)
        self.config = directory / "tfd.toml"
        super().__init__("tfd", directory, ["--config", self.config], namespace)

    def configure(self, text: str) -> None:
        """Write tfd.toml."""
        self.config.write_text(text)

    def join(self, invite: str) -> None:
        """Join a location by its invite."""
        done = self.command("join", invite)
        assert done.returncode == 0, done.stderr

    def status(self) -> dict[str, Any] | None:
        """Give what `tfd status --json` prints, or None while the daemon does not answer."""
        done = self.command("status", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def wait_ready(self, limit: float = 90.0) -> dict[str, Any]:
        """Wait until the daemon says that it is ready; give its status."""

        def ready() -> dict[str, Any] | None:
            status = self.status()
            return status if status is not None and status["ready"] else None

        answer = wait_for(ready, limit, f"tfd to be ready; see {self.log}")
        assert answer is not None
        return answer

    def reload(self) -> None:
        """Ask it to read its file anew, as `kill -HUP` does."""
        self.signal(signal.SIGHUP)
