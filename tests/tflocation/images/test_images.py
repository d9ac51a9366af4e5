"""Images as commands see them: found, brought, pulled, published and destroyed."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support import images as made
from tests.support.image_shelf import MemoryShelf
from tests.support.images import Image
from tests.support.registry import PROGRAM, Registry, registry
from tfd.protocol.archive import ImageDescription, open_image
from tfd.protocol.errors import Code, CommandError
from tflocation.images import Images, ImageSettings

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root owns the files of images")
needs_registry = pytest.mark.skipif(PROGRAM is None, reason="needs docker-registry")
PASSWORD = "secret"
HASHED = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"  # bcrypt, as docker-registry wants it
SETTINGS = ImageSettings(registries=())
WEB = made.busybox_image(command=["httpd", "-f"], user="web", environment=["A=1"], StopSignal="SIGQUIT")
BASE = made.busybox_layer()
UPPER = Image([BASE, made.layer({"srv/page": b"page"})], {"Cmd": ["sh"]})


@pytest.fixture
def shelf() -> MemoryShelf:
    """An empty engine."""
    return MemoryShelf()


@pytest_asyncio.fixture
async def images(shelf: MemoryShelf, tmp_path: Path) -> AsyncIterator[Images]:
    """An empty location."""
    images = Images(shelf, tmp_path / "cache", SETTINGS)
    await images.open()
    yield images
    await images.close()


def described(tmp_path: Path, image: Image) -> ImageDescription:
    """The image as a client reads it from an archive."""
    path = made.archive(tmp_path / f"{image.digest[7:19]}.tar", made.oci_files({"latest": image}))
    return open_image(str(path))


async def bring(images: Images, tmp_path: Path, image: Image, *names: str, account: str = "") -> list[str]:
    """Do what a client does to bring an image; gives the digests that it had to send."""
    with described(tmp_path, image) as description:
        missing = await images.offer(description.config_digest, description.manifest, names)
        for digest in missing:
            blob = description.blobs[digest]
            writer = await images.writer(digest, blob.size, account)
            with blob.open() as source:
                writer.write(source.read())
            await writer.finish()
        await images.commit(description.config_digest, description.manifest, names, account)
    return missing


async def test_brought_by_a_client(images: Images, shelf: MemoryShelf, tmp_path: Path) -> None:
    """A brought image is published under its config digest, with its tree, and its process is known."""
    await bring(images, tmp_path, WEB, "web")
    process = await images.process(WEB.digest, None, None, {"B": "2"})

    assert "bin" in shelf.trees[WEB.digest]
    assert (process.args, process.uid, process.gid, process.stop_signal) == (("httpd", "-f"), 1000, 1001, 3)
    assert process.environment["HOME"] == "/srv/web"
    assert (process.environment["A"], process.environment["B"]) == ("1", "2")


async def test_only_new_layers_are_sent(images: Images, tmp_path: Path) -> None:
    """An image on a known base needs its config and its own layer; a known image nothing."""
    await bring(images, tmp_path, Image([BASE]))
    sent = await bring(images, tmp_path, UPPER)

    assert sent == [UPPER.digest, made.digest(UPPER.blobs()[1])]
    assert await bring(images, tmp_path, UPPER) == []


@pytest.mark.parametrize(
    "name", ["web", "web:latest", "docker.io/library/web", WEB.digest, WEB.digest[:19], WEB.digest[7:19]]
)
async def test_found(images: Images, tmp_path: Path, name: str) -> None:
    """An image is found by every spelling of its name and by its digest, whole or not."""
    await bring(images, tmp_path, WEB, "web")

    assert await images.find(name) == WEB.digest
    assert await images.resolve(name) == WEB.digest


async def test_not_found(images: Images) -> None:
    """What nobody has is not-found, and the message says who was asked."""
    assert await images.find("web") is None
    with pytest.raises(
        CommandError, match="'web:latest': not at this location, not brought by the client"
    ) as caught:
        await images.resolve("web")
    assert caught.value.code == Code.NOT_FOUND
    with pytest.raises(CommandError, match="a digest alone"):
        await images.resolve(WEB.digest)


async def test_names_belong_to_accounts(images: Images, tmp_path: Path) -> None:
    """An account's names mean its own images; no account changes another's or everybody's."""
    await bring(images, tmp_path, WEB, "web", account="alice")
    await bring(images, tmp_path, UPPER, "web", account="bob")

    assert await images.find("web") is None
    assert await images.find("web", "alice") == WEB.digest
    assert await images.find("web", "bob") == UPPER.digest
    assert [image.names for image in await images.list("alice")] == [("web:latest",)]
    with pytest.raises(CommandError, match="not at this location"):
        await images.destroy(WEB.digest, "bob")
    await bring(images, tmp_path, WEB, "mine", account="bob")
    with pytest.raises(CommandError, match="also named by others") as caught:
        await images.destroy(WEB.digest, "bob")
    assert caught.value.code == Code.DENIED


