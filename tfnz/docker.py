"""The Docker-compatible engine of this machine, under the names that programs written for 20ft use."""

import sys
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from tfnz.images import description as descriptions
from tfnz.images.engine import (
    DOCKER_SOCKET,
    HINT,
    LocalEngine,
    LocalEngineError,
    NoEngineError,
    find_engine,
    spool_directory,
)

if TYPE_CHECKING:
    from tfnz.connection import Connection

__all__ = ["Docker"]


class Docker:
    """Images of the local engine: Docker, or Podman where Docker is not there. DOCKER_HOST is honoured."""

    docker_socket = DOCKER_SOCKET
    """Path of the engine's socket; set another one to use that alone."""
    docker_url_base = "http+unix://%2Fvar%2Frun%2Fdocker.sock"
    session: None = None
    """Kept for its name: each request has a connection of its own."""

    @staticmethod
    def description(docker_image_id: str, *, conn: "Connection | None" = None) -> dict[str, Any]:
        """Give the local engine's description of an image, else, with `conn`, the location's.

        In it are `Id`, `Architecture`, `Os`, `Config` (`Env`, `Cmd`, `Entrypoint`, `WorkingDir`,
        `ExposedPorts` as {"80/tcp": {}}) and `RootFS.Layers` ("sha256:..."). Raises RuntimeError where
        neither has it.
        """
        trouble = "the local engine does not have it"
        try:
            found = find_engine(Docker.docker_socket).inspect(docker_image_id)
            if found is not None:
                return descriptions.cleaned(found)
        except RuntimeError as error:
            trouble = str(error)
            if conn is None:
                _hint(error)
        cached = descriptions.at_location(conn, docker_image_id) if conn is not None else None
        if cached is None:
            raise RuntimeError(f"image {docker_image_id!r} is not known: {trouble}")
        return cached

    @staticmethod
    def tarball(docker_image_id: str) -> bytes:
        """Give the saved image, whole in memory; `tfnz.images` streams it. Raises RuntimeError."""
        import tempfile

        engine = _engine()
        if engine.inspect(docker_image_id) is None:
            raise RuntimeError(f"image {docker_image_id!r}: the local engine does not have it")
        with tempfile.TemporaryFile(dir=spool_directory()) as file:
            engine.save(docker_image_id, cast("BinaryIO", file))
            file.seek(0)
            return file.read()

    @staticmethod
    def last_image() -> str:
        """Give the id, 12 digits, of the image that was built last on this machine.

        Raises ValueError where there is none, RuntimeError without an engine.
        """
        engine = _engine()
        images = engine.images()
        if not images:
            raise ValueError("there are no images in the local engine; build one first")
        newest = max(_created(image) for image in images)
        found = [str(image.get("Id", "")) for image in images if _created(image) == newest]
        if len(found) > 1:
            # The list tells whole seconds; a description tells more.
            found.sort(key=lambda image: str((engine.inspect(image) or {}).get("Created", "")).rstrip("Z"))
        digits = found[-1].removeprefix("sha256:")[:12]
        if len(digits) < 12:
            raise LocalEngineError(f"the local engine tells an image with the id {found[-1]!r}")
        return digits


def _engine() -> LocalEngine:
    """Give the local engine; where there is none, a hint goes to stderr. Raises NoEngineError."""
    try:
        return find_engine(Docker.docker_socket)
    except NoEngineError as error:
        _hint(error)
        raise


def _hint(error: RuntimeError) -> None:
    if isinstance(error, NoEngineError):
        print(HINT, file=sys.stderr)


def _created(image: dict[str, Any]) -> int:
    created = image.get("Created")
    return created if isinstance(created, int) else 0
