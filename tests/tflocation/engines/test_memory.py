"""The memory area on a real engine: all or nothing, and safe against others who write too."""

import asyncio

import pytest

from tests.support.engine import opened
from tflocation.development import PrivateEngine
from tflocation.engines.interface import Conflict
from tflocation.engines.lxd.engine import LxdEngine

pytestmark = pytest.mark.engine

ODD = ".-:+=^!/*?&<>()[]{}@%$# äß"


async def test_values_are_kept_until_removed(engine: LxdEngine, private: PrivateEngine) -> None:
    """What was saved is there for another program, whatever characters it has."""
    await engine.save_memory({f"kept.{ODD}": f"{ODD}\n{{}}\"'", "kept.x": "1"})

    async with opened(private) as other:
        memory = await other.load_memory()
        await other.save_memory({"kept.x": None})

    assert {f"kept.{ODD}": f"{ODD}\n{{}}\"'", "kept.x": "1"}.items() <= memory.items()
    assert "kept.x" not in await engine.load_memory()


async def test_an_expectation_that_fails_changes_nothing(engine: LxdEngine) -> None:
    """A value that somebody else has changed is not overwritten, nor is anything beside it."""
    await engine.save_memory({"expected": "2", "beside": "old", "absent": None})

    with pytest.raises(Conflict, match="expected"):
        await engine.save_memory({"beside": "new"}, expect={"expected": "1"})
    with pytest.raises(Conflict, match="beside"):
        await engine.save_memory({"beside": "new"}, expect={"beside": None})
    assert (await engine.load_memory())["beside"] == "old"

    await engine.save_memory({"beside": "new"}, expect={"expected": "2", "absent": None})
    assert (await engine.load_memory())["beside"] == "new"


async def test_concurrent_writers_lose_nothing(engine: LxdEngine, private: PrivateEngine) -> None:
    """Two programs that write different keys at once both succeed."""
    async with opened(private) as other:
        await asyncio.gather(
            *(who.save_memory({f"{who is engine}.{n}": str(n)}) for n in range(5) for who in (engine, other))
        )

    memory = await engine.load_memory()

    assert all(memory[f"{own}.{n}"] == str(n) for own in (True, False) for n in range(5))


async def test_exactly_one_of_many_wins(engine: LxdEngine) -> None:
    """Of many who take the same one-time value at once, one gets it."""
    await engine.save_memory({"token": "there"})

    results = await asyncio.gather(
        *(engine.save_memory({"token": None}, expect={"token": "there"}) for _ in range(5)),
        return_exceptions=True,
    )

    assert results.count(None) == 1
    assert all(result is None or isinstance(result, Conflict) for result in results)
