"""Making an image available at a location, whichever way it can come there with the fewest bytes sent."""

import logging
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from tfd.protocol.errors import Code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tfd.protocol.layouts import ImageDescription
    from tfnz.connection import Connection
    from tfnz.images.delivery import Progress
    from tfnz.images.engine import LocalEngine

FIND_LIMIT: Final = 30.0
IMAGE_LIMIT: Final = 1800.0
"""Seconds for the location to pull an image or to unpack one, and to hand it to its engine."""
MAX_NAMES: Final = 64
"""Names of one image that a location takes at once."""
_ID: Final = re.compile(r"[0-9a-f]{12,64}")
_ARCHIVE_SUFFIXES: Final = (".tar", ".tar.gz", ".tgz")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImageAtLocation:
    """An image that the location has.

    `name_to_spawn` is its digest there. `description` is as `tfnz.docker.Docker.description` tells it.
    `layers` are the sha256 of its layers in order, in hexadecimal digits, no two equal neighbours.
    """

    name_to_spawn: str
    description: dict[str, Any]
    layers: list[str]


def ensure(connection: "Connection", name: str, progress: "Progress | None" = None) -> ImageAtLocation:
    """Make the image available at the location: what is missing there is sent.

    `name` is what the local engine or the location knows ("nginx", "tfnz/docs", "postgres:alpine", an id, 12
    digits of one), else what the location's registries have, or an archive on this machine:
    "oci-archive:PATH", "docker-archive:PATH", "oci:DIRECTORY", a path. `progress` is told (bytes done,
    bytes in all) while blobs are sent. Repeating it costs two questions.

    Raises RuntimeError where no source has the image, ValueError where it cannot be used (damaged, for
    another architecture, refused by the location), TimeoutError. Nothing half done stays visible there.
    """
    from tfnz.images import description as descriptions

    if _is_archive(name):
        digest, described = _from_archive(connection, name, progress)
    else:
        digest, described = _from_engine(connection, name, progress) or _from_location(connection, name)
    return ImageAtLocation(digest, described, descriptions.layers(described))


def _is_archive(name: str) -> bool:
    if name.startswith(("./", "../", "/", "~/", "oci:", "oci-archive:", "docker-archive:")):
        return True
    return name.endswith(_ARCHIVE_SUFFIXES) and os.path.isfile(name)  # noqa: PTH113 - pathlib costs memory


def _from_archive(
    connection: "Connection", name: str, progress: "Progress | None"
) -> tuple[str, dict[str, Any]]:
    from tfd.protocol.archive import ArchiveError, open_image
    from tfnz.images.description import from_config
    from tfnz.images.engine import spool_directory

    try:
        with open_image(name, spool_directory=spool_directory()) as image:
            _bring(connection, name, image, list(image.names), progress)
            return image.config_digest, from_config(image.config_digest, image.config)
    except ArchiveError as error:
        raise ValueError(f"image {name}: {error}") from error


def _from_engine(
    connection: "Connection", name: str, progress: "Progress | None"
) -> tuple[str, dict[str, Any]] | None:
    """Bring the image of the local engine, None where it has none of that name."""
    local = _local(name)
    if local is None:
        return None
    from tfnz.images import description as descriptions
    from tfnz.images.known import KnownDigests

    engine, told = local
    described = descriptions.cleaned(told)
    engine_id = str(told.get("Id", ""))
    known = KnownDigests()
    digest = _present(connection, name, [known.get(engine_id), engine_id])
    if digest is not None:
        _tell_nothing_missing(name, descriptions.layers(described))
        return digest, described
    digest = _bring_saved(connection, engine, name, progress)
    known.put(engine_id, digest)
    return digest, described


def _local(name: str) -> "tuple[LocalEngine, dict[str, Any]] | None":
    """Give the local engine and what it tells of the image; None where it has none, or does not run."""
    from tfnz.images import engine as engines

    try:
        engine = engines.find_engine()
        told = engine.inspect(name)
    except RuntimeError as error:
        log.debug("the local engine was not asked for image %s: %s", name, error)
        return None
    return None if told is None else (engine, told)


