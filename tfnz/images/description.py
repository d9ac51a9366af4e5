"""Descriptions of images in the shape that Docker's `inspect` gives, from wherever an image is known."""

from typing import TYPE_CHECKING, Any

from tfd.protocol import oci
from tfd.protocol.errors import Code

if TYPE_CHECKING:
    from tfnz.connection import Connection

_LEFT_OUT = ("Container", "Comment", "ContainerConfig", "GraphDriver")


def cleaned(inspected: dict[str, Any]) -> dict[str, Any]:
    """Give what an engine told, without what concerns that engine alone."""
    return {key: value for key, value in inspected.items() if key not in _LEFT_OUT}


def from_config(digest: str, config: bytes) -> dict[str, Any]:
    """Give the description of an image from its OCI config (image specification, config.md).

    Raises ArchiveError where the config is no JSON object.
    """
    document = oci.parse_json(config, f"the config of image {digest[:19]}")
    settings = document.get("config")
    return {
        "Id": digest,
        "Created": document.get("created"),
        "Architecture": document.get("architecture"),
        "Os": document.get("os"),
        "Config": settings if isinstance(settings, dict) else {},
        "RootFS": {
            "Type": "layers",
            "Layers": oci.parse_diff_ids(config, f"the config of image {digest[:19]}"),
        },
    }


def at_location(connection: "Connection", name: str) -> dict[str, Any] | None:
    """Give the location's description of an image, None where the location does not have it.

    Raises what `Connection.call` does.
    """
    from tfnz.connection import RemoteError

    try:
        answer = connection.call("image.describe", {"image": name})
    except RemoteError as error:
        if error.code == Code.NOT_FOUND:
            return None
        raise
    return from_config(str(answer["digest"]), answer["config"])


def layers(description: dict[str, Any]) -> list[str]:
    """Give the sha256 of the layers in order, in hexadecimal digits, no two equal neighbours."""
    root = description.get("RootFS")
    found = root.get("Layers") if isinstance(root, dict) else None
    digits = [str(layer).removeprefix("sha256:") for layer in found or ()]
    return [one for number, one in enumerate(digits) if number == 0 or digits[number - 1] != one]
