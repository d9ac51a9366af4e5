"""A storage pool that is full: said as such, and over once there is room again."""

import asyncio
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.engine import IMAGE, KINDS, eventually, opened, private_engine, web
from tflocation.development import PrivateEngine
from tflocation.engines.interface import NoSpace, State
from tflocation.engines.lxd.engine import LxdEngine

pytestmark = pytest.mark.engine

POOL = 192 << 20  # bytes; btrfs wants 109 MiB at least
PIECE = 16 << 20
BUSYBOX = Path("/usr/bin/busybox")


@pytest.fixture(params=KINDS)
def small(request: pytest.FixtureRequest) -> Iterator[PrivateEngine]:
    """Run an engine with hardly any storage."""
    with private_engine(request.param, POOL) as running:
        yield running


async def test_full_pool(small: PrivateEngine, rootfs: Path, tmp_path: Path) -> None:
    """Files and containers are refused for lack of space; what runs goes on, and room made is used."""
    big = tmp_path / "big"
    big.write_bytes(os.urandom(PIECE))
    async with opened(small) as engine:
        await engine.publish_image(IMAGE, ("busybox",), rootfs, {})
        container = await engine.create_container(web())

        await fill(engine, container.id, big)

        assert (await engine.container(container.id)).state is State.RUNNING
        tree = tmp_path / "tree"
        tree.mkdir()
        big.rename(tree / "big")
        await engine.publish_image("sha256:big", (), tree, {})
        with pytest.raises(NoSpace):
            await engine.create_container(replace(web("big"), image="sha256:big"))
        assert [container.id] == [found.id for found in await engine.containers()]

        await engine.destroy(container.id)

        async def made() -> bool:
            try:
                return (await engine.create_container(web("after"))).state is State.RUNNING
            except NoSpace:  # btrfs gives room back some time after the next commit
                pool = small.directory / "storage-pools" / small.pool
                commit = await asyncio.create_subprocess_exec("btrfs", "filesystem", "sync", pool)
                assert await commit.wait() == 0
                return False

        await eventually(made, "a container in the room that was made")


async def fill(engine: LxdEngine, container: str, big: Path) -> None:
    """Write until nothing more fits, which must be told as what it is."""
    names = (f"/big{number}" for number in range(2 * POOL // PIECE))
    with pytest.raises(NoSpace, match="/big"):
        await write_all(engine, container, names, big)
    small = (f"/small{number}" for number in range(2 * PIECE // BUSYBOX.stat().st_size))
    with pytest.raises(NoSpace, match="/small"):
        await write_all(engine, container, small, BUSYBOX)


async def write_all(engine: LxdEngine, container: str, names: Iterable[str], source: Path) -> None:
    """Write one file under many names."""
    for name in names:
        await engine.put_file(container, name, source)