def _present(connection: "Connection", name: str, digests: "Sequence[str | None]") -> str | None:
    """Give the one of these digests that the location has, under this name too where it is one."""
    for digest in dict.fromkeys(digests):
        if digest and _find(connection, digest) == digest:
            named = _find(connection, name) if _names(name) else digest
            return digest if named == digest else None
    return None


def _find(connection: "Connection", name: str) -> str | None:
    found = connection.call("image.find", {"name": name}, FIND_LIMIT)["image"]
    return None if found is None else str(found)


def _names(name: str) -> list[str]:
    """Give the name, where it is one and not an id, to be kept with the image at the location."""
    from tfd.protocol import oci

    return [name] if oci.is_name(name) and not _ID.fullmatch(name) else []


def _bring_saved(
    connection: "Connection", engine: "LocalEngine", name: str, progress: "Progress | None"
) -> str:
    """Save the image into an unnamed file and bring it from there; give its digest."""
    import tempfile

    from tfd.protocol.archive import ArchiveError, read_archive
    from tfnz.images.engine import spool_directory

    with tempfile.TemporaryFile(dir=spool_directory()) as spooled:
        file = cast("BinaryIO", spooled)
        engine.save(name, file)
        try:
            image = read_archive(file, f"image {name!r} of the local engine")
        except ArchiveError as error:
            raise ValueError(str(error)) from error
        _bring(connection, name, image, [*image.names, *_names(name)], progress)
        return image.config_digest


def _bring(
    connection: "Connection",
    name: str,
    image: "ImageDescription",
    names: "Sequence[str]",
    progress: "Progress | None",
) -> None:
    """Offer the image, send what is missing, and have it made of the blobs."""
    from tfd.protocol.image_name import canonical
    from tfnz.images import delivery

    kept = list(dict.fromkeys(canonical(one) for one in names))[-MAX_NAMES:]
    offer = {
        "config": image.config_digest,
        "config_size": len(image.config),
        "manifest": image.manifest,
        "layers": [{"digest": layer.digest, "size": layer.size} for layer in image.layers],
        "names": kept,
    }
    blobs = image.blobs
    log.info("Ensuring layers (%d) are uploaded for: %s", len(image.layers), name)
    answer = connection.call("image.offer", offer, FIND_LIMIT)
    missing = [blobs[digest] for digest in answer["missing"] if digest in blobs]
    layers = [blob for blob in missing if blob.digest != image.config_digest]
    if layers:
        log.info("Layers to upload: %d of %d", len(layers), len(image.layers))
    else:
        log.info("No layers need uploading for: %s", name)
    if missing:
        delivery.deliver(connection, missing, progress)
    commit = {"config": image.config_digest, "manifest": image.manifest, "names": kept}
    connection.call("image.commit", commit, IMAGE_LIMIT)


def _tell_nothing_missing(name: str, layers: "Sequence[str]") -> None:
    log.info("Ensuring layers (%d) are uploaded for: %s", len(layers), name)
    log.info("No layers need uploading for: %s", name)


def _from_location(connection: "Connection", name: str) -> tuple[str, dict[str, Any]]:
    """Find the image at the location, or have it pulled there. Raises RuntimeError."""
    from tfnz.connection import RemoteError
    from tfnz.images import description as descriptions

    try:
        digest = _find(connection, name)
        if digest is None:
            log.info("Looking for an image in the location's registries: %s", name)
            digest = str(connection.call("image.pull", {"name": name}, IMAGE_LIMIT)["image"])
        described = descriptions.at_location(connection, digest)
    except RemoteError as error:
        if error.code in (Code.NOT_FOUND, Code.BAD_PARAMETER):
            raise _nowhere(name, error) from error
        raise
    if described is None:
        raise RuntimeError(f"image {name!r} was removed from the location meanwhile; try again")
    _tell_nothing_missing(name, descriptions.layers(described))
    return digest, described


def _nowhere(name: str, error: ValueError) -> RuntimeError:
    """Give the error for an image that no source has; without a local engine, a hint goes to stderr too."""
    from tfnz.images import engine as engines

    try:
        engines.find_engine()
        local = "the local engine does not have it"
    except engines.NoEngineError as trouble:
        local = str(trouble)
        print(engines.HINT, file=sys.stderr)
    return RuntimeError(f"image {name!r} was found nowhere: {local}; {error}")
