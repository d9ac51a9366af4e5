"""Looks through the layers of an image before anything is unpacked: a program of its own.

    layers.py SPACE BYTES FILES LAYER...

It runs in a process of its own, with limits of its own, because a stranger wrote the layers; hence it imports
the standard library alone. It prints a JSON list with one object for each layer: `kind` ("tar", "gzip" or
"zstd"); where umoci is to have a plain copy in the directory SPACE instead, its `path`, `digest` and `size`;
and `original`, the digest of the plain layer, where the copy is another.

There is a copy of a layer in zstd, which umoci 0.4 does not read, and of one with device nodes, which the
service may not make: the copy has a placeholder for each. Exits 1 with one line on standard error where the
layers together hold more than BYTES of content or more than FILES members, or cannot be read.
"""

import gzip
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

MEMORY = 1 << 29
"""Bytes of address space, against headers that claim to be huge."""
PLACEHOLDER = 0o7000
"""The mode of the named pipe that stands for a device: nobody makes one with all three special bits."""
_CHUNK = 1 << 20
_BLOCK = 512
_MODE, _CHECKSUM, _TYPE = slice(100, 108), slice(148, 156), slice(156, 157)
"""Fields of a member's header, as tar(5) has them."""


class Refused(Exception):  # noqa: N818 - it names what happened
    """The layers are not unpacked; the message says why."""


class Budget:
    """What is left of the bytes and the members that the image may have."""

    def __init__(self, size: int, files: int) -> None:
        self._size = self._size_left = size
        self._files = self._files_left = files

    def take(self, size: int) -> None:
        """Count one member. Raises Refused."""
        self._size_left -= size
        self._files_left -= 1
        if self._size_left < 0:
            raise Refused(f"it unpacks to more than {self._size} bytes")
        if self._files_left < 0:
            raise Refused(f"it has more than {self._files} files")


def kind_of(path: Path) -> str:
    """Tell how a layer is compressed by its first bytes; its media type may say anything."""
    with path.open("rb") as file:
        start = file.read(4)
    return "gzip" if start[:2] == b"\x1f\x8b" else "zstd" if start == b"\x28\xb5\x2f\xfd" else "tar"


def expand(path: Path, target: Path, limit: int) -> tuple[str, int]:
    """Write a zstd layer's content to `target`; gives digest and size in bytes.

    Raises Refused beyond `limit` bytes or where it is damaged.
    """
    state = hashlib.sha256()
    size = 0
    command = ["zstd", "--decompress", "--stdout", "--quiet", "--memory=128MiB", "--", os.fspath(path)]
    with (
        target.open("wb") as out,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process,
    ):
        assert process.stdout is not None
        while chunk := process.stdout.read(_CHUNK):
            size += len(chunk)
            if size > limit:
                process.kill()
                raise Refused(f"a layer expands to more than {limit} bytes")
            state.update(chunk)
            out.write(chunk)
    if process.returncode != 0:
        raise Refused("a layer compressed with zstd is damaged")
    return f"sha256:{state.hexdigest()}", size


def _plain(path: Path, raw: BinaryIO) -> io.BufferedReader:
    return io.BufferedReader(gzip.GzipFile(fileobj=raw) if kind_of(path) == "gzip" else raw, _CHUNK)  # type: ignore[arg-type]  # both are readable files


def scan(path: Path, budget: Budget) -> list[int]:
    """Count what a tar file, plain or compressed with gzip, holds; gives where the headers of devices are.

    Raises Refused.
    """
    devices = []
    with path.open("rb") as raw:
        try:
            with tarfile.open(fileobj=_plain(path, raw), mode="r|") as archive:
                while (member := archive.next()) is not None:
                    # A sparse file's holes count: umoci writes them as zeros.
                    budget.take(member.size if member.isreg() else 0)
                    if member.ischr() or member.isblk():
                        devices.append(member.offset_data - _BLOCK)
                    archive.members = []  # type: ignore[attr-defined]  # it would keep them all in memory
        except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, ArithmeticError) as error:
            raise Refused(f"a layer is not a readable tar archive: {error}") from error
    return devices


def replace_devices(path: Path, target: Path, devices: Sequence[int], limit: int) -> tuple[str, str, int]:
    """Write a layer's plain form to `target`, with a placeholder for the device at each of these offsets.

    Gives the digests before and after, and the size in bytes. Raises Refused beyond `limit` bytes.
    """
    before, after = hashlib.sha256(), hashlib.sha256()
    size = 0
    with path.open("rb") as raw, _plain(path, raw) as file, target.open("wb") as out:
        for kept, device in _cut(file, devices):
            size += len(kept)
            if size > limit:
                raise Refused(f"a layer expands to more than {limit} bytes")
            written = _placeholder(kept) if device else kept
            before.update(kept)
            after.update(written)
            out.write(written)
    return f"sha256:{before.hexdigest()}", f"sha256:{after.hexdigest()}", size


def _cut(file: io.BufferedReader, blocks: Sequence[int]) -> Iterator[tuple[bytes, bool]]:
    """Give a file's content in pieces, and with each whether it is the block at one of these offsets."""
    at = 0
    for block in blocks:
        while at < block:
            piece = file.read(min(_CHUNK, block - at))
            at += len(piece)
            yield piece, False
        yield file.read(_BLOCK), True
        at += _BLOCK
    while piece := file.read(_CHUNK):
        yield piece, False


def _placeholder(header: bytes) -> bytes:
    """Make a device's header that of a named pipe of the same name."""
    block = bytearray(header)
    block[_MODE] = b"%07o\0" % PLACEHOLDER
    block[_TYPE] = tarfile.FIFOTYPE
    block[_CHECKSUM] = b" " * 8
    block[_CHECKSUM] = b"%06o\0 " % sum(block)
    return bytes(block)


def examine(space: Path, size: int, files: int, layers: list[Path]) -> list[dict[str, object]]:
    """Look through all layers; see the module's description. Raises Refused."""
    budget = Budget(size, files)
    found: list[dict[str, object]] = []
    for number, layer in enumerate(layers):
        kind = kind_of(layer)
        entry: dict[str, object] = {"kind": kind}
        plain = layer
        if kind == "zstd":
            plain = space / f"{number}.tar"
            # A tar archive is longer than its files by the headers of each of them.
            digest, expanded = expand(layer, plain, size + files * 1024)
            entry |= {"path": os.fspath(plain), "digest": digest, "size": expanded}
        if devices := scan(plain, budget):
            replaced = space / f"{number}.devices.tar"
            original, digest, copied = replace_devices(plain, replaced, devices, size + files * 1024)
            entry |= {"path": os.fspath(replaced), "digest": digest, "size": copied, "original": original}
            if plain != layer:
                plain.unlink()
        found.append(entry)
    return found


def main(arguments: list[str]) -> int:
    """Run the program; gives its exit code."""
    space, size, files, *layers = arguments
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        found = examine(Path(space), int(size), int(files), [Path(layer) for layer in layers])
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    except MemoryError:
        print("a layer needs too much memory to be read", file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
