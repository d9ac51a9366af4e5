"""Debian's docker-registry on a loopback address: a real one, for pulling from."""

import http.client
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_for

PROGRAM = shutil.which("docker-registry")
CONFIG = """
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {directory}}}
http: {{addr: "127.0.0.1:{port}"}}
{auth}
"""


class Registry:
    """One registry at `address` (host and port), without TLS."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._port = port

    def push(self, archive: str, name: str, *, credentials: str = "") -> None:
        """Put an image from an archive ("oci-archive:PATH") under a name, with "USER:PASSWORD" if need be."""
        command = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--dest-tls-verify=false"]
        command += [f"--dest-creds={credentials}"] if credentials else []
        subprocess.run([*command, archive, f"docker://{self.address}/{name}"], check=True)

    def answers(self) -> bool:
        """Whether it takes requests."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status in (200, 401)
        except OSError:
            return False
        finally:
            connection.close()


@contextmanager
def registry(directory: Path, users: Mapping[str, str] | None = None) -> Iterator[Registry]:
    """Run a registry with its data in `directory`, open to all or to `users` (htpasswd hashes by name)."""
    assert PROGRAM is not None, "apt install docker-registry"
    directory.mkdir()
    auth = ""
    if users:
        lines = "".join(f"{name}:{hashed}\n" for name, hashed in users.items())
        (directory / "htpasswd").write_text(lines)
        auth = f"auth: {{htpasswd: {{realm: test, path: {directory / 'htpasswd'}}}}}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = directory / "config.yml"
    config.write_text(CONFIG.format(directory=directory / "data", port=port, auth=auth))
    with subprocess.Popen(
        [PROGRAM, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            running = Registry(port)
            wait_for(running.answers, 60, "the registry's first answer")
            yield running
        finally:
            process.kill()