async def test_an_image_is_seen_by_who_brought_it(images: Images, tmp_path: Path) -> None:
    """Without a name too, and after its name went to another; nobody else finds it, however asked."""
    await bring(images, tmp_path, WEB, account="alice")
    await bring(images, tmp_path, UPPER, "web", account="alice")
    await bring(images, tmp_path, WEB, "web", account="alice")

    for digest in (WEB.digest, UPPER.digest):
        assert await images.find(digest, "alice") == digest
        assert await images.find(digest.removeprefix("sha256:")[:12], "bob") is None
        with pytest.raises(CommandError, match="not at this location"):
            await images.config(digest, "bob")
    assert await images.list("bob") == []
    names = {image.digest: image.names for image in await images.list("alice")}
    assert names == {WEB.digest: ("web:latest",), UPPER.digest: ()}


async def test_the_whole_config_is_told(images: Images, tmp_path: Path) -> None:
    """As the image has it, by each of its names."""
    await bring(images, tmp_path, WEB, "web", account="alice")

    digest, config = await images.config("web", "alice")

    assert digest == WEB.digest
    assert json.loads(config) == json.loads(WEB.config)


async def test_name_moves(images: Images, tmp_path: Path) -> None:
    """A name given to another image means that one."""
    await bring(images, tmp_path, WEB, "web")
    await bring(images, tmp_path, UPPER, "web", "other")
    await bring(images, tmp_path, WEB, "third")

    assert await images.find("web") == UPPER.digest
    assert await images.find("third") == WEB.digest


async def test_destroyed(images: Images, tmp_path: Path) -> None:
    """A destroyed image is not found any more."""
    await bring(images, tmp_path, WEB, "web", account="alice")
    await images.destroy("web", "alice")

    assert await images.find("web", "alice") is None
    with pytest.raises(CommandError, match="not at this location"):
        await images.about(f"sha256:{'0' * 64}")


async def test_empty_cache(images: Images, shelf: MemoryShelf, tmp_path: Path) -> None:
    """A location that lost its cache knows all published images, with their processes."""
    await bring(images, tmp_path, WEB, "web")
    fresh = Images(shelf, tmp_path / "other cache", SETTINGS)
    await fresh.open()

    assert await fresh.find("web") == WEB.digest
    assert (await fresh.process(WEB.digest, None, None, {})).args == ("httpd", "-f")
    await fresh.close()


async def test_added_from_an_archive(images: Images, tmp_path: Path) -> None:
    """An archive of the location's own machine is published under its own names or the given ones."""
    files, links = made.docker_files(WEB, ["web:1"])
    path = made.archive(tmp_path / "save.tar", files, links)

    assert await images.add_archive(str(path)) == WEB.digest
    assert await images.add_archive(str(path), ["other"]) == WEB.digest
    assert await images.find("web:1") == WEB.digest == await images.find("other")
    with pytest.raises(CommandError, match="cannot be read"):
        await images.add_archive("./nowhere.tar")


async def test_committed_twice_at_once(images: Images, shelf: MemoryShelf, tmp_path: Path) -> None:
    """Two clients that commit one image at once both get it, and it is unpacked once."""
    with described(tmp_path, WEB) as one:
        for digest in await images.offer(one.config_digest, one.manifest, []):
            writer = await images.writer(digest, one.blobs[digest].size)
            with one.blobs[digest].open() as source:
                writer.write(source.read())
            await writer.finish()
        both = [images.commit(one.config_digest, one.manifest, [name]) for name in ("a", "b")]
        assert await asyncio.gather(*both) == [WEB.digest] * 2

    assert sorted(shelf.published[WEB.digest].names) == ["a:latest", "b:latest"]


