"""Makes the tree of files of an image out of its blobs, with umoci, within limits of size and time."""

import contextlib
import json
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfd.protocol.errors import Code, CommandError
from tfd.protocol.oci import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    Manifest,
    digest_of,
    render_manifest,
)
from tflocation.images import layers as layers_program
from tflocation.images.running import Finished, TookTooLong, run
from tflocation.images.settings import ImageSettings

MAX_LINKS = 40
"""Symbolic links followed in one path, as in Linux (path_resolution(7))."""
MAX_FILE = 1 << 20
"""Bytes of a file that is read out of an image."""
_TAG = "image"


@dataclass(frozen=True, slots=True)
class _Layer:
    path: Path
    descriptor: Descriptor


async def unpack(manifest: Manifest, blobs: Mapping[str, Path], space: Path, settings: ImageSettings) -> Path:
    """Unpack an image into a new directory under `space`, and give that directory.

    `blobs` has the file of each blob, on the file system of `space`. `space` is empty and nobody else may
    read it, as programs of the image lie in it with their set-user-ID bits. Raises CommandError: malformed,
    limit, time-out.
    """
    paths = [blobs[layer.digest] for layer in manifest.layers]
    found = await _examine(paths, space, settings)
    layers = [_readable(*layer) for layer in zip(manifest.layers, paths, found, strict=True)]
    layout = space / "layout"
    config = _Layer(blobs[manifest.config.digest], manifest.config)
    replaced = {str(layer["original"]): str(layer["digest"]) for layer in found if "original" in layer}
    _write_layout(layout, _with_layers(config, replaced, space) if replaced else config, layers)
    rootfs = space / "rootfs"
    # umoci reads any number of bytes from a layer whose header says so; the kernel ends that.
    command = ["prlimit", f"--fsize={settings.image_size}", "umoci", "--log=error", "raw", "unpack"]
    finished = await _run([*command, "--image", f"{layout}:{_TAG}", os.fspath(rootfs)], settings)
    if finished.code != 0:
        raise CommandError(Code.MALFORMED, f"the image cannot be unpacked: {_last_line(finished.errors)}")
    return rootfs


async def _examine(paths: Sequence[Path], space: Path, settings: ImageSettings) -> list[Mapping[str, object]]:
    """Give what tflocation.images.layers tells of each layer, once they are known to be within the limits."""
    program = [sys.executable, "-I", layers_program.__file__]
    limits = [str(settings.image_size), str(settings.image_files)]
    finished = await _run([*program, os.fspath(space), *limits, *map(os.fspath, paths)], settings)
    if finished.code != 0:
        raise CommandError(Code.LIMIT, f"the image cannot be used: {_last_line(finished.errors)}")
    found: list[Mapping[str, object]] = json.loads(finished.output)
    return found


def _readable(descriptor: Descriptor, path: Path, found: Mapping[str, object]) -> _Layer:
    if "path" in found:
        digest, size = str(found["digest"]), int(str(found["size"]))
        return _Layer(Path(str(found["path"])), Descriptor(digest, size, LAYER_TYPE))
    media_type = LAYER_TYPE + ("+gzip" if found["kind"] == "gzip" else "")
    return _Layer(path, Descriptor(descriptor.digest, descriptor.size, media_type))


def _with_layers(config: _Layer, replaced: Mapping[str, str], space: Path) -> _Layer:
    """Give the config with other digests of layers, for umoci compares them.

    Raises CommandError malformed where it names none.
    """
    document = json.loads(config.path.read_bytes())
    try:
        rootfs = document["rootfs"]
        rootfs["diff_ids"] = [replaced.get(digest, digest) for digest in rootfs["diff_ids"]]
    except (KeyError, TypeError) as error:
        raise CommandError(Code.MALFORMED, "the image's config names no layers") from error
    content = json.dumps(document).encode()
    path = space / "config"
    path.write_bytes(content)
    return _Layer(path, Descriptor(digest_of(content), len(content), CONFIG_TYPE))


async def _run(command: Sequence[str], settings: ImageSettings) -> Finished:
    try:
        return await run(command, settings.unpack_timeout)
    except TookTooLong as error:
        message = f"the image was not unpacked within {settings.unpack_timeout:g} s"
        raise CommandError(Code.TIME_OUT, message) from error
    except OSError as error:
        raise CommandError(Code.UNAVAILABLE, f"{command[0]} cannot be started: {error.strerror}") from error


def _write_layout(layout: Path, config: _Layer, layers: Sequence[_Layer]) -> None:
    """Write an OCI layout of links to the blobs, so that nothing is copied."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for layer in {one.descriptor.digest: one for one in (config, *layers)}.values():
        os.link(layer.path, blobs / layer.descriptor.digest.removeprefix("sha256:"))
    descriptor = Descriptor(config.descriptor.digest, config.descriptor.size, CONFIG_TYPE)
    manifest = render_manifest(descriptor, [layer.descriptor for layer in layers])
    digest = digest_of(manifest)
    (blobs / digest.removeprefix("sha256:")).write_bytes(manifest)
    reference = {
        "mediaType": MANIFEST_TYPE,
        "digest": digest,
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": _TAG},
    }
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [reference]}))
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))


def remove_devices(rootfs: Path) -> int:
    """Remove what `unpack` made in the place of device nodes from a tree, and give their number.

    An unprivileged container could not make them itself, so its image must not bring them either.
    """
    removed = 0
    for directory, _, names in os.walk(rootfs):
        for name in names:
            path = Path(directory, name)
            if path.lstat().st_mode == stat.S_IFIFO | layers_program.PLACEHOLDER:
                path.unlink()
                removed += 1
    return removed


def read_file(rootfs: Path, path: str) -> str:
    """Read a text file of an image, its symbolic links taken as the container would; "" where there is none.

    The tree must not change meanwhile. Only the first MiB is read.
    """
    found = resolve(rootfs, path)
    if found is None:
        return ""
    with contextlib.suppress(OSError):
        descriptor = os.open(found, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return file.read(MAX_FILE).decode(errors="replace")
    return ""


def resolve(rootfs: Path, path: str) -> Path | None:
    """Where a path of the image lies on this machine, never outside `rootfs`; None for circular links."""
    left = [part for part in path.split("/") if part]
    done: list[str] = []
    links = 0
    while left:
        part = left.pop(0)
        if part == "..":
            done = done[:-1]
        elif part != ".":
            here = rootfs.joinpath(*done, part)
            if not here.is_symlink():
                done.append(part)
                continue
            links += 1
            if links > MAX_LINKS:
                return None
            target = os.fspath(here.readlink())
            done = [] if target.startswith("/") else done
            left = [step for step in target.split("/") if step] + left
    return rootfs.joinpath(*done)


def _last_line(text: str) -> str:
    """Tell what a program printed last, as one line of a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"
