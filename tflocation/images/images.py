"""The images of a location: found by digest or name, brought by a client, or pulled from a registry.

The engine alone remembers what is published: its images carry their names, and the part of their config
that containers need. So the directory here is a cache, and an empty one is as good as a full one.

An image that an account brings is seen by that account alone, and has its names for it alone, so that no
account can change what another's "nginx" is. What `add_archive` and the registries gave is everybody's, with
its names; an account's own names come before those.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
from asyncio import to_thread
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from tfd.protocol.archive import ArchiveError, ImageDescription, open_image
from tfd.protocol.errors import Code, CommandError
from tfd.protocol.image_name import canonical
from tfd.protocol.oci import (
    Manifest,
    architecture_of,
    is_digest,
    parse_json,
    parse_manifest,
)
from tflocation.engines.interface import ImageInfo, ProcessSpec
from tflocation.images import names as image_names
from tflocation.images.process import (
    ImageProcess,
    config_metadata,
    config_text,
    from_config,
    from_metadata,
    process_spec,
)
from tflocation.images.registry import NotPulled, pull
from tflocation.images.settings import ImageSettings
from tflocation.images.store import BlobStore, BlobWriter
from tflocation.images.unpack import read_file, remove_devices, unpack

log = logging.getLogger(__name__)

UNPACKS_AT_ONCE = 2
"""Each takes a processor and the disk."""
_COPY = 1 << 20


class Shelf(Protocol):
    """The part of `Engine` that keeps images."""

    async def images(self) -> list[ImageInfo]:
        """See `Engine.images`."""

    async def has_image(self, digest: str) -> bool:
        """See `Engine.has_image`."""

    async def publish_image(
        self, digest: str, names: tuple[str, ...], rootfs: Path, metadata: Mapping[str, str]
    ) -> None:
        """See `Engine.publish_image`."""

    async def destroy_image(self, digest: str) -> None:
        """See `Engine.destroy_image`."""


class Images:
    """Everything about images that commands ask for. `directory` is a cache that nobody else writes to.

    Every method may raise CommandError, and EngineError from the engine.
    """

    def __init__(self, engine: Shelf, directory: Path, settings: ImageSettings | None = None) -> None:
        self._engine = engine
        self._settings = settings or ImageSettings()
        self._directory = directory
        self._spaces = directory / "work"
        self._store = BlobStore(directory, self._settings.cache_size)
        self._unpacking = asyncio.Semaphore(UNPACKS_AT_ONCE)
        self._running: dict[str, asyncio.Task[str]] = {}
        self._processes: dict[str, ImageProcess] = {}

    async def open(self) -> None:
        """Make the directory, and remove what an earlier run left unfinished in it. Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._store.open()
        if self._spaces.exists():
            await to_thread(shutil.rmtree, self._spaces)
        self._spaces.mkdir(mode=0o700)
        self._store.sweep()

    async def close(self) -> None:
        """End uploads, pulls and publications; partial files stay."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._store.close()

    async def find(self, name: str, account: str = "") -> str | None:
        """Give the digest of an image that is here, by its digest, 12 or more digits of it, or a name."""
        published = await self._seen(account)
        digits = image_names.digest_prefix(name)
        if digits is not None:
            found = [image.digest for image in published if _digits(image.digest).startswith(digits)]
            if len(found) > 1:
                raise CommandError(Code.BAD_PARAMETER, f"image {name!r} begins the digests of several images")
            if found:
                return found[0]
        wanted = canonical(name)
        for kept in (image_names.owned(wanted, account), wanted):
            for image in published:
                if kept in image.names:
                    return image.digest
        return None

    async def resolve(self, name: str, account: str = "") -> str:
        """Find the image here, or else pull it from the first registry that has it; may take minutes.

        Raises CommandError not-found, with what each registry said.
        """
        found = await self.find(name, account)
        if found is not None:
            return found
        if is_digest(name):
            message = f"image {name!r}: not at this location; a digest alone can be asked of no registry"
            raise CommandError(Code.NOT_FOUND, message)
        wanted = image_names.check(name)
        return await self._once(f"name {wanted}", lambda: self._pull_first(wanted))

    async def offer(self, config: str, manifest: bytes, names: Sequence[str]) -> list[str]:
        """Give the digests of the blobs that must come before `commit`; none where the image is published."""
        parsed = _parse(config, manifest)
        for name in names:
            image_names.check(name)
        if await self._engine.has_image(config):
            return []
        wanted = dict.fromkeys([config, *(layer.digest for layer in parsed.layers)])
        self._store.pin(wanted)
        return [digest for digest in wanted if not self._store.has(digest)]

    async def writer(self, digest: str, size: int, owner: str = "") -> BlobWriter:
        """Begin an upload or go on with it; `owner`'s earlier upload of the same blob is ended."""
        return await self._store.writer(digest, size, owner)

    async def commit(self, config: str, manifest: bytes, names: Sequence[str], account: str = "") -> str:
        """Publish an image whose blobs are here; may take minutes. Raises CommandError not-found."""
        parsed = _parse(config, manifest)
        kept = [image_names.owned(image_names.check(name), account) for name in names]
        if account:
            # Whoever brought an image sees it, also once its names mean another one; nobody else does.
            kept.append(image_names.owned(config, account))
        return await self._publish(parsed, kept)

    def blob(self, digest: str) -> Path:
        """Give the file of a blob that was sent before. Raises CommandError not-found."""
        path = self._store.path(digest)
        if not path.is_file():
            raise CommandError(Code.NOT_FOUND, f"blob {digest}: not here (any more); send it again")
        path.touch()
        return path

    async def process(
        self,
        digest: str,
        command: Sequence[str] | None,
        entrypoint: Sequence[str] | None,
        environment: Mapping[str, str],
    ) -> ProcessSpec:
        """Give the process of a container of this image, by Docker's rules."""
        return process_spec(await self.about(digest), command, entrypoint, environment)

    async def about(self, digest: str) -> ImageProcess:
        """Tell what the image's config says, ports and volumes too. Raises CommandError not-found."""
        known = self._processes.get(digest)
        if known is None:
            found = {image.digest: image.metadata for image in await self._engine.images()}
            if digest not in found:
                raise CommandError(Code.NOT_FOUND, f"image {digest}: not at this location")
            known = from_metadata(found[digest], digest)
            self._processes = {one: kept for one, kept in self._processes.items() if one in found}
            self._processes[digest] = known
        return known

    async def config(self, image: str, account: str = "") -> tuple[str, bytes]:
        """Give an image's digest and its OCI config, JSON, without the history where that is long.

        Raises CommandError: not-found, engine where the image was published without one.
        """
        digest = await self.find(image, account)
        for published in await self._engine.images():
            if published.digest == digest:
                return digest, config_text(published.metadata, digest).encode()
        raise CommandError(Code.NOT_FOUND, f"image {image!r}: not at this location")

    async def list(self, account: str = "") -> list[ImageInfo]:
        """Give the images that the account may see, with its own and everybody's names; without one, all."""
        return [
            replace(image, names=image_names.seen(image.names, account))
            for image in await self._seen(account)
        ]

    async def destroy(self, image: str, account: str = "") -> None:
        """Remove an image. Raises CommandError: not-found, denied where it is not the account's alone."""
        digest = await self.find(image, account)
        if digest is None:
            raise CommandError(Code.NOT_FOUND, f"image {image!r}: not at this location")
        published = await self._engine.images()
        kept = [name for one in published if one.digest == digest for name in one.names]
        if account and any(image_names.owner(name)[0] != account for name in kept):
            raise CommandError(Code.DENIED, f"image {image!r}: is also named by others than {account}")
        await self._engine.destroy_image(digest)

    async def add_archive(self, archive: str, names: Sequence[str] = ()) -> str:
        """Publish an image from an archive on this machine, under these names or else its own."""
        try:
            description = await to_thread(open_image, archive, spool_directory=self._spaces)
        except ArchiveError as error:
            raise CommandError(Code.MALFORMED, str(error)) from error
        with description:
            wanted = [image_names.check(name) for name in names or description.names]
            for digest in await self.offer(description.config_digest, description.manifest, wanted):
                await self._copy(description, digest)
        return await self.commit(description.config_digest, description.manifest, wanted)

    async def _seen(self, account: str) -> Sequence[ImageInfo]:
        return [image for image in await self._engine.images() if image_names.is_seen(image.names, account)]

    async def _copy(self, description: ImageDescription, digest: str) -> None:
        blob = description.blobs[digest]
        writer = await self._store.writer(digest, blob.size, "archive")
        try:
            with blob.open() as source:
                source.seek(writer.offset)
                while chunk := await to_thread(source.read, _COPY):
                    writer.write(chunk)
            await writer.finish()
        finally:
            writer.close()

    async def _once(self, what: str, work: Callable[[], Awaitable[str]]) -> str:
        """Do a piece of work once for all who ask meanwhile; it goes on when one of them goes away."""
        task = self._running.get(what)
        if task is None:
            task = asyncio.ensure_future(_awaited(work()))
            self._running[what] = task
            task.add_done_callback(lambda ended: self._ended(what, ended))
        return await asyncio.shield(task)

    def _ended(self, what: str, task: asyncio.Task[str]) -> None:
        self._running.pop(what, None)
        if not task.cancelled() and task.exception() is not None:
            failed = {"what": what, "reason": str(task.exception())}
            log.warning("an image could not be had", extra={"fields": failed})

    async def _publish(self, manifest: Manifest, kept: Sequence[str]) -> str:
        digest = manifest.config.digest
        if not await self._engine.has_image(digest):
            await self._once(f"image {digest}", lambda: self._unpack_and_publish(manifest, tuple(kept)))
        published = {image.digest: image.names for image in await self._engine.images()}
        if not set(kept) <= set(published.get(digest, ())):
            # The engine has the image: it takes the names over and looks at nothing else.
            await self._engine.publish_image(digest, tuple(kept), self._directory, {})
        return digest

    async def _unpack_and_publish(self, manifest: Manifest, kept: tuple[str, ...]) -> str:
        digest = manifest.config.digest
        wanted = {one.digest: self.blob(one.digest) for one in (manifest.config, *manifest.layers)}
        config = _parse_config(wanted[digest])
        async with self._unpacking, self._space() as space:
            rootfs = await unpack(manifest, wanted, space, self._settings)
            removed = await to_thread(remove_devices, rootfs)
            passwd, group = read_file(rootfs, "/etc/passwd"), read_file(rootfs, "/etc/group")
            metadata = from_config(config, passwd, group).metadata() | config_metadata(config)
            await self._engine.publish_image(digest, kept, rootfs, metadata)
        self._store.unpin(wanted)
        fields = {"image": digest, "names": ", ".join(kept), "devices left out": removed}
        log.info("image published", extra={"fields": fields})
        return digest

    async def _pull_first(self, name: str) -> str:
        places = image_names.at_registries(name, self._settings.registries)
        answers = []
        for registry, reference in places:
            try:
                return await self._pull(reference, registry, name)
            except NotPulled as error:
                answers.append(f"{registry}: {error}")
        if not places:
            allowed = ", ".join(self._settings.registries) or "none"
            answers.append(f"its registry is not among this location's registries ({allowed})")
        message = f"image {name!r}: not at this location, not brought by the client, and no registry has it"
        raise CommandError(Code.NOT_FOUND, f"{message}: {'; '.join(answers)}")

    async def _pull(self, reference: str, registry: str, name: str) -> str:
        log.info("pulling image", extra={"fields": {"image": name, "from": registry}})
        async with self._space() as space:
            directory = space / "pulled"
            directory.mkdir()
            manifest = await pull(reference, registry, directory, self._settings)
            blobs = dict.fromkeys([manifest.config.digest, *(layer.digest for layer in manifest.layers)])
            self._store.pin(blobs)
            for digest in blobs:
                self._store.adopt(directory / _digits(digest), digest)
        return await self._publish(manifest, [name])

    @asynccontextmanager
    async def _space(self) -> AsyncIterator[Path]:
        """Make a directory for one piece of work, removed after it; nobody else may look into it."""
        space = Path(tempfile.mkdtemp(dir=self._spaces))
        try:
            yield space
        finally:
            # Layers may hold directories that their owner may not change; root may.
            with contextlib.suppress(OSError):
                await to_thread(shutil.rmtree, space)


async def _awaited(work: Awaitable[str]) -> str:
    return await work


def _digits(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _parse(config: str, manifest: bytes) -> Manifest:
    """Read the manifest that a client sent. Raises CommandError malformed."""
    try:
        parsed = parse_manifest(manifest, "the manifest")
    except ArchiveError as error:
        raise CommandError(Code.MALFORMED, str(error)) from error
    if parsed.config.digest != config:
        raise CommandError(Code.MALFORMED, f"the manifest is for config {parsed.config.digest}, not {config}")
    return parsed


def _parse_config(path: Path) -> dict[str, Any]:
    """Read an image's config, which must be for machines like this one. Raises CommandError malformed."""
    try:
        config = parse_json(path.read_bytes(), "the image's config")
    except ArchiveError as error:
        raise CommandError(Code.MALFORMED, str(error)) from error
    here = architecture_of(os.uname().machine)
    architecture, system = config.get("architecture") or here, config.get("os") or "linux"
    if (architecture, system) != (here, "linux"):
        message = f"the image is for {system}/{architecture}; this location's machines are linux/{here}"
        raise CommandError(Code.MALFORMED, message)
    return config
