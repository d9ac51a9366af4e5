"""Podman's API service with a storage of its own: a real engine that keeps and serves images."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_for

PROGRAM = shutil.which("podman")
START_LIMIT = 30
ANSWER_LIMIT = 60


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_LIMIT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_LIMIT)
        self.sock.connect(os.fspath(self._path))


class Podman:
    """A running service; `socket` is where it listens."""

    def __init__(self, path: Path) -> None:
        self.socket = path

    @property
    def host(self) -> str:
        """What DOCKER_HOST has to be."""
        return f"unix://{self.socket}"

    def ask(self, method: str, path: str, content: bytes = b"") -> tuple[int, bytes]:
        """Give the status and the body of an answer."""
        connection = _Connection(self.socket)
        try:
            connection.request(method, path, content or None, {"Content-Type": "application/x-tar"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def load(self, archive: Path, name: str = "") -> str:
        """Load an image archive and, with `name` ("HOST/PATH:TAG"), name it; give its id, "sha256:..."."""
        status, body = self.ask("POST", "/images/load", archive.read_bytes())
        assert status == 200, body
        loaded = json.loads(body)["stream"].split(": ", 1)[1].strip()
        if name:
            repository, _, tag = name.rpartition(":")
            status, body = self.ask("POST", f"/images/{loaded}/tag?repo={repository}&tag={tag}")
            assert status == 201, body
        return str(self.inspect(name or loaded)["Id"])

    def inspect(self, name: str) -> dict[str, Any]:
        """Give what the service tells of an image."""
        status, body = self.ask("GET", f"/images/{name}/json")
        assert status == 200, body
        answer: dict[str, Any] = json.loads(body)
        return answer

    def remove(self, name: str) -> None:
        """Remove an image."""
        status, body = self.ask("DELETE", f"/images/{name}?force=true")
        assert status == 200, body


@contextmanager
def podman(directory: Path) -> Iterator[Podman]:
    """Run the service with its storage in `directory`, which is removed with what it mounted."""
    assert PROGRAM is not None, "apt install podman"
    directory.mkdir(parents=True)
    running = Podman(directory / "podman.sock")
    # Podman takes no longer runroot than 50 characters.
    with tempfile.TemporaryDirectory(prefix="tfd-") as runroot, (directory / "log").open("wb") as log:
        storage = [f"--root={directory / 'root'}", f"--runroot={runroot}", f"--tmpdir={directory / 'tmp'}"]
        command = [PROGRAM, *storage, "--storage-driver=vfs", "system", "service", "--time=0", running.host]
        with subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                wait_for(running.socket.exists, START_LIMIT, f"podman's socket; see {directory / 'log'}")
                yield running
            finally:
                process.terminate()
                process.wait(START_LIMIT)
                shutil.rmtree(directory, ignore_errors=True)