async def test_commit_without_blobs(images: Images, tmp_path: Path) -> None:
    """A commit whose blobs never came names the first one."""
    with described(tmp_path, WEB) as one, pytest.raises(CommandError, match="send it again") as caught:
        await images.commit(one.config_digest, one.manifest, [])
    assert caught.value.code == Code.NOT_FOUND


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (replace(WEB, architecture="s390x"), "the image is for linux/s390x"),
        (replace(WEB, process={"User": "nobody"}), "'nobody' is not in its /etc/passwd"),
        (replace(WEB, process={"StopSignal": "x"}), "stop signal"),
        (replace(WEB, layers=[b"no tar at all" * 100]), "not a readable tar archive"),
    ],
)
async def test_unusable_images(
    images: Images, shelf: MemoryShelf, tmp_path: Path, image: Image, message: str
) -> None:
    """An image that could not run is refused when it is brought, with nothing left of it."""
    with pytest.raises(CommandError, match=message):
        await bring(images, tmp_path, image, "web")

    assert shelf.published == {}
    assert list((tmp_path / "cache/work").iterdir()) == []


@pytest.mark.parametrize("manifest", [b"", b"{}", b"[" * 1000, json.dumps({"schemaVersion": 2}).encode()])
async def test_hostile_manifests(images: Images, manifest: bytes) -> None:
    """What is no manifest is malformed."""
    with pytest.raises(CommandError) as caught:
        await images.offer(WEB.digest, manifest, [])
    assert caught.value.code == Code.MALFORMED


async def test_leftovers_are_removed(shelf: MemoryShelf, tmp_path: Path) -> None:
    """What a killed location left half unpacked goes at the next start; blobs stay."""
    made.layout(tmp_path / "cache", {"work/x/rootfs/a": b"", "blobs/" + "0" * 64: b""})
    images = Images(shelf, tmp_path / "cache", SETTINGS)
    await images.open()

    assert list((tmp_path / "cache/work").iterdir()) == []
    assert images.blob(f"sha256:{'0' * 64}").exists()
    await images.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Registry]:
    """A registry with the image web:latest."""
    with registry(tmp_path / "registry") as served:
        path = made.archive(tmp_path / "web.tar", made.oci_files({"latest": WEB}))
        served.push(f"oci-archive:{path}", "web")
        yield served


def allowing(*addresses: str) -> ImageSettings:
    """Settings that allow these registries."""
    return ImageSettings(registries=addresses, insecure_registries=addresses, pull_timeout=60)


@needs_registry
async def test_pulled(shelf: MemoryShelf, tmp_path: Path, served: Registry) -> None:
    """A name that is not here is pulled once, by all who ask, and found afterwards."""
    images = Images(shelf, tmp_path / "cache", allowing("127.0.0.1:1", served.address))
    await images.open()
    found = await asyncio.gather(*(images.resolve("web") for _ in range(5)))

    assert found == [WEB.digest] * 5
    assert await images.find("web") == WEB.digest
    assert (await images.process(WEB.digest, None, None, {})).args == ("httpd", "-f")
    await images.close()


@needs_registry
async def test_every_registry_answers(shelf: MemoryShelf, tmp_path: Path, served: Registry) -> None:
    """When no registry has it, the message tells what each one said."""
    images = Images(shelf, tmp_path / "cache", allowing("127.0.0.1:1", served.address))
    await images.open()
    with pytest.raises(CommandError, match=f"127.0.0.1:1: .*refused; {served.address}: .*unknown"):
        await images.resolve("missing")
    with pytest.raises(CommandError, match="its registry is not among"):
        await images.resolve("elsewhere.example.net/web")
    await images.close()


@needs_registry
async def test_credentials(shelf: MemoryShelf, tmp_path: Path) -> None:
    """A registry that wants a password gets it from the credentials file."""
    path = made.archive(tmp_path / "web.tar", made.oci_files({"latest": WEB}))
    with registry(tmp_path / "registry", {"location": HASHED}) as served:
        served.push(f"oci-archive:{path}", "web", credentials=f"location:{PASSWORD}")
        token = base64.b64encode(f"location:{PASSWORD}".encode()).decode()
        file = tmp_path / "auth.json"
        file.write_text(json.dumps({"auths": {served.address: {"auth": token}}}))
        for credentials, expected in ((None, "authentication required"), (file, WEB.digest)):
            settings = replace(allowing(served.address), credentials=credentials)
            images = Images(shelf, tmp_path / "cache", settings)
            await images.open()
            assert expected in await answer(images, "web")
            await images.close()


async def answer(images: Images, name: str) -> str:
    """The digest, or the error's message."""
    try:
        return await images.resolve(name)
    except CommandError as error:
        return error.message
