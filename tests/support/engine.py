"""A real engine for tests: private, fast, with an image that is one busybox."""

import asyncio
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.support.engine_view import init_pid
from tflocation.development import POOL_SIZE, Kind, PrivateEngine, program
from tflocation.engines.interface import ContainerInfo, ContainerSpec, ProcessSpec, State
from tflocation.engines.lxd.engine import LxdEngine
from tflocation.engines.lxd.settings import EngineSettings

KINDS: tuple[Kind, ...] = ("lxd", "incus")
IMAGE = "sha256:" + "1b" * 32
LIMIT = 20.0  # seconds for anything that should happen
PATIENCE = 10  # seconds for an answer
CRASH_PAUSE = 0.2  # seconds until a crash is noticed
_BUSYBOX = Path("/usr/bin/busybox")

T = TypeVar("T")


@contextmanager
def private_engine(kind: Kind, pool_size: int = POOL_SIZE) -> Iterator[PrivateEngine]:
    """Run an engine with a state directory of its own; skips where that cannot be."""
    if os.geteuid() != 0:
        pytest.skip("an engine needs root")
    if program(kind) is None:
        pytest.skip(f"{kind} is not installed")
    with tempfile.TemporaryDirectory(prefix="tfd-") as directory:
        Path(directory).chmod(0o711)  # the containers' root is somebody else
        with PrivateEngine(Path(directory, "e"), kind, pool_size=pool_size) as engine, brought_back(engine):
            yield engine


@contextmanager
def brought_back(engine: PrivateEngine) -> Iterator[None]:
    """Run the engine's daemon again when it crashes, as its unit does (systemd.service(5), Restart=).

    LXD 5.0 sometimes does when who is attached to a console is killed (its issue 11174).
    """
    over = threading.Event()

    def look() -> None:
        while not over.wait(CRASH_PAUSE):
            if engine.crashed:
                engine.run_daemon()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()


@asynccontextmanager
async def opened(private: PrivateEngine) -> AsyncIterator[LxdEngine]:
    """Open our engine on a private one."""
    engine = LxdEngine(EngineSettings(socket=private.socket, bridge=private.bridge))
    try:
        await engine.open()
        yield engine
    finally:
        await engine.close()


def busybox_rootfs(directory: Path) -> Path:
    """Build a tree that holds busybox, its names, and a passwd with root and one user."""
    (directory / "bin").mkdir(parents=True)
    (directory / "etc").mkdir()
    (directory / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nwww:x:33:33::/:/bin/sh\n")
    (directory / "bin/busybox").write_bytes(_BUSYBOX.read_bytes())
    (directory / "bin/busybox").chmod(0o755)
    names = subprocess.run([_BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for name in names:
        if name != "busybox":
            (directory / "bin" / name).symlink_to("busybox")
    return directory


def shell(script: str, name: str = "test", **more: object) -> ContainerSpec:
    """Declare a container of the busybox image that runs a shell script."""
    process = {
        key: more.pop(key) for key in ("cwd", "environment", "uid", "gid", "stop_signal") if key in more
    }
    return ContainerSpec(
        account=str(more.pop("account", "tester")),
        name=f"test/{name}/0",
        key=str(more.pop("key", os.urandom(6).hex())),
        image=str(more.pop("image", IMAGE)),
        process=ProcessSpec(("sh", "-c", script), **process),  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


def web(name: str = "web", **more: object) -> ContainerSpec:
    """Declare a container that serves its file system on port 80."""
    return shell("exec httpd -f -p 80 -h /", name, **more)


async def eventually(question: Callable[[], Awaitable[T | None]], what: str) -> T:
    """Ask until the answer is true; raises AssertionError naming `what` after the limit."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        if answer := await question():
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError(f"after {LIMIT} s still waiting for {what}")


async def ended(engine: LxdEngine, container: ContainerInfo) -> ContainerInfo:
    """Wait until the container's process is over."""

    async def look() -> ContainerInfo | None:
        found = await engine.container(container.id)
        return found if found.state in (State.STOPPED, State.FAILED) else None

    return await eventually(look, f"the end of {container.name}")


async def written(engine: LxdEngine, container: ContainerInfo, path: str) -> str:
    """Wait until the container has written a file whose last line is `end`, and give what is before that."""

    async def look() -> str | None:
        try:
            text = (await engine.fetch_file(container.id, path, 1 << 20)).decode()
        except Exception:  # noqa: BLE001 - not written yet, whatever the engine says
            return None
        return text if text.endswith("end\n") else None

    return (await eventually(look, f"{path} of {container.name}")).removesuffix("end\n")


def reaches(private: PrivateEngine, source: ContainerInfo, address: str, port: int, seconds: int = 1) -> bool:
    """Tell whether a connection from the container's network is answered with at least one byte.

    `seconds` are what the answer may take; where one is expected, a busy machine needs `PATIENCE`.
    """
    command = ["nsenter", "-t", str(init_pid(private, source.id)), "-n", "busybox", "nc", "-w", str(seconds)]
    probe = subprocess.run(
        [*command, address, str(port)],
        input=b"GET / HTTP/1.0\r\n\r\n",
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    return bool(probe.stdout)
