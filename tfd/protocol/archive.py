"""Reads container images from archives on this machine, for sending them to a location.

Understood are OCI layouts (image specification 1.0, image-layout.md) as a directory or in a tar file, and
what `docker save` writes: today's with OCI blobs in it, and yesterday's with HASH/layer.tar and HASH.json.
Every image is described as an OCI image, with a manifest written here, so a location knows one format alone.
Nothing is unpacked and nothing is written; the contents of layers are read only where the archive does not
tell their digests. The location verifies every digest anyway.
"""

import io
from pathlib import Path
from typing import BinaryIO, cast

from tfd.protocol.dataclass import dataclass
from tfd.protocol.layouts import (
    GZIP,
    Blob,
    DirectorySource,
    ImageDescription,
    TarSource,
    read_docker,
    read_layout,
)
from tfd.protocol.oci import ArchiveError

__all__ = ["ArchiveError", "Blob", "ImageDescription", "is_archive", "open_image", "read_archive", "spool"]

SCHEMES = ("oci-archive", "docker-archive", "oci")
MAX_SPOOL = 64 << 30
"""Bytes of an archive that arrives as a stream or compressed."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Reference:
    """An image on this machine as a person writes it. `scheme` is empty for a bare path; `tag` may be."""

    scheme: str
    path: Path
    tag: str


def is_archive(image: str) -> bool:
    """Whether `image`, as written in tfd.toml, means an archive on this machine and not a name."""
    scheme, colon, _ = image.partition(":")
    return (bool(colon) and scheme in SCHEMES) or image.startswith(("./", "../", "/", "~/"))


def open_image(
    image: str, directory: Path = Path(), *, architecture: str = "", spool_directory: Path | None = None
) -> ImageDescription:
    """Open "oci-archive:PATH", "docker-archive:PATH", "oci:DIRECTORY", or a bare path to any of these.

    A relative path starts at `directory`. ":NAME" after the path chooses one of several images.
    `architecture` (such as "amd64") chooses from an image for several; without it, this machine's. A
    compressed archive is expanded into an unnamed file in `spool_directory`. Raises ArchiveError.
    """
    reference = _parse_reference(image, directory)
    what = str(reference.path)
    try:
        if reference.path.is_dir():
            if reference.scheme.endswith("-archive"):
                raise ArchiveError(f"{what}: is a directory; write oci:{reference.path}")
            return read_layout(DirectorySource(reference.path), reference.tag, architecture, what)
        if reference.scheme == "oci":
            raise ArchiveError(f"{what}: is not a directory; write oci-archive:{reference.path}")
        # Opening a named pipe would wait for its writer.
        if reference.path.exists() and not reference.path.is_file():
            raise ArchiveError(f"{what}: is neither a file nor a directory")
        file: BinaryIO = reference.path.open("rb")
        try:
            if file.read(len(GZIP)) == GZIP:
                file = _expanded(file, what, spool_directory)
            return read_archive(file, what, reference.scheme, reference.tag, architecture)
        except BaseException:
            file.close()
            raise
    except OSError as error:
        raise ArchiveError(f"{what}: cannot be read: {error.strerror or error}") from error


def read_archive(
    file: BinaryIO, what: str, scheme: str = "", tag: str = "", architecture: str = ""
) -> ImageDescription:
    """Read a seekable tar archive named `what` in messages; the description closes `file`.

    Without a scheme the archive tells its own format. Raises ArchiveError, with `file` left open.
    """
    source = TarSource(file, what)
    # Today's docker save writes both; only its own list tells all names.
    if scheme != "oci-archive" and "manifest.json" in source.index:
        return read_docker(source, tag, what)
    if scheme == "docker-archive":
        raise ArchiveError(f"{what}: has no manifest.json, so docker save did not write it")
    if "index.json" not in source.index:
        raise ArchiveError(
            f"{what}: is no image archive: neither index.json (OCI) nor manifest.json (Docker) is in it"
        )
    return read_layout(source, tag, architecture, what)


def spool(stream: BinaryIO, file: BinaryIO, what: str, limit: int = MAX_SPOOL) -> None:
    """Copy a stream that cannot seek (`docker save | ...`), compressed by gzip or not, into `file`.

    Raises ArchiveError beyond `limit` bytes or where the compression is damaged, OSError as the files do.
    """
    reader = io.BufferedReader(cast("io.RawIOBase", stream)) if isinstance(stream, io.RawIOBase) else stream
    first = reader.read(_CHUNK)
    if first.startswith(GZIP):
        import gzip
        import zlib

        reader = cast("BinaryIO", gzip.GzipFile(fileobj=_Joined(first, reader)))
        first = b""
        damage: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)
    else:
        damage = ()
    total = 0
    try:
        while chunk := first or reader.read(_CHUNK):
            first = b""
            total += len(chunk)
            if total > limit:
                raise ArchiveError(f"{what}: is longer than {limit} bytes")
            file.write(chunk)
    except damage as error:
        raise ArchiveError(f"{what}: its compression is damaged: {error}") from error


def _parse_reference(image: str, directory: Path) -> _Reference:
    scheme, colon, rest = image.partition(":")
    if not colon or scheme not in SCHEMES:
        scheme, rest = "", image
    if not rest or "\0" in rest:
        raise ArchiveError(f"{image!r}: a path is missing")
    path = directory / Path(rest).expanduser()
    if not path.exists() and ":" in rest:
        shorter, _, tag = rest.partition(":")
        if shorter:
            return _Reference(scheme, directory / Path(shorter).expanduser(), tag)
    return _Reference(scheme, path, "")


class _Joined(io.RawIOBase):
    """Bytes already read from a stream, and then the rest of it."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first = first
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if not self._first:
            return self._rest.read(size)
        size = len(self._first) if size < 0 else size
        chunk, self._first = self._first[:size], self._first[size:]
        return chunk


def _expanded(file: BinaryIO, what: str, directory: Path | None) -> BinaryIO:
    """Give the gzip-compressed archive in an unnamed file; `file` is closed."""
    import tempfile

    with file:
        file.seek(0)
        expanded = cast("BinaryIO", tempfile.TemporaryFile(dir=directory))  # noqa: SIM115 - the caller closes it
        try:
            spool(file, expanded, what)
        except BaseException:
            expanded.close()
            raise
    return expanded
