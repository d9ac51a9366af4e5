"""One private LXD and one private Incus for all engine tests; each test opens them anew."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.engine import IMAGE, KINDS, busybox_rootfs, opened, private_engine
from tflocation.development import PrivateEngine
from tflocation.engines.lxd.engine import LxdEngine


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the tree of the busybox image."""
    return busybox_rootfs(tmp_path_factory.mktemp("busybox") / "rootfs")


@pytest.fixture(scope="session", params=KINDS)
def private(request: pytest.FixtureRequest) -> Iterator[PrivateEngine]:
    """Run a private engine of each kind."""
    with private_engine(request.param) as running:
        yield running


@pytest.fixture
async def engine(private: PrivateEngine, rootfs: Path) -> AsyncIterator[LxdEngine]:
    """Open our engine, with the busybox image there, and destroy all containers afterwards."""
    async with opened(private) as ours:
        await ours.publish_image(IMAGE, ("busybox",), rootfs, {})
        yield ours
        await asyncio.gather(*(ours.destroy(container.id) for container in await ours.containers()))
