"""The values of the options of `tf`, from words into checked values.

Every function raises ValueError, saying which option and value is wrong and what is allowed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

HIGHEST_PORT: Final = 65535
_VARIABLE: Final = re.compile(r"[0-9A-Za-z:_]+")
_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


@dataclass(frozen=True, slots=True)
class Web:
    """A publication: the name, the Host header that the container gets, the files of the certificate."""

    fqdn: str
    rewrite: str | None = None
    certificate: tuple[Path, Path] | None = None


def port(text: str, option: str, lowest: int = 1) -> int:
    """Read a TCP port."""
    number = int(text) if text.isdecimal() and text.isascii() and len(text) <= 5 else -1
    if not lowest <= number <= HIGHEST_PORT:
        raise ValueError(f"{option} {text!r}: allowed is a port from {lowest} to {HIGHEST_PORT}")
    return number


def offset(text: str) -> int:
    """Read what is added to each exposed port."""
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isdecimal() and digits.isascii() and len(digits) <= 5 and int(digits) <= HIGHEST_PORT):
        raise ValueError(f"--offset {text!r}: allowed is a number from -{HIGHEST_PORT} to {HIGHEST_PORT}")
    return int(text)


def address(text: str) -> str:
    """Read a local IP address, or the name of one."""
    if text == "localhost":
        return text
    import ipaddress

    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise ValueError(
            f"--bind {text!r}: allowed is an address of this machine, such as 127.0.0.1, 0.0.0.0 or ::1"
        ) from None


def environment(words: Sequence[str], present: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Read `VAR=VALUE` and `VAR`, whose value is the one in `present`."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"--env {word!r}: the name of a variable has letters, digits, '_' and ':' alone")
        if name in found:
            raise ValueError(f"--env {name} is given twice")
        if not equals and name not in present:
            raise ValueError(f"--env {name}: it has no value, and is not set in this environment either")
        found[name] = value if equals else present[name]
    return tuple(found.items())


def files(words: Sequence[str]) -> tuple[tuple[Path, str], ...]:
    """Read `SOURCE:DESTINATION`; the files are not looked at yet."""
    found: dict[str, Path] = {}
    for word in words:
        source, _, destination = word.partition(":")
        if word.count(":") != 1 or not source or not destination.startswith("/"):
            raise ValueError(f"--file {word!r}: allowed is SOURCE:DESTINATION, the latter from / on")
        if destination.endswith("/"):
            destination += Path(source).name
        if ".." in PurePosixPath(destination).parts or destination.endswith("/"):
            raise ValueError(f"--file {word!r}: {destination} is no place for a file in a container")
        if destination in found:
            raise ValueError(f"--file {word!r}: {destination} is given twice")
        found[destination] = Path(source)
    return tuple((source, destination) for destination, source in found.items())


def mounts(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Read `VOLUME:MOUNTPOINT`, the last colon between them; no mount point may lie in another."""
    found: list[tuple[str, str]] = []
    for word in words:
        key, _, point = word.rpartition(":")
        if not key or not point.startswith("/") or key.count(":") > 1:
            raise ValueError(f"--mount {word!r}: allowed is VOLUME:MOUNTPOINT, the latter from / on")
        parts = PurePosixPath(point).parts
        if ".." in parts or len(parts) < 2:
            raise ValueError(f"--mount {word!r}: {point} is no place for a volume in a container")
        for _, other in found:
            others = PurePosixPath(other).parts
            shorter = min(len(parts), len(others))
            if _plain(parts)[:shorter] == _plain(others)[:shorter]:
                raise ValueError(f"--mount {word!r}: {point} and {other} overlap")
        found.append((key, point.rstrip("/")))
    return tuple(found)


def published(words: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Read `LOCAL:REMOTE`."""
    found: list[tuple[int, int]] = []
    for word in words:
        local, colon, remote = word.partition(":")
        if not colon:
            raise ValueError(f"--publish {word!r}: allowed is LOCAL:REMOTE, such as 8080:80")
        ports = (
            port(local, f"--publish {word!r}: the local port", 0),
            port(remote, f"--publish {word!r}: the container's port"),
        )
        if ports[0] and ports[0] in dict(found):
            raise ValueError(f"--publish {word!r}: local port {local} is given twice")
        found.append(ports)
    return tuple(found)


def web(word: str) -> Web:
    """Read `NAME[:REWRITE[:CERTIFICATE]]`; the files are not looked at yet."""
    fqdn, *rest = word.split(":")
    if len(rest) > 2 or not _HOST_NAME.fullmatch(fqdn) or len(fqdn) > 253:
        raise ValueError(f"--web {word!r}: allowed is NAME[:REWRITE[:CERTIFICATE]], such as www.example.com")
    rewrite, certificate = (*rest, "", "")[:2]
    if rewrite and not _HOST_NAME.fullmatch(rewrite):
        raise ValueError(f"--web {word!r}: {rewrite!r} is not the name of a host")
    if len(rest) == 2 and not certificate:
        raise ValueError(f"--web {word!r}: the certificate's name is empty")
    pair = (Path(f"{certificate}.crt"), Path(f"{certificate}.key")) if certificate else None
    return Web(fqdn, rewrite or None, pair)


def _plain(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Give the parts of an absolute path; two slashes at its beginning are a part of their own in POSIX."""
    return ("/", *parts[1:])
