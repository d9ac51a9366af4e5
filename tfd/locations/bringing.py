"""Bringing what a container needs to its location: the image, and the contents of its files.

Archives are opened and files are digested in a thread; what the location has already is not sent.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Final

from tfd.config.model import Container, FileSource, is_local_image
from tfd.protocol.drivers.background import in_background
from tfd.protocol.drivers.link import Answer, Failure, Link
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.drivers.upload import Open, Upload
from tfd.protocol.errors import Code

if TYPE_CHECKING:
    from tfd.protocol.archive import ImageDescription

FIND_LIMIT: Final = 30.0
IMAGE_LIMIT: Final = 1800.0
"""Seconds for the location to fetch an image or to unpack one, and to hand it to its engine."""

Files = dict[str, dict[str, str | int]]
"""Digest and mode of each file, by its path in the container."""

Found = Callable[[str | Failure], None]


def bring_image(loop: Loop, link: Link, image: str, done: Found) -> None:
    """Have an image at the location before anything is stopped: brought from here, or fetched by it.

    `done` gets its digest there, or a Failure.
    """
    if is_local_image(image):
        _Archive(loop, link, image, done)
        return

    link.request("image.pull", {"name": image}, IMAGE_LIMIT, lambda answer: done(_image(answer)))


class _Archive:
    """One image that lies on this machine, on its way."""

    def __init__(self, loop: Loop, link: Link, image: str, done: Found) -> None:
        self._loop = loop
        self._link = link
        self._image = image
        self._done = done
        in_background(loop, lambda: _open(image), self._opened)

    def _opened(self, result: "ImageDescription | Exception") -> None:
        if isinstance(result, Exception):
            self._done(Failure(Code.NOT_FOUND, str(result) or repr(result)))
            return
        self._description = result
        self._link.request("image.find", {"name": result.config_digest}, FIND_LIMIT, self._found)

    def _found(self, answer: Answer) -> None:
        if isinstance(answer, Failure):
            self._end(answer)
            return
        digest = _digest(answer)
        if digest is not None:
            self._end(digest)
            return
        image = self._description
        offer = {
            "config": image.config_digest,
            "config_size": len(image.config),
            "manifest": image.manifest,
            "layers": [{"digest": layer.digest, "size": layer.size} for layer in image.layers],
            "names": list(image.names),
        }
        self._link.request("image.offer", offer, FIND_LIMIT, self._offered)

    def _offered(self, answer: Answer) -> None:
        if isinstance(answer, Failure):
            self._end(answer)
            return
        blobs = self._description.blobs
        missing = [blobs[digest] for digest in answer.get("missing") or () if digest in blobs]
        sources = deque((blob.digest, blob.size, blob.open) for blob in missing)
        send_blobs(self._loop, self._link, sources, self._sent)

    def _sent(self, failure: Failure | None) -> None:
        if failure is not None:
            self._end(failure)
            return
        image = self._description
        commit = {"config": image.config_digest, "manifest": image.manifest, "names": list(image.names)}
        self._link.request("image.commit", commit, IMAGE_LIMIT, self._committed)

    def _committed(self, answer: Answer) -> None:
        self._end(_image(answer))

    def _end(self, result: str | Failure) -> None:
        self._description.close()
        self._done(result)


def bring_files(
    loop: Loop,
    link: Link,
    container: Container,
    done: Callable[[Files | Failure], None],
) -> None:
    """Bring the contents of a container's files; `done` gets each path's digest and mode, or a Failure."""
    if not container.files:
        done({})
        return

    def digested(result: dict[str, tuple[str, int, Open]] | Exception) -> None:
        if isinstance(result, Exception):
            done(Failure(Code.NOT_FOUND, f"a file for container {container.name}: {result}"))
            return
        blobs = {blob[0]: blob for blob in result.values()}
        files: Files = {
            path: {"digest": result[path][0], "mode": source.mode} for path, source in container.files
        }

        def sent(failure: Failure | None) -> None:
            done(failure or files)

        send_blobs(loop, link, deque(blobs.values()), sent)

    in_background(loop, lambda: {path: _blob(source) for path, source in container.files}, digested)


def send_blobs(
    loop: Loop,
    link: Link,
    blobs: deque[tuple[str, int, Open]],
    done: Callable[[Failure | None], None],
) -> None:
    """Send blobs one after another; `done` is told the first failure, or None once all are verified."""

    def next_one(failure: Failure | None) -> None:
        if failure is not None or not blobs:
            done(failure)
        else:
            digest, size, source = blobs.popleft()
            Upload(loop, link, digest, size, source, next_one)

    next_one(None)


def _open(image: str) -> "ImageDescription":
    from tfd.protocol.archive import open_image

    return open_image(image)


def _blob(source: FileSource) -> tuple[str, int, Open]:
    """Digest a file's content. libsodium does it: hashlib would load all of OpenSSL for this."""
    from nacl.bindings import crypto_hash_sha256

    content = source.content or b""
    if source.path is not None:
        with open(source.path, "rb") as file:
            content = file.read()
    digest = "sha256:" + crypto_hash_sha256(content).hex()
    return digest, len(content), _opener(source)


def _opener(source: FileSource) -> Open:
    from io import BytesIO

    def from_memory() -> BinaryIO:
        return BytesIO(source.content or b"")

    def from_disk() -> BinaryIO:
        return open(source.path or "", "rb")

    return from_memory if source.path is None else from_disk


def _digest(answer: dict[str, object]) -> str | None:
    digest = answer.get("image")
    return digest if isinstance(digest, str) else None


def _image(answer: Answer) -> str | Failure:
    """Read the answer to a request that ends with the location having the image."""
    if isinstance(answer, Failure):
        return answer
    return _digest(answer) or Failure(Code.MALFORMED, "the location's answer names no image")
