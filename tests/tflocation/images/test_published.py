"""Images in a real engine: brought, published, and run as their configs say."""

import asyncio
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import images as made
from tests.support.engine import KINDS, eventually, opened, private_engine, written
from tflocation.development import PrivateEngine
from tflocation.engines.interface import ContainerInfo, ContainerSpec
from tflocation.images import Images, ImageSettings

pytestmark = pytest.mark.engine
BUILD_NGINX = Path(__file__).parents[3] / "packaging/images/nginx/build"
SETTINGS = ImageSettings(registries=())


@pytest.fixture(scope="module", params=KINDS)
def private(request: pytest.FixtureRequest) -> Iterator[PrivateEngine]:
    """One engine for all tests of this file."""
    with private_engine(request.param) as private:
        yield private


async def spec(images: Images, digest: str, name: str, command: list[str] | None = None) -> ContainerSpec:
    """A container of this image, its process by the image's config."""
    process = await images.process(digest, command, None, {"OWN": "1"})
    return ContainerSpec("tester", f"test/{name}/0", "key", digest, process)


async def test_config_survives_in_the_engine(private: PrivateEngine, tmp_path: Path) -> None:
    """With an empty cache, a new location still runs an image as its config says."""
    image = made.busybox_image(
        entrypoint=[
            "/bin/sh",
            "-c",
            "id > /srv/web/note; pwd >> note; env >> note; echo end >> note; exec sleep 99",
        ],
        command=[],
        environment=["IMAGE=2"],
        user="web",
        extra=[made.layer({}, [owned_directory("srv/web", 1000, 1001)])],
        WorkingDir="/srv/web",
    )
    archive = made.archive(tmp_path / "a.tar", made.oci_files({"latest": image}))
    async with opened(private) as engine:
        images = Images(engine, tmp_path / "one", SETTINGS)
        await images.open()
        assert await images.add_archive(str(archive), ["note"]) == image.digest
        await images.close()

        images = Images(engine, tmp_path / "two", SETTINGS)
        await images.open()
        digest = await images.resolve("note")
        container = await engine.create_container(await spec(images, digest, "note"))
        lines = (await written(engine, container, "/srv/web/note")).splitlines()
        await engine.destroy(container.id)
        await images.destroy("note")
        assert not await engine.has_image(digest)
        await images.close()

    assert lines[0].startswith("uid=1000(web) gid=1001(web)")
    assert lines[1] == "/srv/web"
    assert {"OWN=1", "IMAGE=2", "HOME=/srv/web"} <= set(lines)


def owned_directory(name: str, uid: int, gid: int) -> tarfile.TarInfo:
    """A directory of a user."""
    member = made.directory(name)
    member.uid, member.gid = uid, gid
    return member


@pytest.mark.slow
async def test_nginx(private: PrivateEngine, tmp_path: Path) -> None:
    """The nginx image that Debian's packages make serves its page from an unprivileged container."""
    archive = tmp_path / "nginx.tar"
    subprocess.run([BUILD_NGINX, archive], check=True, timeout=300)
    async with opened(private) as engine:
        images = Images(engine, tmp_path / "cache", SETTINGS)
        await images.open()
        digest = await images.add_archive(f"oci-archive:{archive}", ["nginx"])
        assert (await images.about(digest)).ports == ("80/tcp",)
        container = await engine.create_container(await spec(images, digest, "nginx"))
        page = await fetched(container)
        inside = await engine.fetch_file(container.id, "/usr/share/nginx/html/index.html", 100_000)
        await engine.stop(container.id, 10)
        ended = await engine.container(container.id)
        await engine.destroy(container.id)
        await images.close()

    assert b"Welcome to nginx!" in page
    assert page == inside
    assert (ended.state, ended.exit) == ("stopped", 0)


async def fetched(container: ContainerInfo) -> bytes:
    """The page on the container's port 80, once it answers."""

    async def look() -> bytes | None:
        try:
            return await asyncio.to_thread(get, f"http://{container.ip}/")
        except OSError:
            return None

    return await eventually(look, f"the page of {container.name}")


def get(url: str) -> bytes:
    """One page."""
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - an address of our own
        content: bytes = answer.read()
        return content
