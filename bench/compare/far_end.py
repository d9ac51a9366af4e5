"""Our far end: tflocation's whole service, on an engine whose containers' ports are this machine's.

    python -m bench.compare.far_end DIRECTORY HOST [CONTAINERS [ACCOUNTS]]

Sessions, tickets, channels and relaying are those of a location; only what runs the containers is in memory,
so that the path to the backend has no bridge that the rivals' have not. Prints the line of an invite for each
of two accounts and of ACCOUNTS more, once it listens; CONTAINERS of the second one run already.
"""

import asyncio
import logging
import signal
import sys
from dataclasses import replace
from pathlib import Path

from bench.compare.processes import use_all_descriptors
from tests.support.memory_engine import MemoryEngine
from tfd.protocol.commands import Role
from tfd.protocol.drivers.hosting import HostingSelector
from tfd.protocol.drivers.loop import Loop
from tflocation.accounts import Accounts
from tflocation.config import Config
from tflocation.engines.interface import ContainerSpec, ImageInfo, ProcessSpec
from tflocation.images.process import from_config
from tflocation.logs import DriverLog
from tflocation.service import Service
from tflocation.values import Address

DIGEST = "sha256:" + "1" * 64
EXPIRES = 86_400.0
START_LIMIT = 10.0


async def serve(drivers: Loop, directory: Path, host: str, containers: int, more: int) -> None:
    """Serve until SIGTERM."""
    engine = MemoryEngine()
    metadata = from_config({"config": {"Cmd": ["/bin/true"]}}, "", "").metadata()
    engine.published[DIGEST] = ImageInfo(DIGEST, ("backend:latest",), 1, metadata)
    config = Config(name="bench", listen=Address(host, 0), channel_listen=Address(host, 0))
    config = replace(config, limits=replace(config.limits, containers=2000))
    service = Service(config, directory / "none.toml", drivers, engine, directory, directory / "status.sock")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop)
    running = asyncio.create_task(service.run())
    async with asyncio.timeout(START_LIMIT):
        while not service.port and not running.done():
            await asyncio.sleep(0.01)
    if not running.done():
        accounts = Accounts(engine)
        address = Address(host, service.port)
        for name in ("box", "client", *(f"box-{number}" for number in range(more))):
            line = await accounts.invite_line(name, Role.USER, EXPIRES, address, service.public_key)
            print(line, flush=True)
        await _fill(engine, containers)
    await running


async def _fill(engine: MemoryEngine, containers: int) -> None:
    process = ProcessSpec(("/bin/true",))
    for number in range(containers):
        await engine.create_container(ContainerSpec("client", f"bench/c{number}/0", "key", DIGEST, process))


def main() -> None:
    """Run it."""
    use_all_descriptors()
    directory, host, *rest = sys.argv[1:]
    containers, more = (*map(int, rest), 0, 0)[:2]
    drivers = Loop(DriverLog(logging.getLogger("bench")))
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(HostingSelector(drivers))) as runner:
        runner.run(serve(drivers, Path(directory), host, containers, more))


if __name__ == "__main__":
    main()
