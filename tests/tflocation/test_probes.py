"""Health probes: the decision, and probes of real sockets."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflocation.probes import CHANGING_INTERVAL, Health, Probe, Prober, judge_status, probe_once

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@given(st.lists(st.booleans()), st.integers(1, 4), st.integers(1, 4))
def test_good_follows_rise_and_fall(results: list[bool], rise: int, fall: int) -> None:
    """It changes exactly when the last `rise` or `fall` results agree on the other."""
    health = Health(Probe("tcp", 1, rise=rise, fall=fall))
    for end in range(1, len(results) + 1):
        before = health.good
        changed = health.record(None if results[end - 1] else "down")
        up = end >= rise and all(results[end - rise : end])
        down = end >= fall and not any(results[end - fall : end])
        expected = True if up else False if down else before
        assert health.good == expected
        assert changed == (expected != before)


def test_probes_come_faster_while_something_changes() -> None:
    """Unknown, or different from the state: soon again; else at the steady interval."""
    health = Health(Probe("tcp", 1, interval=2.0, rise=2, fall=3))
    assert health.pause() == CHANGING_INTERVAL
    health.record(None)
    health.record(None)
    assert (health.good, health.pause()) == (True, 2.0)
    health.record("down")
    assert (health.good, health.pause()) == (True, CHANGING_INTERVAL)


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.0 302 Found\r\n", True),
        (b"HTTP/1.1 404 Not Found\r\n", False),
        (b"HTTP/1.1 199\r\n", False),
        (b"SSH-2.0-OpenSSH\r\n", False),
        (b"", False),
        (b"HTTP/1.1 2000 x\r\n", False),
    ],
)
def test_status_lines(answer: bytes, good: bool) -> None:
    """200 to 399 is good, all else is not."""
    assert (judge_status(answer, "/") is None) == good


@given(st.binary(max_size=100))
def test_no_answer_raises(answer: bytes) -> None:
    """A container may say anything."""
    judge_status(answer, "/")


async def probed(probe_kind: str, serve: Serve, timeout: float = 5.0) -> str | None:
    """Probe a server of this test."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        return await probe_once(Probe(probe_kind, port, "/ok", timeout=timeout), "127.0.0.1")
    finally:
        server.close()


async def test_http_asks_for_the_path() -> None:
    """The request names host and path, and its answer decides."""
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    assert await probed("http", serve) is None
    assert asked[0].startswith("GET /ok HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_what_hangs_times_out() -> None:
    """A process that accepts and says nothing is not good."""
    done = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    failure = await probed("http", serve, timeout=0.1)
    done.set()
    assert failure is not None
    assert "within 0.1 s" in failure


async def test_a_closed_port_is_not_good() -> None:
    """The reason is the kernel's."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    assert await probe_once(Probe("tcp", port), "127.0.0.1") == f"port {port}: Connection refused"


async def test_a_container_that_does_not_run_is_not_probed() -> None:
    """Its state is the reason; a forgotten one is told about no more."""
    told: asyncio.Queue[tuple[str, Health]] = asyncio.Queue()
    prober = Prober(lambda _: (None, "stopped"), lambda c, h: told.put_nowait((c, h)), asyncio.Semaphore(1))
    prober.watch("one", Probe("tcp", 1, fall=1))
    container, health = await asyncio.wait_for(told.get(), 5)
    assert (container, health.good, health.reason) == ("one", False, "the container is stopped")
    prober.forget("one")
    prober.close()
    assert prober.known() == {}
