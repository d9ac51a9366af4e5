"""The container engine of this machine, over its Unix socket: Docker's API, which Podman serves too.

Written on a bare socket in HTTP/1.0, whose replies end with the connection: `http.client` would load ssl and
email with it, more than a quarter of what a small program may take. A reply that is cut short is noticed by
its reader, since JSON and archives tell where they end.

Sources: Docker Engine API 1.24 and later (`/images/json`, `/images/NAME/json`, `/images/NAME/get`), docker(1)
on DOCKER_HOST, podman-system-service(1) on its sockets.
"""

import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from pathlib import Path

DOCKER_SOCKET: Final = "/var/run/docker.sock"

ANSWER_LIMIT: Final = 60.0
"""Seconds for each part of an answer about images."""

SAVE_LIMIT: Final = 600.0
"""Seconds for each part of a saved image; an engine may collect a large one before its first byte."""

MAX_DOCUMENT: Final = 64 << 20
"""Bytes of an answer in JSON; the list of thousands of images has a few MiB."""

HINT: Final = (
    "Images come from Docker or Podman on this machine, or from the location itself. To use the local ones, "
    "start the engine (systemctl start docker; or, for Podman, systemctl --user start podman.socket) or set "
    "DOCKER_HOST=unix:///path/to/its/socket"
)


class NoEngineError(RuntimeError):
    """No local engine answers; the message tells which sockets were tried and why each failed."""


class LocalEngineError(RuntimeError):
    """The local engine answered with an error; the message holds its words."""


def sockets(environment: Mapping[str, str], default: str = DOCKER_SOCKET) -> list[str]:
    """Give the sockets to try, in order: DOCKER_HOST alone where it is set, else Docker's, then Podman's.

    Raises NoEngineError where DOCKER_HOST is no Unix socket.
    """
    host = environment.get("DOCKER_HOST", "")
    if host:
        if not host.startswith("unix://"):
            raise NoEngineError(f"DOCKER_HOST is {host}; only unix:///PATH is understood")
        return [host.removeprefix("unix://")]
    if default != DOCKER_SOCKET:
        return [default]
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    own = [f"{runtime}/docker.sock", f"{runtime}/podman/podman.sock"]
    return [default, *own, "/run/podman/podman.sock"]


def find_engine(default: str = DOCKER_SOCKET) -> "LocalEngine":
    """Give the first engine that accepts a connection. Raises NoEngineError."""
    tried = []
    for path in sockets(os.environ, default):
        try:
            with _connect(path):
                return LocalEngine(path)
        except FileNotFoundError:
            tried.append(f"{path}: is not there")
        except PermissionError:
            tried.append(f"{path}: permission denied; run as root, or join the group that owns it")
        except OSError as error:
            tried.append(f"{path}: {error.strerror or error}")
    raise NoEngineError(f"no container engine answers on this machine ({'; '.join(tried)})")


def is_asked_for(name: str) -> bool:
    """Tell whether an engine can be asked for this: a name or an id, nothing that means more in a path."""
    from tfd.protocol import oci

    return oci.is_digest(name) or oci.is_name(name)


class LocalEngine:
    """One engine at a Unix socket. Every method may raise LocalEngineError and, if it went, NoEngineError."""

    def __init__(self, path: str) -> None:
        self.path = path

    def inspect(self, name: str) -> dict[str, Any] | None:
        """Give what the engine tells of an image, by name, id or a part of it; None without it."""
        if not is_asked_for(name):
            return None
        found = self._document(f"/images/{name}/json")
        if found is not None and not isinstance(found, dict):
            raise LocalEngineError(f"{self.path}: what it tells of image {name!r} is no JSON object")
        return found

    def images(self) -> list[dict[str, Any]]:
        """Give the engine's list of images."""
        found = self._document("/images/json")
        if not isinstance(found, list) or not all(isinstance(image, dict) for image in found):
            raise LocalEngineError(f"{self.path}: its list of images is no JSON list of objects")
        return found

    def save(self, name: str, file: BinaryIO) -> None:
        """Write the image as `docker save` does into `file`, in bounded memory."""
        from tfd.protocol import archive

        what = f"image {name!r} of the local engine"
        if not is_asked_for(name):
            raise LocalEngineError(f"{what}: this is no name of an image")
        status, body = self._get(f"/images/{name}/get", SAVE_LIMIT)
        with body:
            try:
                if status != 200:
                    raise LocalEngineError(
                        f"{what} cannot be saved: {_message(body.read(MAX_DOCUMENT), status)}"
                    )
                archive.spool(body, file, what)
            except TimeoutError as error:
                raise LocalEngineError(f"{what}: nothing came for {SAVE_LIMIT:g} s") from error
            except OSError as error:
                raise LocalEngineError(f"{what} cannot be saved: {error.strerror or error}") from error
            except archive.ArchiveError as error:
                raise LocalEngineError(str(error)) from error

    def _document(self, path: str) -> object:
        """Give the answer's JSON, None where the engine has no such thing."""
        import json

        status, body = self._get(path, ANSWER_LIMIT)
        with body:
            try:
                content = body.read(MAX_DOCUMENT + 1)
            except OSError as error:
                raise LocalEngineError(f"{self.path}: {path}: {error.strerror or error}") from error
        if status == 404:
            return None
        if status != 200:
            raise LocalEngineError(f"{self.path}: {path}: {_message(content, status)}")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise LocalEngineError(
                f"{self.path}: {path}: the answer is cut short or no JSON: {error}"
            ) from error

    def _get(self, path: str, limit: float) -> tuple[int, BinaryIO]:
        """Give the reply's status and its body, which the caller closes."""
        try:
            connection = _connect(self.path)
        except OSError as error:
            raise NoEngineError(f"{self.path}: {error.strerror or error}") from error
        body = connection.makefile("rb")
        connection.close()  # the file keeps the connection
        try:
            connection.settimeout(limit)
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            status = _status(body.readline(4096))
            while body.readline(65536).strip():
                pass
        except (OSError, ValueError) as error:
            body.close()
            raise LocalEngineError(f"{self.path}: {path}: {error}") from error
        return status, body


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(ANSWER_LIMIT)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _status(line: bytes) -> int:
    """Read the number in "HTTP/1.0 200 OK". Raises ValueError."""
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ValueError(f"it does not speak HTTP: {line[:40]!r}")
    return int(rest[:3])


def _message(content: bytes, status: int) -> str:
    """Give the error text of an engine's reply."""
    import json

    try:
        said = json.loads(content)["message"]
    except (ValueError, KeyError, TypeError):
        said = content[:200].decode("utf-8", "replace").strip()
    return str(said) or f"status {status}"


def spool_directory() -> "Path":
    """Give where large temporary files go: TMPDIR, else /var/tmp, since /tmp may lie in memory."""
    from pathlib import Path

    return Path(os.environ.get("TMPDIR") or "/var/tmp")  # noqa: S108 - unnamed files alone are made there
