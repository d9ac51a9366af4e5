"""Images: a tree of files becomes an image of the engine, under its OCI config digest."""

import asyncio
import io
import json
import platform
import secrets
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tflocation.engines.interface import EngineError, Exists, ImageInfo, NoSpace, NotFound
from tflocation.engines.lxd.client import Client
from tflocation.engines.lxd.process import DIRECTORY, SCRIPT_KEY, START

PUBLISH_LIMIT = 1800.0  # seconds for reading, packing and storing one image
BUSYBOX = Path("/usr/bin/busybox")
_CHUNK = 1 << 18
_DIGEST = "tfd.digest"
_NAMES = "tfd.names"
_METADATA = "tfd.metadata"
_FORM = "tfd.form"  # what a container of it is made with; one of another form is brought anew
_CURRENT_FORM = "2"
_START_TEMPLATE = "start.tpl"


class Images:
    """The images in one engine's project."""

    def __init__(self, client: Client, busybox: Path = BUSYBOX) -> None:
        self._client = client
        self._busybox = busybox
        self._publishing = asyncio.Lock()
        self._fingerprints: dict[str, str] = {}

    async def listed(self) -> list[ImageInfo]:
        """Give every image once, though it may have been published twice at the same moment."""
        return list({image.digest: image for image, _ in await self._all()}.values())

    async def fingerprint(self, digest: str) -> str:
        """Give the engine's own name of the image, which never changes. Raises NotFound."""
        if digest not in self._fingerprints:
            for image, raw in await self._all():
                self._fingerprints[image.digest] = str(raw["fingerprint"])
        if digest not in self._fingerprints:
            raise NotFound(f"image {digest} is not at this location: bring it, or name one that it has")
        return self._fingerprints[digest]

    def forget(self, digest: str) -> None:
        """Look the image up anew next time."""
        self._fingerprints.pop(digest, None)

    async def publish(
        self, digest: str, names: tuple[str, ...], rootfs: Path, metadata: Mapping[str, str]
    ) -> None:
        """See `Engine.publish_image`."""
        async with self._publishing:
            known = await self._all()
            if not any(image.digest == digest for image, _ in known):
                await self._upload(digest, names, rootfs, metadata)
            await self._rename(digest, names, await self._all())

    async def destroy(self, digest: str) -> None:
        """Remove the image. Raises NotFound."""
        self.forget(digest)
        found = [raw["fingerprint"] for image, raw in await self._all() if image.digest == digest]
        if not found:
            raise NotFound(f"image {digest} is not at this location")
        for fingerprint in found:
            await self._client.operation(
                "DELETE", f"/1.0/images/{fingerprint}", what=f"destroying image {digest}"
            )

    async def _all(self) -> list[tuple[ImageInfo, dict[str, Any]]]:
        answer = await self._client.get("/1.0/images", what="images", query={"recursion": "1"})
        found = []
        for raw in answer.metadata or []:
            properties = raw.get("properties") or {}
            if _DIGEST in properties and properties.get(_FORM) == _CURRENT_FORM:
                image = ImageInfo(
                    properties[_DIGEST],
                    tuple(json.loads(properties.get(_NAMES, "[]"))),
                    raw["size"],
                    json.loads(properties.get(_METADATA, "{}")),
                )
                found.append((image, raw))
        return found

    async def _rename(
        self, digest: str, names: tuple[str, ...], known: list[tuple[ImageInfo, dict[str, Any]]]
    ) -> None:
        """Let the names mean this image, and no other."""
        for image, raw in known:
            mine = image.digest == digest
            others = tuple(name for name in image.names if name not in names)
            wanted = others + names if mine else others
            if set(wanted) != set(image.names):
                properties = {**raw["properties"], _NAMES: json.dumps(wanted)}
                await self._client.request(
                    "PATCH",
                    f"/1.0/images/{raw['fingerprint']}",
                    what=f"naming image {image.digest}",
                    body={"properties": properties},
                )

    async def _upload(
        self, digest: str, names: tuple[str, ...], rootfs: Path, metadata: Mapping[str, str]
    ) -> None:
        if not self._busybox.exists():
            raise EngineError(f"{self._busybox} is missing: apt install busybox-static")
        properties = {
            "description": names[0] if names else digest,
            _DIGEST: digest,
            _NAMES: json.dumps(names),
            _METADATA: json.dumps(dict(metadata)),
            _FORM: _CURRENT_FORM,
        }
        boundary = secrets.token_hex(16)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "filename": "image.tar"}
        with suppress(Exists):  # another tflocation published the same bytes meanwhile
            await self._client.upload(
                "/1.0/images",
                _multipart(boundary, _metadata_archive(properties), rootfs, self._busybox),
                what=f"publishing image {digest}",
                headers=headers,
                limit=PUBLISH_LIMIT,
            )


def _metadata_archive(properties: Mapping[str, str]) -> bytes:
    """Give the archive that describes the image; its metadata.yaml is JSON, which YAML includes.

    The engine writes the start script, which it finds in the container's configuration, before the first
    start. Not later: it would follow the links of whoever was there first.
    """
    description = {
        "architecture": platform.machine(),
        "creation_date": int(time.time()),
        "properties": properties,
        "templates": {START: {"when": ["create"], "template": _START_TEMPLATE}},
    }
    files = {
        "metadata.yaml": json.dumps(description),
        f"templates/{_START_TEMPLATE}": f'{{{{ config_get("{SCRIPT_KEY}", "") }}}}',
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return archive.getvalue()


async def _multipart(boundary: str, description: bytes, rootfs: Path, busybox: Path) -> AsyncIterator[bytes]:
    def head(name: str) -> bytes:
        return (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.tar"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()

    yield head("metadata") + description + b"\r\n" + head("rootfs")
    async for chunk in _pack(rootfs, busybox):
        yield chunk
    yield f"\r\n--{boundary}--\r\n".encode()


async def _pack(rootfs: Path, busybox: Path) -> AsyncIterator[bytes]:
    """Give an archive of the tree and of our own directory, with owners and extended attributes."""
    with tempfile.TemporaryDirectory(prefix="tflocation-") as name:
        own = Path(name, DIRECTORY.lstrip("/"))
        own.mkdir(mode=0o755)
        program = own / "busybox"
        program.write_bytes(busybox.read_bytes())
        program.chmod(0o755)
        attributes = ("--xattrs", "--xattrs-include=*")
        with tempfile.TemporaryFile() as problems:
            process = await asyncio.create_subprocess_exec(
                "tar",
                "--create",
                "--numeric-owner",
                "--sparse",
                *attributes,
                f"--exclude=.{DIRECTORY}",
                f"--directory={rootfs}",
                ".",
                f"--directory={name}",
                own.name,
                stdout=asyncio.subprocess.PIPE,
                stderr=problems,
            )
            assert process.stdout is not None
            try:
                while chunk := await process.stdout.read(_CHUNK):
                    yield chunk
                if await process.wait() != 0:
                    problems.seek(0)
                    raise _packing_error(rootfs, problems.read().decode(errors="replace"))
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()


def _packing_error(rootfs: Path, text: str) -> EngineError:
    last = text.strip().splitlines()[-1:] or ["tar failed"]
    leaf = NoSpace if "No space left" in text else EngineError
    return leaf(f"packing {rootfs}: {last[0]}")
