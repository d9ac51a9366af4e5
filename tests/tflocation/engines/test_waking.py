"""Containers that wait until they are woken, on real engines: at whatever moment that happens."""

import os
from pathlib import Path

import pytest

from tests.support.engine import busybox_rootfs, shell, written
from tflocation.engines.interface import ContainerInfo
from tflocation.engines.lxd.engine import LxdEngine
from tflocation.engines.lxd.process import WAKE
from tflocation.engines.processes import ExecSpec

pytestmark = pytest.mark.engine

SLOW_IMAGE = "sha256:" + "2c" * 32
SCRIPT = "(echo ran; echo end) >/said; exec sleep 1000000"


@pytest.fixture
async def slow_image(engine: LxdEngine, tmp_path: Path) -> str:
    """An image whose /etc/passwd keeps whoever opens it until the other side is opened too."""
    rootfs = busybox_rootfs(tmp_path / "rootfs")
    (rootfs / "etc/passwd").unlink()
    os.mkfifo(rootfs / "etc/passwd")
    await engine.publish_image(SLOW_IMAGE, ("slow",), rootfs, {})
    return SLOW_IMAGE


async def inside(engine: LxdEngine, container: ContainerInfo, line: str) -> None:
    """Run a shell line as root in a container, which must succeed."""
    process = await engine.execute(container.id, ExecSpec(("sh", "-c", line)))
    assert await process.wait() == 0, line
    await process.close()


async def test_one_that_does_not_wait_yet(engine: LxdEngine, slow_image: str) -> None:
    """The engine says that it runs before it waits: who is that early wakes it all the same."""
    container = await engine.create_container(shell(SCRIPT, "early", image=slow_image, asleep=True))
    await engine.wake(container.id)
    await inside(engine, container, "cat /etc/passwd")
    user = "echo root:x:0:0:root:/:/bin/sh >/etc/passwd"
    # Whoever opens it from now on finds a file; who is waiting for the pipe's other side already has it.
    await inside(engine, container, f"mv /etc/passwd /pipe; {user}; cat /etc/passwd 1<>/pipe")

    assert await written(engine, container, "/said") == "ran\n"


async def test_one_that_lost_what_wakes_it(engine: LxdEngine) -> None:
    """Its root may remove what it waits at: it is woken all the same."""
    container = await engine.create_container(shell(SCRIPT, "lost", asleep=True))
    await inside(engine, container, f"until [ -p {WAKE} ]; do usleep 10000; done; rm {WAKE}")
    await engine.wake(container.id)

    assert await written(engine, container, "/said") == "ran\n"


async def test_one_that_is_over_at_once(engine: LxdEngine) -> None:
    """Who is woken may end before the one who woke it: that is no failure."""
    for number in range(10):
        container = await engine.create_container(shell("exit 0", f"brief{number}", asleep=True))
        await engine.wake(container.id)
        await engine.destroy(container.id)
