"""Names of images: which are allowed, whose a name is, and where a registry keeps it."""

import re
from collections.abc import Sequence

from tfd.protocol.errors import Code, CommandError
from tfd.protocol.image_name import canonical
from tfd.protocol.oci import is_digest, is_name

DEFAULT_HOST = "docker.io"
_DIGEST_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})")
_OWNER_MARK = "//"
"""No name has two slashes in a row, so what stands before them is an account."""


def check(name: str) -> str:
    """Give the name back in its one canonical spelling: the shortest host and path, and always a tag.

    Raises CommandError bad-parameter where it cannot be an image's name.
    """
    if not is_name(name):
        raise CommandError(
            Code.BAD_PARAMETER,
            f"image name {name[:255]!r}: allowed is [HOST[:PORT]/]NAME[:TAG], in lower case",
        )
    return canonical(name)


def owned(name: str, account: str) -> str:
    """Give the name under which the engine keeps an account's own image; without one, everybody's."""
    return f"{account}{_OWNER_MARK}{name}" if account else name


def owner(kept: str) -> tuple[str, str]:
    """Give the account (empty for everybody's) and the name, from the name that the engine keeps."""
    account, mark, name = kept.partition(_OWNER_MARK)
    return (account, name) if mark else ("", kept)


def is_seen(kept: Sequence[str], account: str) -> bool:
    """Tell whether an account (empty: the location itself) may see an image that has these names.

    One without any name is everybody's: only the location publishes such.
    """
    return not kept or not account or any(owner(name)[0] in ("", account) for name in kept)


def seen(kept: Sequence[str], account: str) -> tuple[str, ...]:
    """Give those of an image's names that an account sees, as it gave them; without an account, all."""
    owners = [owner(name) for name in kept]
    return tuple(
        name for who, name in owners if (who in ("", account) or not account) and not is_digest(name)
    )


def digest_prefix(name: str) -> str | None:
    """Give the hexadecimal digits where the name is a digest or at least 12 digits of one, else None."""
    match = _DIGEST_PREFIX.fullmatch(name)
    return match[1] if match else None


def at_registries(name: str, registries: tuple[str, ...]) -> list[tuple[str, str]]:
    """Where to ask for a name: (registry, whole reference), in order.

    A name with a host is asked of that host alone, and only where it is one of `registries`: a client must
    not make the location connect to just anything.
    """
    name = canonical(name)
    host, slash, _ = name.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return [(host, name)] if host in registries else []
    return [(registry, f"{registry}/{_docker_path(registry, name)}") for registry in registries]


def _docker_path(registry: str, name: str) -> str:
    return f"library/{name}" if registry == DEFAULT_HOST and "/" not in name else name
