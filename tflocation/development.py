"""A private LXD or Incus with a state directory of its own: for quickstart, and for the tests.

It takes nothing of the machine but one bridge, and leaves nothing behind: what an earlier run left because
it was killed is removed at the next start.
"""

import hashlib
import http.client
import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from tflocation import leftovers
from tflocation.enginesocket import ask

Kind = Literal["lxd", "incus"]

POOL_SIZE = 16 << 30  # bytes; the file is sparse
START_LIMIT = 60.0  # seconds
STOP_LIMIT = 30.0  # seconds
LONGEST_DIRECTORY = 60  # characters; the engine's socket paths below it may have 107
_POLL = 0.02
_PANICKED = 2  # the exit code of a Go program that panics
_PROGRAMS: dict[Kind, tuple[str, ...]] = {
    "lxd": ("lxd",),
    "incus": ("incusd", "/usr/libexec/incus/incusd", "/usr/lib/incus/incusd", "/opt/incus/bin/incusd"),
}


class DevelopmentError(Exception):
    """A private engine could not be started; the message says why and what to do."""


def program(kind: Kind) -> str | None:
    """Path of the engine's daemon, or None where it is not installed."""
    return next((found for name in _PROGRAMS[kind] if (found := shutil.which(name))), None)


class PrivateEngine:
    """An engine with its state in `directory` (absolute, short), which it makes and owns.

    `with` starts it and destroys it. `stop` keeps its state (images, volumes, stopped containers) for the
    next `start`. Needs root. Raises DevelopmentError.
    """

    def __init__(self, directory: Path, kind: Kind = "lxd", *, pool_size: int = POOL_SIZE) -> None:
        self.directory = directory
        self.kind = kind
        self.pool = "tfd"
        self.project = "tfd"
        self.bridge = "tf" + hashlib.blake2b(os.fsencode(directory), digest_size=4).hexdigest()
        self.socket = directory / "unix.socket"
        self.log = directory.with_name(directory.name + ".log")
        self._pool_size = pool_size
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "PrivateEngine":
        try:
            self.start()
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.destroy()

    @property
    def pid(self) -> int | None:
        """Process id of the engine's daemon while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def crashed(self) -> bool:
        """Whether the engine's daemon ended by a fault of its own; `run_daemon` brings it back."""
        return self._process is not None and self._process.poll() == _PANICKED

    def start(self) -> None:
        """Start the engine with what it had when it was stopped, and wait until it answers."""
        self._check()
        if leftovers.find(self.directory, self.bridge):
            leftovers.remove(self.directory, self.bridge)
        self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.run_daemon()
        if self._ask("GET", f"/1.0/storage-pools/{self.pool}")[0] == http.client.NOT_FOUND:
            self._make_pool()

    def run_daemon(self) -> None:
        """Run the daemon over whatever is there, as after it was killed, and wait until it answers."""
        found = program(self.kind)
        if found is None:
            raise DevelopmentError(f"{self.kind} is not installed: apt install {_package(self.kind)}")
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_SOCKET")}
        environment["LXD_DIR" if self.kind == "lxd" else "INCUS_DIR"] = str(self.directory)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                # A shell's background jobs ignore signals, and containers would inherit that.
                ["env", "--default-signal", found, "--group", "root"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_ready()

    def stop(self) -> None:
        """Stop the engine as when a machine goes down, and remove all but its state directory."""
        if self.pid:
            self._stop_daemon()
        leftovers.remove(self.directory, self.bridge)

    def destroy(self) -> None:
        """Kill the containers, stop, and remove the state directory and the log too."""
        if self.pid:
            self._kill_containers()
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.directory.exists():  # a subvolume or an immutable file: say which
            shutil.rmtree(self.directory)
        self.log.unlink(missing_ok=True)

    def kill(self) -> None:
        """Kill the daemon as a crash would; containers live on. `run_daemon` brings it back."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def _check(self) -> None:
        if os.geteuid() != 0:
            raise DevelopmentError("a private engine needs root: run this with sudo")
        if not self.directory.is_absolute() or len(str(self.directory)) > LONGEST_DIRECTORY:
            raise DevelopmentError(
                f"the directory of a private engine must be absolute and at most {LONGEST_DIRECTORY} "
                f"characters long, and {self.directory} is not"
            )
        for parent in self.directory.parents:
            if parent.exists() and not parent.stat().st_mode & stat.S_IXOTH:
                raise DevelopmentError(
                    f"containers' users cannot pass {parent}: chmod o+x it, or take another directory"
                )
        for name in ("/etc/subuid", "/etc/subgid"):
            path = Path(name)
            lines = path.read_text().splitlines() if path.exists() else []
            ranges = [line for line in lines if line.startswith("root:")]
            if not ranges:
                raise DevelopmentError(f"{name} gives root no ids: add the line root:1000000:1000000000")
            if len(ranges) > 1 and self.kind == "incus":
                raise DevelopmentError(
                    f"{name} gives root {len(ranges)} ranges of ids, with which Incus starts no container: "
                    f"keep one, such as {ranges[0]}"
                )

    def _wait_ready(self) -> None:
        end = time.monotonic() + START_LIMIT
        while time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                if self._ask("GET", "/internal/ready")[0] == http.client.OK:
                    return
            except (OSError, http.client.HTTPException):
                pass  # not listening yet
            time.sleep(_POLL)
        last = self.log.read_text(errors="replace").splitlines()[-3:]
        raise DevelopmentError(f"{self.kind} in {self.directory} does not start: {' / '.join(last)}")

    def _make_pool(self) -> None:
        body = {
            "name": self.pool,
            "driver": "btrfs" if shutil.which("mkfs.btrfs") else "dir",
            "config": {"size": str(self._pool_size)} if shutil.which("mkfs.btrfs") else {},
        }
        status, answer = self._ask("POST", "/1.0/storage-pools", body)
        if status >= http.client.BAD_REQUEST:
            raise DevelopmentError(f"{self.kind} cannot make a storage pool: {answer.get('error')}")

    def _kill_containers(self) -> None:
        """Kill all containers at once: the daemon's own shutdown asks each one first."""
        try:
            _, answer = self._ask(
                "PUT", f"/1.0/instances?project={self.project}", {"state": {"action": "stop", "force": True}}
            )
            if operation := answer.get("operation"):
                self._ask("GET", f"{operation}/wait?timeout={int(STOP_LIMIT)}")
        except (OSError, http.client.HTTPException):
            pass  # a daemon that does not answer is stopped the hard way

    def _stop_daemon(self) -> None:
        process = self._process
        assert process is not None
        leftovers.end_file_helpers(self.directory)
        process.send_signal(signal.SIGPWR)
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        return ask(self.socket, method, path, body)


def _package(kind: Kind) -> str:
    return "lxd btrfs-progs" if kind == "lxd" else "incus-base dnsmasq-base btrfs-progs"
