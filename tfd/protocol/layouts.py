"""The formats of image archives: an OCI layout, and what `docker save` writes, as an `ImageDescription`.

Works on anything that opens files by name, so it does not know whether they lie in a tar file or a directory.
All of it comes from a stranger: documents, counts and links are bounded, and whatever is wrong raises
`ArchiveError`.
"""

import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeGuard, cast

from tfd.protocol import oci, tarindex
from tfd.protocol.dataclass import dataclass
from tfd.protocol.oci import ArchiveError, Descriptor

GZIP = b"\x1f\x8b"
ZSTANDARD = b"\x28\xb5\x2f\xfd"
MAX_INDEX_DEPTH = 3
"""Indexes within indexes; real ones have one inside the layout's own."""
MAX_NAMES = 64
"""Names of one image that a location takes."""
_CHUNK = 1 << 20
_BLOB_NAME = re.compile(r"blobs/sha256/([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Blob:
    """A config or a layer: its digest, its size in bytes, and a way to read it."""

    digest: str
    size: int
    _open: Callable[[], BinaryIO]

    def open(self) -> BinaryIO:
        """Open the content for reading and seeking; the caller closes it. Raises ArchiveError."""
        return self._open()


@dataclass(frozen=True, slots=True)
class ImageDescription:
    """An image as it lies in an archive, which stays open until `close`.

    `config_digest` identifies the image at every location. `manifest` is an OCI manifest. `layers` go from
    the lowest to the topmost and may repeat one; `blobs` has the config and each layer once, by digest.
    `names` are the names that the archive gives to the image.
    """

    config_digest: str
    config: bytes
    manifest: bytes
    layers: tuple[Blob, ...]
    names: tuple[str, ...]
    _close: Callable[[], None]

    @property
    def blobs(self) -> Mapping[str, Blob]:
        """Each blob that a location may ask for, by its digest."""
        config = Blob(self.config_digest, len(self.config), lambda: io.BytesIO(self.config))
        return {self.config_digest: config} | {layer.digest: layer for layer in self.layers}

    def close(self) -> None:
        """Close the archive; blobs can no longer be opened."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Section(io.RawIOBase):
    """A part of an archive as a file of its own. The archive's own position is not relied on."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file = file
        self._offset = offset
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        base = (0, self._position, self._size)[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._size - self._position)
        self._file.seek(self._offset + self._position)
        chunk = self._file.read(left if size < 0 else min(size, left))
        self._position += len(chunk)
        return chunk

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # typeshed hides its buffer type
        chunk = self.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


class TarSource:
    """An archive's members by name."""

    def __init__(self, file: BinaryIO, what: str) -> None:
        self.index = tarindex.read_index(file, what)
        self._file = file
        self._what = what

    def size(self, name: str) -> int:
        """Give the size of a file in bytes. Raises ArchiveError."""
        return tarindex.find(self.index, name, self._what).size

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading and seeking. Raises ArchiveError."""
        member = tarindex.find(self.index, name, self._what)
        return cast("BinaryIO", _Section(self._file, member.offset, member.size))

    def close(self) -> None:
        """Close the archive."""
        self._file.close()


class DirectorySource:
    """An OCI layout's files; names are made of digests alone, so none leads out of it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def size(self, name: str) -> int:
        """Give the size of a file in bytes. Raises ArchiveError."""
        try:
            return (self._path / name).stat().st_size
        except OSError as error:
            raise ArchiveError(f"{self._path}: {name}: {error.strerror}") from error

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading and seeking. Raises ArchiveError."""
        try:
            return (self._path / name).open("rb")
        except OSError as error:
            raise ArchiveError(f"{self._path}: {name}: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is kept open."""


_Source = TarSource | DirectorySource


def _load(source: _Source, name: str, limit: int, what: str) -> bytes:
    """Give a whole document, which may have at most `limit` bytes."""
    size = source.size(name)
    if size > limit:
        raise ArchiveError(f"{what}: {name} has {size} bytes; allowed are {limit}")
    with source.open(name) as file:
        return file.read(size)


def _load_blob(source: _Source, descriptor: Descriptor, limit: int, what: str) -> bytes:
    content = _load(source, _blob_name(descriptor.digest), limit, what)
    if oci.digest_of(content) != descriptor.digest:
        raise ArchiveError(f"{what}: blob {descriptor.digest} is damaged: its content has another digest")
    return content


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def read_layout(source: _Source, tag: str, architecture: str, what: str) -> ImageDescription:
    """Give the image of this tag, or the only one, of an OCI layout."""
    entries = oci.parse_index(_load(source, "index.json", oci.MAX_CONFIG, what), f"{what}: index.json")
    tagged = [entry for entry in entries if not tag or _is_called(entry.reference, tag)]
    references = sorted({entry.reference for entry in entries if entry.reference})
    if not tagged or (not tag and len(references) > 1):
        wrong = f"no image is called {tag!r}" if tag else "it has several images: write :NAME after the path"
        raise ArchiveError(f"{what}: {wrong}; it has {', '.join(references[:8]) or 'no names'}")
    architecture = architecture or oci.architecture_of(os.uname().machine)
    # A platform need not be written where there is one image alone, and need not be right there.
    chosen = tagged[0] if len(tagged) == 1 else oci.choose_platform(tagged, architecture, what)
    descriptor = chosen.descriptor
    for _ in range(MAX_INDEX_DEPTH):
        content = _load_blob(source, descriptor, oci.MAX_MANIFEST, what)
        where = f"{what}: {descriptor.digest[:19]}"
        if "manifests" not in oci.parse_json(content, where):
            manifest = oci.parse_manifest(content, where)
            return _describe_layout(source, manifest, _names([chosen.reference]), what)
        descriptor = oci.choose_platform(oci.parse_index(content, where), architecture, what).descriptor
    raise ArchiveError(f"{what}: has indexes within indexes, more than {MAX_INDEX_DEPTH} deep")


def _is_called(reference: str, wanted: str) -> bool:
    return reference == wanted or reference.endswith((f":{wanted}", f"/{wanted}"))


def _describe_layout(
    source: _Source, manifest: oci.Manifest, names: tuple[str, ...], what: str
) -> ImageDescription:
    config = _load_blob(source, manifest.config, oci.MAX_CONFIG, what)
    for layer in manifest.layers:
        found = source.size(_blob_name(layer.digest))
        if found != layer.size:
            raise ArchiveError(
                f"{what}: layer {layer.digest} has {found} bytes; its manifest says {layer.size}"
            )
    blobs = [_blob(source, layer, _blob_name(layer.digest)) for layer in manifest.layers]
    return _description(config, manifest.layers, blobs, names, source, what)


def read_docker(source: TarSource, tag: str, what: str) -> ImageDescription:
    """Give the image of this name, or the only one, of what docker save wrote."""
    content = _load(source, "manifest.json", oci.MAX_CONFIG, what)
    documents = oci.parse_any_json(content, f"{what}: manifest.json")
    if not isinstance(documents, list):
        raise ArchiveError(f"{what}: manifest.json must be a list of images")
    chosen = [document for document in documents if isinstance(document, dict) and _has_name(document, tag)]
    if len(chosen) != 1:
        wrong = f"no image is called {tag!r}" if tag else "it has not one image: write :NAME after the path"
        found = [
            name for document in documents if isinstance(document, dict) for name in _repo_tags(document)
        ]
        raise ArchiveError(f"{what}: {wrong}; it has {', '.join(found[:8]) or 'no names'}")
    config_name, layer_names = chosen[0].get("Config"), chosen[0].get("Layers")
    layer_names = [] if layer_names is None else layer_names
    if not isinstance(config_name, str) or not _is_texts(layer_names) or len(layer_names) > oci.MAX_LAYERS:
        raise ArchiveError(f"{what}: manifest.json needs a Config and at most {oci.MAX_LAYERS} Layers")
    config = _load(source, config_name, oci.MAX_CONFIG, what)
    diff_ids = oci.parse_diff_ids(config, f"{what}: {config_name}")
    if len(diff_ids) != len(layer_names):
        raise ArchiveError(f"{what}: has {len(layer_names)} layers, and its config tells of {len(diff_ids)}")
    layers = [_docker_layer(source, name, diff) for name, diff in zip(layer_names, diff_ids, strict=True)]
    blobs = [_blob(source, layer, name) for layer, name in zip(layers, layer_names, strict=True)]
    return _description(config, layers, blobs, _names(_repo_tags(chosen[0])), source, what)


def _docker_layer(source: TarSource, name: str, diff_id: str) -> Descriptor:
    """Describe a layer; the digest is in its name, or is the uncompressed layer's, or is computed."""
    with source.open(name) as file:
        start = file.read(4)
        gzipped, zstandard = start.startswith(GZIP), start == ZSTANDARD
        media_type = oci.LAYER_TYPE + ("+gzip" if gzipped else "+zstd" if zstandard else "")
        blob = _BLOB_NAME.fullmatch(tarindex.normalise(name) or "")
        if blob:
            digest = f"sha256:{blob[1]}"
        elif gzipped or zstandard:
            file.seek(0)
            digest = _hash(file)
        else:
            digest = diff_id
    return Descriptor(digest, source.size(name), media_type)


def _hash(file: BinaryIO) -> str:
    import hashlib

    state = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        state.update(chunk)
    return "sha256:" + state.hexdigest()


def _has_name(document: Mapping[str, object], tag: str) -> bool:
    return not tag or any(_is_called(name, tag) or name == f"{tag}:latest" for name in _repo_tags(document))


def _repo_tags(document: Mapping[str, object]) -> list[str]:
    tags = document.get("RepoTags")
    return tags if _is_texts(tags) else []


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _names(references: Sequence[str]) -> tuple[str, ...]:
    """Those references that are names; a layout's reference is often a tag alone, which names nothing."""
    names = [name for name in references if oci.is_name(name) and re.search(r"[:/]", name)]
    return tuple(names[:MAX_NAMES])


def _blob(source: _Source, layer: Descriptor, name: str) -> Blob:
    return Blob(layer.digest, layer.size, lambda: source.open(name))


def _description(
    config: bytes,
    layers: Sequence[Descriptor],
    blobs: Sequence[Blob],
    names: tuple[str, ...],
    source: _Source,
    what: str,
) -> ImageDescription:
    oci.parse_json(config, f"{what}: config")
    digest = oci.digest_of(config)
    manifest = oci.render_manifest(Descriptor(digest, len(config), oci.CONFIG_TYPE), layers)
    return ImageDescription(digest, config, manifest, tuple(blobs), names, source.close)
