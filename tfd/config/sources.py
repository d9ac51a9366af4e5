"""Values that name something on this machine: images in files, and files for containers."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from tfd.config.kinds import InnerPath, Name, as_table, quoting_hint, unprintable
from tfd.config.model import IMAGE_SCHEMES, FileSource
from tfd.config.problems import shown
from tfd.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from tfd.config.problems import Place

FILE_LIMIT = 16 * 2**20  # bytes; a file is hashed while the daemon waits, larger data belongs in a volume
MODE = 0o644

VOLUMES = 64  # of one container, as the control protocol bounds it
FILES = 256

_CHUNK = 65536
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,254}")
_FILE_KEYS = ("content", "path", "mode")


@dataclass(frozen=True, slots=True)
class ImageOf:
    """An image: a reference, or one that lies on this machine."""

    allowed: str = (
        'an image name such as "nginx", or a path such as "./webapp.tar", "oci-archive:PATH", '
        '"docker-archive:PATH" or "oci:DIRECTORY"'
    )

    def read(self, value: object, place: Place) -> str | None:
        """Read an image; a path becomes absolute, starting from the configuration's directory."""
        if not isinstance(value, str) or unprintable(value):
            place.wrong(shown(value), self.allowed)
            return None
        scheme = next((scheme for scheme in IMAGE_SCHEMES if value.startswith(scheme)), "")
        if scheme or value.startswith(("/", "./", "../")):
            return _read_image_path(scheme, value.removeprefix(scheme), place)
        if _REFERENCE.fullmatch(value):
            return value
        hint = "write the whole path of your home directory" if value.startswith("~/") else ""
        place.wrong(shown(value), self.allowed, hint)
        return None


@dataclass(frozen=True, slots=True)
class Volumes:
    """A container's volumes, as "name:/mount/point"."""

    allowed: str = 'a list of "name:/mount/point"'

    def read(self, value: object, place: Place) -> tuple[tuple[str, str], ...] | None:
        """Read pairs of volume name and mount point; a mount point occurs once."""
        if not isinstance(value, list):
            place.wrong(shown(value), self.allowed)
            return None
        if len(value) > VOLUMES:
            place.wrong(f"a list of {len(value)}", f"at most {VOLUMES} volumes")
            return None
        volumes: list[tuple[str, str]] = []
        mounts: set[str] = set()
        for position, raw in enumerate(value):
            inner = place.at(position)
            if not isinstance(raw, str) or ":" not in raw:
                inner.wrong(shown(raw), '"name:/mount/point"')
                continue
            text, _, mount_text = raw.partition(":")
            name = Name().read(text, inner)
            mount = InnerPath("an absolute path after the volume's name").read(mount_text, inner)
            if name is None or mount is None:
                continue
            if mount in mounts:
                inner.wrong(f"{shown(mount)} a second time", "each mount point once")
            mounts.add(mount)
            volumes.append((name, mount))
        return tuple(volumes)


@dataclass(frozen=True, slots=True)
class Files:
    """A container's files: path in the container, and where the file comes from."""

    allowed: str = (
        'a table of paths in the container, each with a path on this machine or with { content = "..." } '
        'or { path = "..." }, and perhaps mode = "0644"'
    )

    def read(self, value: object, place: Place) -> tuple[tuple[str, FileSource], ...] | None:
        """Read pairs of path and source in the order of the paths."""
        table = as_table(value, place, self.allowed)
        if table is None:
            return None
        if len(table) > FILES:
            place.wrong(f"a table of {len(table)}", f"at most {FILES} files")
            return None
        files: list[tuple[str, FileSource]] = []
        for name, raw in sorted(table.items()):
            inner = place.at(name)
            path = InnerPath("an absolute path in the container").read(name, inner)
            source = _read_source(raw, inner)
            if path is not None and source is not None:
                files.append((path, source))
        return tuple(files)


def image_stamp(image: str) -> str:
    """Tell one state of an image's file or OCI layout from the next: its size and time of change.

    Empty where `image` is a reference, or where the file is gone.
    """
    scheme = next((scheme for scheme in IMAGE_SCHEMES if image.startswith(scheme)), "")
    text = image.removeprefix(scheme)
    if not text.startswith("/"):
        return ""
    try:
        path = _without_tag(text)
        found = os.stat(os.path.join(path, "index.json") if os.path.isdir(path) else path)
    except OSError:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}"


