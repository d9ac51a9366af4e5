"""What programs pass to `spawn_container`, checked and in one shape."""

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

from tfnz.volume import Volume

Pairs = Iterable[tuple[Any, Any]] | Mapping[Any, Any] | None


def environment(env: Pairs) -> list[tuple[str, str]]:
    """Give names and values. Raises ValueError unless it is a list of pairs of text, or a dict."""
    found = []
    for name, value in _pairs(env, "env", "(name, value)"):
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise ValueError(f"env: {name!r} is not the name of a variable")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"env: the value of {name} is of {type(value).__name__}; allowed: text")
        if "\0" in str(value):
            raise ValueError(f"env: the value of {name} has a NUL character")
        found.append((name, str(value)))
    return found


def mounts(volumes: Pairs) -> list[tuple[Volume, str]]:
    """Give volumes and where they are mounted, without trailing slashes.

    Raises ValueError unless it is a list of (Volume, absolute path), where no path lies in another.
    """
    found: list[tuple[Volume, str]] = []
    for volume, point in _pairs(volumes, "volumes", "(volume, mount point)"):
        if not isinstance(volume, Volume):
            raise ValueError(f"volumes: {volume!r} is not a volume")
        volume.ensure_alive()
        path = absolute(point, "volumes")
        if path == "/":
            raise ValueError("volumes: a volume cannot be mounted on /")
        overlap = Volume.trees_intersect((taken for _, taken in found), path)
        if overlap is not None:
            raise ValueError(f"volumes: the mount points {overlap[0]} and {overlap[1]} overlap")
        found.append((volume, path))
    return found


def files(pre_boot_files: Pairs) -> list[tuple[str, bytes]]:
    """Give paths and contents. Raises ValueError unless it is a list of (absolute path, bytes or text)."""
    found = []
    for name, data in _pairs(pre_boot_files, "pre_boot_files", "(file name, data)"):
        if not isinstance(data, bytes | bytearray | memoryview | str):
            raise ValueError(f"pre_boot_files: the data of {name!r} is of {type(data).__name__}")
        content = data.encode() if isinstance(data, str) else bytes(data)
        found.append((absolute(name, "pre_boot_files"), content))
    return found


def command_line(command: object) -> list[str] | None:
    """Give the words of a command; a text is a line for the shell. Raises ValueError for other shapes."""
    if command is None:
        return None
    if isinstance(command, str) and "\0" not in command:
        return ["/bin/sh", "-c", command]
    words = list(command) if isinstance(command, Iterable) and not isinstance(command, bytes) else []
    if not words or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise ValueError("command: allowed: a list of words, or a line for the shell")
    return words


def absolute(path: object, what: str) -> str:
    """Give an absolute path in its normal form. Raises ValueError for another, or one with `..`."""
    if isinstance(path, bytes):
        path = path.decode("utf-8", "surrogateescape")
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise ValueError(f"{what}: {path!r} is not an absolute path")
    if ".." in path.split("/"):
        raise ValueError(f"{what}: {path!r} leads outside of the container: no .. is allowed")
    return "/" + posixpath.normpath(path).lstrip("/")


def _pairs(given: Pairs, what: str, shape: str) -> list[tuple[Any, Any]]:
    if given is None:
        return []
    if isinstance(given, Mapping):
        return list(given.items())
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ValueError(f"{what}: a {type(given).__name__}; allowed: a list of pairs {shape}")
    found = list(given)
    for entry in found:
        if not isinstance(entry, tuple | list) or len(entry) != 2:
            raise ValueError(f"{what}: {entry!r} is not a pair {shape}")
    return [(entry[0], entry[1]) for entry in found]
