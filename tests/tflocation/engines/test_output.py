"""The output of containers that nobody holds, on real engines: what they say, and their last words."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.support.engine import ended, eventually, shell
from tfd.outputs import TAIL
from tflocation.consoles import Consoles
from tflocation.development import PrivateEngine
from tflocation.engines.interface import ContainerInfo, State
from tflocation.engines.lxd.engine import LxdEngine
from tflocation.inventory import Changed
from tflocation.outputs import Outputs, Question

pytestmark = pytest.mark.engine

LIMIT = 60.0
ALL = 1 << 20
AT_ONCE = 6
ROUNDS = 20


@asynccontextmanager
async def outputs(engine: LxdEngine) -> AsyncIterator[tuple[Outputs, Consoles]]:
    """Give what readers ask, with the consoles behind it."""
    consoles = Consoles(engine)
    try:
        yield (asked := Outputs(consoles)), consoles
        asked.close()
    finally:
        await consoles.close()


def reading(asked: Outputs, container: ContainerInfo) -> Callable[[], Awaitable[Mapping[str, Any]]]:
    """Give what asks once more for what follows, all of it from the oldest on."""
    after: list[bytes | None] = [None]

    async def read() -> Mapping[str, Any]:
        answer = await asked.read(container, Question(5.0, after=after[0], lines=ALL))
        after[0] = answer["after"]
        return answer

    return read


async def test_what_a_container_writes_comes_once(engine: LxdEngine) -> None:
    """From before anybody read it, and from then on, line by line."""
    script = "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.2; done"
    container = await engine.create_container(shell(script, "talker"))
    async with outputs(engine) as (asked, _):
        read, text = reading(asked, container), b""
        while text.count(b"\n") < 20:
            text += (await read())["output"]
    await engine.destroy(container.id)

    lines = text.replace(b"\r", b"").split(b"\n")[:20]
    assert lines == [f"line {number}".encode() for number in range(1, 21)]


async def test_the_last_words_of_one_that_ended_at_once(engine: LxdEngine) -> None:
    """They are there though nobody was attached, and again those of its next run."""
    container = await engine.create_container(shell("echo dying of $RANDOM; exit 3", "dying"))
    container = await ended(engine, container)
    async with outputs(engine) as (asked, consoles):
        read = reading(asked, container)

        async def words() -> bytes | None:
            answer = await read()
            return answer["output"] or None

        first = await eventually(words, "its last words")
        started = await engine.start(container.id)
        consoles.follow([Changed(replace(started, state=State.RUNNING))])
        second = await eventually(words, "those of its second run")
    await engine.destroy(container.id)

    assert first.startswith(b"dying of ")
    assert first.count(b"\n") == 1
    assert second.startswith(b"dying of ")


async def test_one_that_never_stops_writing_goes_on_unread(engine: LxdEngine) -> None:
    """Readers come and leave in the middle of it; it is read again, and destroyed."""
    container = await engine.create_container(shell("while :; do echo more and more and more; done", "flood"))
    for _ in range(5):
        async with outputs(engine) as (asked, _consoles):
            read = reading(asked, container)
            async with asyncio.timeout(LIMIT):
                while not (await read())["output"]:
                    pass
    async with asyncio.timeout(LIMIT):
        await engine.destroy(container.id)

    assert container.id not in [each.id for each in await engine.containers()]


async def test_a_reader_that_outlives_the_location_reads_on(engine: LxdEngine) -> None:
    """What it has does not come again, and what was written while nobody was attached is not missed."""
    script = "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.1; done"
    container = await engine.create_container(shell(script, "talker"))
    text, after = b"", None
    for stop in (10, 25, 40, 55):
        async with outputs(engine) as (asked, _):
            while text.count(b"\n") < stop:
                question = Question(5.0, after=after, tail=text[-TAIL:], reader="journal", lines=ALL)
                answer = await asked.read(container, question)
                text, after = text + answer["output"], answer["after"]
    await engine.destroy(container.id)

    lines = text.replace(b"\r", b"").split(b"\n")[:-1]
    assert lines == [f"line {number}".encode() for number in range(1, len(lines) + 1)]


async def test_who_lets_go_of_consoles_leaves_the_engine_alive(
    private: PrivateEngine, engine: LxdEngine
) -> None:
    """One farewell in a hundred is the end of LXD 5.0 where both of a console's sockets close at once."""
    daemon = private.pid

    async def come_and_go(container: ContainerInfo) -> None:
        for _ in range(ROUNDS):
            console = await engine.console(container.id)
            await console.close()

    names = [f"silent{number}" for number in range(AT_ONCE)]
    containers = [await engine.create_container(shell("exec sleep 1000000", name)) for name in names]
    async with asyncio.timeout(LIMIT):
        await asyncio.gather(*(come_and_go(container) for container in containers))

    assert private.pid == daemon
