"""Events from a real engine, and its death and return."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.engine import eventually, opened, shell, web
from tests.support.engine_view import delete
from tflocation.development import PrivateEngine
from tflocation.engines.interface import (
    ContainerChanged,
    ContainerGone,
    EngineBack,
    EngineEvent,
    EngineLost,
    EngineUnavailable,
    MemoryChanged,
    State,
)
from tflocation.engines.lxd.engine import LxdEngine

pytestmark = pytest.mark.engine


@asynccontextmanager
async def watched(engine: LxdEngine) -> AsyncIterator[list[EngineEvent]]:
    """Collect events; the list is there once the first one was told."""
    seen: list[EngineEvent] = []

    async def collect() -> None:
        async for event in engine.events():
            seen.append(event)  # noqa: PERF401 - it is read while it grows

    task = asyncio.create_task(collect())
    try:
        await told(seen, EngineBack())
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def told(seen: list[EngineEvent], wanted: EngineEvent | type[EngineEvent]) -> None:
    """Wait until an event was told."""

    async def look() -> bool:
        return any(
            event == wanted or (isinstance(wanted, type) and isinstance(event, wanted)) for event in seen
        )

    await eventually(look, str(wanted))


async def test_changes_are_told(engine: LxdEngine, private: PrivateEngine) -> None:
    """The end of a process, a container deleted behind our back, and another's write are told."""
    async with watched(engine) as seen, opened(private) as other:
        container = await engine.create_container(shell("read x </dev/console; exit 3"))
        await told(seen, ContainerChanged(container.id))
        seen.clear()
        await engine.stop(container.id, 0)
        await told(seen, ContainerChanged(container.id))
        await asyncio.to_thread(delete, private, container.id)
        await told(seen, ContainerGone(container.id))
        seen.clear()
        await other.save_memory({"told": str(id(seen))})
        await told(seen, MemoryChanged())


async def test_containers_live_through_the_death_of_the_engine(
    engine: LxdEngine, private: PrivateEngine
) -> None:
    """Kill -9 of the engine: told, refused at once, back by itself, and the container never stopped."""
    container = await engine.create_container(web())
    await engine.save_memory({"before": "kept"})
    async with watched(engine) as seen:
        private.kill()
        await told(seen, EngineLost)
        with pytest.raises(EngineUnavailable):
            await engine.containers()
        seen.clear()

        await asyncio.to_thread(private.run_daemon)
        await told(seen, EngineBack())

    (found,) = await engine.containers()
    assert (container.id, container.ip, State.RUNNING) == (found.id, found.ip, found.state)
    assert (await engine.load_memory())["before"] == "kept"
    assert (await engine.stop(container.id, 5)).state is State.STOPPED


async def test_an_engine_that_starts_later_is_waited_for(private: PrivateEngine) -> None:
    """Opening while the engine is down succeeds once it is up."""
    private.kill()
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(private.run_daemon))
        async with opened(private) as engine:
            assert await engine.nodes()
