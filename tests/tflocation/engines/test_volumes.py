"""Named volumes on a real engine: they outlive containers, and go back to what they were."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.support.engine import shell, written
from tflocation.engines.interface import InUse, NoSpace, NotFound
from tflocation.engines.lxd.engine import LxdEngine

pytestmark = pytest.mark.engine

IDLE = "exec sleep 99"


@pytest.fixture
def name() -> str:
    """Give a volume name that no other test uses."""
    return f"test/{os.urandom(4).hex()}"


async def test_is_created_once(engine: LxdEngine, name: str) -> None:
    """The same account and name give the same volume, another account's is another one."""
    first, second = await asyncio.gather(*(engine.ensure_volume("tester", name) for _ in range(2)))
    other = await engine.ensure_volume("other", name)

    volumes = {(volume.account, volume.name) for volume in await engine.volumes()}

    assert first.name == second.name == other.name == name
    assert {("tester", name), ("other", name)} <= volumes


async def test_data_outlives_the_container(engine: LxdEngine, name: str) -> None:
    """What one container wrote is there for the next one."""
    await engine.ensure_volume("tester", name)
    volumes = ((name, "/srv/data"),)
    first = await engine.create_container(
        shell(f"echo kept >/srv/data/file; echo end >>/srv/data/file; {IDLE}", volumes=volumes)
    )
    assert await written(engine, first, "/srv/data/file") == "kept\n"
    await engine.destroy(first.id)

    second = await engine.create_container(shell(IDLE, volumes=volumes))

    assert second.volumes == (name,)
    assert await written(engine, second, "/srv/data/file") == "kept\n"


async def test_empty_volume_belongs_to_the_process(engine: LxdEngine, name: str) -> None:
    """A process that is not root can write to its new volume."""
    await engine.ensure_volume("tester", name)
    spec = shell(f"echo end >/data/file; {IDLE}", volumes=((name, "/data"),), uid=33, gid=33)

    assert await written(engine, await engine.create_container(spec), "/data/file") == ""


async def test_volume_in_use_is_not_destroyed(engine: LxdEngine, name: str) -> None:
    """A volume goes only when no container has it, and only once."""
    await engine.ensure_volume("tester", name)
    container = await engine.create_container(shell(IDLE, volumes=((name, "/data"),)))

    with pytest.raises(InUse, match=container.id):
        await engine.destroy_volume("tester", name)
    await engine.destroy(container.id)
    await engine.destroy_volume("tester", name)

    with pytest.raises(NotFound, match=name):
        await engine.destroy_volume("tester", name)


async def test_rollback_under_a_running_container(engine: LxdEngine, name: str, tmp_path: Path) -> None:
    """A snapshot brings the old data back, and the container sees it without a restart."""
    await engine.ensure_volume("tester", name)
    container = await engine.create_container(shell(IDLE, volumes=((name, "/data"),)))
    for content in ("old", "new"):
        (tmp_path / content).write_text(content)
    await engine.put_file(container.id, "/data/file", tmp_path / "old")
    await engine.snapshot_volume("tester", name)
    await engine.put_file(container.id, "/data/file", tmp_path / "new")

    await engine.rollback_volume("tester", name)

    assert await engine.fetch_file(container.id, "/data/file", 100) == b"old"
    assert len([volume for volume in await engine.volumes() if volume.name == name]) == 1
    with pytest.raises(NotFound):
        await engine.rollback_volume("tester", "test/unknown")
    with pytest.raises(NotFound):
        await engine.snapshot_volume("tester", "test/unknown")


async def test_rollback_to_the_beginning(engine: LxdEngine, name: str, tmp_path: Path) -> None:
    """Without a snapshot a volume is as created, and its containers may write to it as before."""
    await engine.ensure_volume("tester", name)
    container = await engine.create_container(shell(IDLE, volumes=((name, "/data"),)))
    (tmp_path / "file").write_text("text")
    await engine.put_file(container.id, "/data/before", tmp_path / "file")

    await engine.rollback_volume("tester", name)

    with pytest.raises(NotFound):
        await engine.fetch_file(container.id, "/data/before", 100)
    await engine.put_file(container.id, "/data/after", tmp_path / "file")
    assert await engine.fetch_file(container.id, "/data/after", 100) == b"text"


async def test_full_volume_says_so(engine: LxdEngine, name: str, tmp_path: Path) -> None:
    """More than a volume's size is refused as such; the volume can be grown."""
    volume = await engine.ensure_volume("tester", name, size=8 << 20)
    container = await engine.create_container(shell(IDLE, volumes=((name, "/data"),)))
    big = tmp_path / "big"
    big.write_bytes(os.urandom(16 << 20))

    with pytest.raises(NoSpace, match="/data/big"):
        await engine.put_file(container.id, "/data/big", big)
    assert volume.size == 8 << 20

    grown = await engine.ensure_volume("tester", name, size=64 << 20)
    await engine.put_file(container.id, "/data/big", big)

    assert grown.size == 64 << 20
