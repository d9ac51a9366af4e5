"""Looks through the layers of an image before anything is unpacked: a program of its own.

    layers.py SPACE BYTES FILES LAYER...

It runs in a process of its own, with limits of its own, because a stranger wrote the layers; hence it imports
the standard library alone. It prints a JSON list with one object for each layer: `kind` ("tar", "gzip" or
"zstd"), and for zstd, which umoci 0.4 does not read, `path`, `digest` and `size` of an expanded copy in the
directory SPACE. Exits 1 with one line on standard error where the layers together hold more than BYTES of
content or more than FILES members, or cannot be read.
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
from pathlib import Path

MEMORY = 1 << 29
"""Bytes of address space, against headers that claim to be huge."""
_CHUNK = 1 << 20


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


def scan(path: Path, budget: Budget) -> None:
    """Count what a tar file, plain or compressed with gzip, holds. Raises Refused."""
    with path.open("rb") as raw:
        file = gzip.GzipFile(fileobj=raw) if kind_of(path) == "gzip" else raw
        try:
            with tarfile.open(fileobj=io.BufferedReader(file, _CHUNK), mode="r|") as archive:
                while (member := archive.next()) is not None:
                    # A sparse file's holes count: umoci writes them as zeros.
                    budget.take(member.size if member.isreg() else 0)
                    archive.members = []  # type: ignore[attr-defined]  # it would keep them all in memory
        except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, ArithmeticError) as error:
            raise Refused(f"a layer is not a readable tar archive: {error}") from error


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
        scan(plain, budget)
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
