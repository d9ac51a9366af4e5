"""OCI image documents: digests, descriptors, manifests and indexes, read from untrusted bytes.

Sources: OCI image specification 1.0 (descriptor.md, manifest.md, image-index.md) and Docker's image manifest
version 2, schema 2, whose documents have the same shape under other media types. Whatever is wrong raises
`ArchiveError`, which names the document and what was found.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from nacl.bindings import crypto_hash_sha256

from tfd.protocol.dataclass import dataclass
from tfd.protocol.errors import TfdError

MAX_MANIFEST = 512 * 1024
"""Bytes: a manifest has to fit into one control message of 1 MiB together with its layers' digests."""
MAX_CONFIG = 1024 * 1024
"""Bytes; real ones have a few KiB, most of it history."""
MAX_LAYERS = 256
"""Docker's own limit is 127."""
MAX_BLOB = 1 << 40
"""Bytes; keeps sums of hostile sizes within 64 bits."""

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
DOCKER_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"

_LAYER_TYPES: Mapping[str, str] = {
    LAYER_TYPE: LAYER_TYPE,
    LAYER_TYPE + "+gzip": LAYER_TYPE + "+gzip",
    LAYER_TYPE + "+zstd": LAYER_TYPE + "+zstd",
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TYPE,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_TYPE + "+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": LAYER_TYPE + "+zstd",
}
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i686": "386",
    "i386": "386",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(
    r"(?:(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|\[[0-9a-f:]+\]|[A-Za-z0-9-]+(?=:\d))(?::\d{1,5})?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
MAX_NAME = 255
"""Characters, as in Docker's `distribution/reference`, where the pattern comes from too."""


class ArchiveError(TfdError):
    """An image archive cannot be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest or an index says of a blob: its digest, its size in bytes, its media type."""

    digest: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image for one platform; `layers` from the lowest to the topmost, the types are OCI's."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One image of an index. `reference` is its tag or name, empty where it has none."""

    descriptor: Descriptor
    architecture: str
    operating_system: str
    reference: str


def digest_of(content: bytes) -> str:
    """Give the digest under which these bytes are addressed."""
    # hashlib would load all of OpenSSL: 3.6 MB, in a daemon that has 17.
    digits: str = crypto_hash_sha256(content).hex()
    return f"sha256:{digits}"


def is_digest(value: object) -> bool:
    """Whether the value is "sha256:" and 64 lower-case hexadecimal digits."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def is_name(value: str) -> bool:
    """Tell whether the value can name an image: [HOST[:PORT]/]PATH[:TAG], the path in lower case."""
    return len(value) <= MAX_NAME and _NAME.fullmatch(value) is not None


def architecture_of(machine: str) -> str:
    """Give the name that images use for a machine as uname(2) names it."""
    return _ARCHITECTURES.get(machine, machine)


def parse_json(content: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object. Raises ArchiveError where it is anything else; the caller bounds its length."""
    value = parse_any_json(content, what)
    if not isinstance(value, dict):
        raise ArchiveError(f"{what}: a JSON object was expected")
    return cast("dict[str, Any]", value)


def parse_any_json(content: bytes, what: str) -> object:
    """Any JSON value. Raises ArchiveError where it is none."""
    try:
        return cast("object", json.loads(content))
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{what}: is not JSON: {error}") from error


def parse_descriptor(value: object, what: str) -> Descriptor:
    """Read a descriptor from its JSON form. Raises ArchiveError."""
    if not isinstance(value, dict):
        raise ArchiveError(f"{what}: a descriptor was expected")
    digest, size, media_type = value.get("digest"), value.get("size"), value.get("mediaType", "")
    if not isinstance(digest, str) or not is_digest(digest):
        raise ArchiveError(
            f"{what}: has digest {_shown(digest)}; allowed is sha256: and 64 hexadecimal digits"
        )
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_BLOB:
        raise ArchiveError(f"{what}: has size {_shown(size)}; allowed is 0 to {MAX_BLOB}")
    if not isinstance(media_type, str):
        raise ArchiveError(f"{what}: has media type {_shown(media_type)}; allowed is text")
    return Descriptor(digest, size, media_type)


def parse_manifest(content: bytes, what: str) -> Manifest:
    """Read an image's manifest, OCI's or Docker's schema 2. Raises ArchiveError."""
    if len(content) > MAX_MANIFEST:
        raise ArchiveError(f"{what}: is longer than {MAX_MANIFEST} bytes")
    document = parse_json(content, what)
    if document.get("schemaVersion") != 2 or "config" not in document:
        found = document.get("mediaType", f"schema version {_shown(document.get('schemaVersion'))}")
        raise ArchiveError(f"{what}: is no image manifest of OCI or Docker schema 2 (found {_shown(found)})")
    config = parse_descriptor(document["config"], f"{what}: config")
    if config.media_type not in ("", CONFIG_TYPE, DOCKER_CONFIG_TYPE):
        raise ArchiveError(f"{what}: is not a container image: its config is {_shown(config.media_type)}")
    if config.size > MAX_CONFIG:
        raise ArchiveError(f"{what}: its config is longer than {MAX_CONFIG} bytes")
    layers = document.get("layers")
    if not isinstance(layers, list) or len(layers) > MAX_LAYERS:
        raise ArchiveError(f"{what}: layers must be a list of at most {MAX_LAYERS}")
    parsed = tuple(_layer(layer, f"{what}: layer {number}") for number, layer in enumerate(layers, 1))
    return Manifest(Descriptor(config.digest, config.size, CONFIG_TYPE), parsed)


def _layer(value: object, what: str) -> Descriptor:
    descriptor = parse_descriptor(value, what)
    media_type = _LAYER_TYPES.get(descriptor.media_type)
    if media_type is None:
        raise ArchiveError(f"{what}: has media type {_shown(descriptor.media_type)}, not a tar layer")
    return Descriptor(descriptor.digest, descriptor.size, media_type)


def render_manifest(config: Descriptor, layers: Sequence[Descriptor]) -> bytes:
    """Give the manifest as an OCI document; the same image always gives the same bytes."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _document(config),
        "layers": [_document(layer) for layer in layers],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _document(descriptor: Descriptor) -> dict[str, object]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def parse_index(content: bytes, what: str) -> list[IndexEntry]:
    """Give the images that an index (or a Docker manifest list) lists. Raises ArchiveError."""
    manifests = parse_json(content, what).get("manifests")
    if not isinstance(manifests, list):
        raise ArchiveError(f"{what}: has no list of manifests")
    return [_index_entry(value, f"{what}: manifest {number}") for number, value in enumerate(manifests, 1)]


def _index_entry(value: object, what: str) -> IndexEntry:
    descriptor = parse_descriptor(value, what)
    assert isinstance(value, dict)
    platform, annotations = value.get("platform"), value.get("annotations")
    platform = platform if isinstance(platform, dict) else {}
    annotations = annotations if isinstance(annotations, dict) else {}
    # containerd's annotation holds the whole name where OCI's own holds the tag alone.
    tag = annotations.get("org.opencontainers.image.ref.name")
    reference = annotations.get("io.containerd.image.name") or tag
    return IndexEntry(
        descriptor, str(platform.get("architecture", "")), str(platform.get("os", "")), str(reference or "")
    )


def choose_platform(entries: Sequence[IndexEntry], architecture: str, what: str) -> IndexEntry:
    """Give the image for Linux on this architecture; one without a platform serves where it is the only one.

    Raises ArchiveError naming the platforms there are.
    """
    for entry in entries:
        if entry.architecture == architecture and entry.operating_system in ("", "linux"):
            return entry
    unnamed = [entry for entry in entries if not entry.architecture]
    if len(unnamed) == 1:
        return unnamed[0]
    found = ", ".join(sorted({f"{e.operating_system or '?'}/{e.architecture or '?'}" for e in entries})[:8])
    raise ArchiveError(f"{what}: has no image for linux/{architecture}; it has {found or 'none at all'}")


def parse_diff_ids(config: bytes, what: str) -> list[str]:
    """Give the digests of the uncompressed layers, from an image's config. Raises ArchiveError."""
    rootfs = parse_json(config, what).get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    # Docker writes null for an image without layers.
    diff_ids = [] if diff_ids is None and isinstance(rootfs, dict) else diff_ids
    if not isinstance(diff_ids, list) or not all(is_digest(digest) for digest in diff_ids):
        raise ArchiveError(f"{what}: rootfs.diff_ids must be a list of digests")
    return cast("list[str]", diff_ids)


def _shown(value: object) -> str:
    """Give a value from a stranger's document, as a message may quote it."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
