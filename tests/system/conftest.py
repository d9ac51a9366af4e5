"""One engine and one image for all system tests; a fresh location and daemon for each test module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import peer_image
from tests.support.engine import private_engine
from tests.support.product import Daemon, Location
from tflocation.development import PrivateEngine


@pytest.fixture(scope="session")
def peer_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI archive of the image whose container runs tests/support/peer.py."""
    directory = tmp_path_factory.mktemp("peer")
    peer_image.build(directory / "peer.tar", directory)
    return directory / "peer.tar"


@pytest.fixture(scope="module")
def engine() -> Iterator[PrivateEngine]:
    """A private LXD."""
    with private_engine("lxd") as running:
        yield running


@pytest.fixture(scope="module")
def location(
    tmp_path_factory: pytest.TempPathFactory, engine: PrivateEngine, peer_archive: Path
) -> Iterator[Location]:
    """A tflocation on the private engine, which has the image `peer`."""
    running = Location(tmp_path_factory.mktemp("location"), engine)
    running.start()
    try:
        running.add_image(peer_archive, "peer")
        yield running
    finally:
        running.stop()


@pytest.fixture
def daemon(tmp_path: Path, location: Location) -> Iterator[Daemon]:
    """A tfd that has joined the location; it is started by the test once it has written its file."""
    waiting = Daemon(tmp_path / "tfd")
    waiting.join(location.invite(tmp_path.name.replace("_", "-")))
    try:
        yield waiting
    finally:
        waiting.stop()
