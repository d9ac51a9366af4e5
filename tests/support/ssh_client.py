"""OpenSSH's programs, pointed at an ssh server onto a container."""

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tfnz.ssh import SshServer

LIMIT = 60.0
"""Seconds for each wait."""


class SshClient:
    """OpenSSH's programs, pointed at one server, with a home directory of their own."""

    def __init__(self, server: SshServer, directory: Path) -> None:
        self.server = server
        self.host = "root@127.0.0.1"
        self.options = [
            *("-F", "/dev/null"),
            *("-o", "StrictHostKeyChecking=no"),
            *("-o", f"UserKnownHostsFile={directory / 'known_hosts'}"),
            *("-o", "LogLevel=ERROR"),
        ]

    def ssh(self, *words: str) -> list[str]:
        """Give the command line of ssh; options first, then the command for the container."""
        options = [word for word in words if word.startswith("-")]
        command = [word for word in words if not word.startswith("-")]
        return ["ssh", *self.options, "-p", str(self.server.port), *options, self.host, *command]

    def run(self, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run ssh to its end."""
        return run(self.ssh(*words), given)

    @property
    def command(self) -> str:
        """What programs that start ssh by themselves are told to start."""
        return " ".join(["ssh", *self.options, "-p", str(self.server.port)])


def run(
    words: list[str], given: bytes = b"", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, with these variables too."""
    variables = {**os.environ, **(environment or {})}
    return subprocess.run(words, input=given, capture_output=True, timeout=LIMIT, check=False, env=variables)


@contextmanager
def running(words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program meanwhile."""
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            # OpenSSH's client misses a signal that comes just before it waits for its sockets.
            process.kill()
            process.communicate(timeout=LIMIT)


def connected(port: int) -> socket.socket:
    """Connect to a port of loopback. Raises ConnectionRefusedError."""
    return socket.create_connection(("127.0.0.1", port), LIMIT)


def listening() -> list[str]:
    """Give the machine's listening TCP sockets, as ss(8) has them, one a line."""
    done = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True, timeout=LIMIT)
    return done.stdout.splitlines()
