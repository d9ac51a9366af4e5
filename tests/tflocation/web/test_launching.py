"""How HAProxy is started; what systemd does for it is in tests/packaging/test_units.py."""

import asyncio
from pathlib import Path

import pytest

from tests.support.web_parts import LIMIT
from tflocation.web.launching import launch


async def test_a_child_says_why_it_does_not_run(tmp_path: Path) -> None:
    """Its standard error ends with it."""
    (tmp_path / "haproxy.cfg").write_text("nonsense\n")
    launched = await launch(str(tmp_path), "")
    try:
        said = await asyncio.wait_for(launched.errors.read(), LIMIT)
    finally:
        await launched.end()

    assert b"haproxy.cfg:1" in said


async def test_a_unit_lasts_as_long_as_its_connection(tmp_path: Path) -> None:
    """What it writes comes over the connection, whose end ends it, and whose other end is waited for."""
    ended = asyncio.Event()

    async def unit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"started\n")
        await reader.read()
        writer.write(b"ended\n")
        ended.set()
        writer.close()

    address = str(tmp_path / "socket")
    async with await asyncio.start_unix_server(unit, address):
        launched = await launch(str(tmp_path), address)
        assert await asyncio.wait_for(launched.errors.readline(), LIMIT) == b"started\n"
        rest = asyncio.create_task(launched.errors.read())
        await launched.end()

        assert ended.is_set()
        assert await rest == b"ended\n"


async def test_a_unit_that_is_missing_is_named(tmp_path: Path) -> None:
    """With the command that starts it."""
    with pytest.raises(OSError, match=r"systemctl start tflocation-web\.socket"):
        await launch(str(tmp_path), str(tmp_path / "socket"))
