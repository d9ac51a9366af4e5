"""Copies an image from a registry to this machine, with skopeo."""

import os
import re
from pathlib import Path

from tfd.protocol.errors import Code, CommandError
from tfd.protocol.oci import MAX_MANIFEST, ArchiveError, Manifest, parse_manifest
from tflocation.images.running import TookTooLong, run
from tflocation.images.settings import ImageSettings

_MESSAGE = re.compile(r'msg="((?:[^"\\]|\\.)*)"')
MAX_REASON = 240


class NotPulled(Exception):  # noqa: N818 - it names what happened
    """The registry did not give the image; the message is one short line."""


async def pull(reference: str, registry: str, directory: Path, settings: ImageSettings) -> Manifest:
    """Copy the image for this machine's architecture into `directory`: each blob a file named by its digits.

    `dir:` keeps the manifest, and so the config's digest, as the registry has them; `oci:` rewrites both.
    skopeo has verified the digests. Raises NotPulled, and CommandError limit where the blobs exceed the
    cache's size.
    """
    command = ["skopeo", "--insecure-policy", "--override-os=linux", f"--tmpdir={directory.parent}", "copy"]
    command += ["--quiet", "--remove-signatures", "--retry-times=1"]
    if registry in settings.insecure_registries:
        command += ["--src-tls-verify=false"]
    if settings.credentials is not None:
        command += [f"--src-authfile={settings.credentials}"]

    def guard() -> None:
        size = sum(entry.stat().st_size for entry in os.scandir(directory))
        if size > settings.cache_size:
            message = (
                f"image {reference} has more than the {settings.cache_size} bytes that the location keeps"
            )
            raise CommandError(Code.LIMIT, message)

    try:
        finished = await run(
            [*command, f"docker://{reference}", f"dir:{directory}"], settings.pull_timeout, guard=guard
        )
    except TookTooLong as error:
        raise NotPulled(f"no image within {settings.pull_timeout:g} s") from error
    except OSError as error:
        raise NotPulled(f"skopeo cannot be started: {error.strerror}") from error
    if finished.code != 0:
        raise NotPulled(reason(finished.errors))
    return _manifest(directory / "manifest.json", reference)


def _manifest(path: Path, reference: str) -> Manifest:
    with path.open("rb") as file:
        content = file.read(MAX_MANIFEST + 1)
    try:
        return parse_manifest(content, reference)
    except ArchiveError as error:
        raise NotPulled(str(error)) from error


def reason(errors: str) -> str:
    """Give the last part of skopeo's message: the parts before it repeat the reference."""
    messages = _MESSAGE.findall(errors)
    lines = [line for line in errors.splitlines() if line.strip()]
    text = messages[-1].replace('\\"', '"') if messages else lines[-1] if lines else "no reason given"
    parts = text.split(": ")
    return ": ".join(parts[-2:])[:MAX_REASON]
