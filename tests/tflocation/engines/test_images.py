"""Images on a real engine: published once, found by digest, named."""

import os
from pathlib import Path

import pytest

from tests.support.engine import IMAGE
from tflocation.engines.interface import EngineError, NotFound
from tflocation.engines.lxd.engine import LxdEngine

pytestmark = pytest.mark.engine


async def test_is_found_with_what_its_publisher_gave(engine: LxdEngine, tmp_path: Path) -> None:
    """Digest, names and metadata come back, large ones too; a destroyed image is unknown."""
    digest = f"sha256:{os.urandom(32).hex()}"
    metadata = {"config": '{"x": "' + "y" * 300_000 + '\\n"}', "other": "ä: - {"}
    (tmp_path / "etc").mkdir()

    await engine.publish_image(digest, ("one", "one:1"), tmp_path, metadata)

    (image,) = [image for image in await engine.images() if image.digest == digest]
    assert (("one", "one:1"), metadata) == (image.names, image.metadata)
    assert image.size > 0
    assert await engine.has_image(digest)

    await engine.destroy_image(digest)

    assert not await engine.has_image(digest)
    with pytest.raises(NotFound, match=digest):
        await engine.destroy_image(digest)


async def test_name_means_the_image_published_last(engine: LxdEngine, tmp_path: Path) -> None:
    """A name moves to the new image; publishing a digest again makes no second image."""
    first, second = (f"sha256:{os.urandom(32).hex()}" for _ in range(2))
    for number, digest in enumerate((first, second, first)):
        (tmp_path / "number").write_text(str(number))
        await engine.publish_image(digest, ("moving",), tmp_path, {})

    found = {image.digest: image.names for image in await engine.images()}

    assert (found[first], found[second]) == (("moving",), ())
    assert len(await engine.images()) == len(found)
    assert IMAGE in found


async def test_tree_that_is_not_there(engine: LxdEngine, tmp_path: Path) -> None:
    """A tree that cannot be read makes no image."""
    with pytest.raises(EngineError, match="gone"):
        await engine.publish_image("sha256:gone", (), tmp_path / "gone", {})

    assert not await engine.has_image("sha256:gone")
