"""Private engines: they leave nothing, even when they and their owner were killed."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import KINDS, opened, private_engine
from tests.support.engine_view import ask
from tflocation import leftovers
from tflocation.development import DevelopmentError, Kind, PrivateEngine

pytestmark = pytest.mark.engine


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Give each kind of engine."""
    found: Kind = request.param
    return found


@pytest.fixture
def private(kind: Kind) -> Iterator[PrivateEngine]:
    """Run a private engine with a location's network, so that there is much to leave behind."""
    with private_engine(kind) as running:
        asyncio.run(_make_network(running))
        yield running


async def _make_network(private: PrivateEngine) -> None:
    async with opened(private):
        pass


def test_stop_leaves_its_directory_alone(private: PrivateEngine) -> None:
    """No process, mount, loop device, bridge or firewall table stays; the state does."""
    assert leftovers.find(private.directory, private.bridge)

    private.stop()

    assert not leftovers.find(private.directory, private.bridge)
    private.start()
    assert ask(private, "GET", f"/1.0/networks/{private.bridge}")["status_code"] == 200


def test_next_start_cleans_up_after_a_killed_run(private: PrivateEngine) -> None:
    """After kill -9 another object for the same directory takes over what is left."""
    private.kill()
    assert leftovers.find(private.directory, private.bridge)

    with PrivateEngine(private.directory, private.kind) as again:
        assert ask(again, "GET", "/1.0")["status_code"] == 200

    assert not leftovers.find(private.directory, private.bridge)
    assert not private.directory.exists()


def test_directory_that_cannot_work_is_refused() -> None:
    """A directory that is relative, too long, or closed to the containers' users is named."""
    if os.geteuid() != 0:
        pytest.skip("an engine needs root")
    with tempfile.TemporaryDirectory() as closed:
        for directory in (Path("relative"), Path("/tmp", "x" * 80), Path(closed, "e")):
            with pytest.raises(DevelopmentError, match=directory.parent.name or "relative"):
                PrivateEngine(directory).start()
