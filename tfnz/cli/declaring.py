"""The tables of tfd.toml that declare what a command line of `tf` runs: tfd then keeps it alive."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfnz.cli.options import Options

_ANYWHERE = ("0.0.0.0", "[::]")  # noqa: S104 - what `tf` listens on without --bind


def tables(options: "Options", image: str, location: str, exposed: Sequence[int]) -> dict[str, Any]:
    """Give the document of [container.NAME] and its [[listener]]s; raises ValueError for what tfd lacks.

    `image` is its name, `exposed` are the TCP ports that the image exposes.
    """
    _refuse(options)
    name = container_name(image)
    container: dict[str, Any] = {"image": image, "location": location}
    if options.command is not None:
        # A command on the command line replaces the entrypoint too.
        container["entrypoint"] = list(options.command)
    if options.environment:
        container["environment"] = dict(options.environment)
    if options.mounts:
        container["volumes"] = [f"{_volume(key)}:{point}" for key, point in options.mounts]
    if options.files:
        container["files"] = {path: str(source.resolve()) for source, path in options.files}
    pairs = options.publish or tuple((port + (options.offset or 0), port) for port in exposed)
    listeners = [
        {
            "bind": [f"{address}:{local}" for address in _addresses(options.bind)],
            "container": name,
            "port": port,
        }
        for local, port in pairs
    ]
    document: dict[str, Any] = {"container": {name: container}}
    if listeners:
        document["listener"] = listeners
    return document


def text(document: Mapping[str, Any]) -> str:
    """Give the document as TOML."""
    import toml

    written: str = toml.dumps(document)
    return written


def container_name(image: str) -> str:
    """Give the name that tfd is to know the container by: the last part of the image's, without its tag."""
    last = image.partition("@")[0].rstrip("/").rpartition("/")[2].partition(":")[0].lower()
    return re.sub(r"[^a-z0-9]+", "-", last).strip("-")[:40].strip("-") or "container"


def _addresses(bind: str | None) -> Sequence[str]:
    if bind is None:
        return _ANYWHERE
    return [f"[{bind}]" if ":" in bind else bind]


def _volume(key: str) -> str:
    """Give the name of a volume of tfd: one that it makes in its own environment."""
    name = key.rpartition("/")[2]
    if re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", name) is None:
        raise ValueError(
            f"--mount {key}: tfd has volumes of its own, named by lower-case letters, digits and dashes; "
            "give one, and tfd makes it"
        )
    return name


def _refuse(options: "Options") -> None:
    """Raise ValueError for what a container of tfd cannot have."""
    lacking = {
        "--web": options.web is not None,
        "--ssh": options.ssh is not None,
        "--sleep": options.sleep,
        "--interactive": options.interactive,
    }
    for option, wanted in lacking.items():
        if wanted:
            raise ValueError(f"{option}: a container of tfd has no such thing; leave it out")
    if any(local == 0 for local, _ in options.publish):
        raise ValueError("--publish 0:...: a listener of tfd has a port of its own; name it")