def _read_image_path(scheme: str, text: str, place: Place) -> str | None:
    path = joined(place.report.directory, text)
    allowed = "an image that is there"
    try:
        mode = os.stat(_without_tag(path)).st_mode
    except OSError as error:
        place.wrong(f"{shown(text)}, but {path}: {error.strerror}", allowed)
        return None
    if not text or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        place.wrong(f"{shown(text)}, but {path} is {file_type(mode)}", allowed)
        return None
    return scheme + path


def joined(directory: str, path: str) -> str:
    """Give a path that starts from a directory, written as pathlib does, which would take 0.7 MB."""
    whole = os.path.join(directory, path)
    slashes = len(whole) - len(whole.lstrip("/"))
    root = "//" if slashes == 2 else "/" if slashes else ""
    return root + "/".join(part for part in whole.split("/") if part not in ("", ".")) or "."


def _without_tag(path: str) -> str:
    """Give the path of an image's file, of PATH or PATH:TAG."""
    return path if ":" not in path or os.path.exists(path) else path[: path.index(":")]


def _read_source(value: object, place: Place) -> FileSource | None:
    if isinstance(value, str):
        return _read_path(value, place, MODE)
    table = as_table(
        value, place, 'a path on this machine, or a table such as { content = "..." }', quoting_hint(value)
    )
    if table is None:
        return None
    for name in [name for name in table if name not in _FILE_KEYS]:
        place.at(name).unknown(name, "an unknown key", _FILE_KEYS)
    mode = _read_mode(table.get("mode", f"{MODE:04o}"), place.at("mode"))
    content, path = table.get("content"), table.get("path")
    if (content is None) == (path is None):
        found = "neither content nor path" if content is None else "both content and path"
        place.wrong(found, "one of them")
    elif isinstance(path, str):
        return _read_path(path, place.at("path"), mode)
    elif isinstance(content, str):
        data = content.encode()
        return FileSource(None, data, _digest_of(data), mode)
    else:
        key, wrong = ("content", content) if path is None else ("path", path)
        place.at(key).wrong(shown(wrong), "text in quotes", quoting_hint(wrong))
    return None


def _read_mode(value: object, place: Place) -> int:
    if isinstance(value, str) and re.fullmatch("0?[0-7]{3}", value):
        return int(value, 8)
    place.wrong(shown(value), 'permission bits as octal digits in quotes, from "0000" to "0777"')
    return MODE


def _read_path(value: str, place: Place, mode: int) -> FileSource | None:
    allowed = "the path of a file on this machine"
    if not value or unprintable(value):
        place.wrong(shown(value), allowed)
        return None
    path = joined(place.report.directory, value)
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            place.wrong(f"{shown(value)}, but {path} is {file_type(found.st_mode)}", allowed)
        elif found.st_size > FILE_LIMIT:
            place.wrong(
                f"{path} of {found.st_size} bytes", f"at most {FILE_LIMIT}", "put it in a volume or the image"
            )
        else:
            return FileSource(path, None, _digest_of_file(path), mode)
    except OSError as error:
        place.wrong(f"{shown(value)}, but {path}: {error.strerror}", allowed)
    return None


def file_type(mode: int) -> str:
    """Name the type of a file from its `st_mode`."""
    names = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
    }
    return names.get(stat.S_IFMT(mode), "not a file")


def _digest_of(data: bytes) -> bytes:
    from nacl.bindings import crypto_generichash_blake2b_salt_personal

    digest: bytes = crypto_generichash_blake2b_salt_personal(data, digest_size=32)
    return digest


def _digest_of_file(path: str) -> bytes:
    """Hash as much of a file as FILE_LIMIT allows; raises OSError."""
    from nacl.bindings import (
        crypto_generichash_blake2b_final,
        crypto_generichash_blake2b_init,
        crypto_generichash_blake2b_update,
    )

    state = crypto_generichash_blake2b_init(digest_size=32)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        while (chunk := file.read(_CHUNK)) and file.tell() <= FILE_LIMIT:
            crypto_generichash_blake2b_update(state, chunk)
    digest: bytes = crypto_generichash_blake2b_final(state)
    return digest
