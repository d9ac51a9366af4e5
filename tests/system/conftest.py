"""One engine and one image for all system tests; a fresh location and daemon for each test module."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import peer_image
from tests.support.engine import private_engine
from tests.support.product import Daemon, Location, serving
from tests.support.small_box import OUTSIDE, up
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
    location = Location(tmp_path_factory.mktemp("location"), engine)
    with serving(location, {"peer": peer_archive}):
        yield location


@pytest.fixture
def daemon(tmp_path: Path, location: Location) -> Iterator[Daemon]:
    """A tfd that has joined the location; it is started by the test once it has written its file."""
    waiting = Daemon(tmp_path / "tfd")
    waiting.join(location.invite(tmp_path.name.replace("_", "-")))
    try:
        yield waiting
    finally:
        waiting.stop()


@pytest.fixture(scope="module")
def strong(
    tmp_path_factory: pytest.TempPathFactory,
    engine: PrivateEngine,
    nginx_archive: Path,
    postgres_archive: Path,
) -> Iterator[Location]:
    """A location that the small box reaches over a cable, with the images that the seed page names."""
    directory = tmp_path_factory.mktemp("strong")
    extra = 'lease = "5s"\n'
    with_box = Location(directory, engine, address=OUTSIDE, listen="0.0.0.0", extra=extra)
    images = dict.fromkeys(("nginx", "image", "dev1mageuu1d", "prod1mageuu1d"), nginx_archive)
    with serving(with_box, {**images, "postgres": postgres_archive}):
        yield with_box


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, engine: PrivateEngine, nginx_archive: Path
) -> Iterator[Location]:
    """A location that a booted machine reaches over a cable, with the image `nginx`."""
    location = Location(tmp_path_factory.mktemp("home"), engine, address=OUTSIDE, listen="0.0.0.0")
    with serving(location, {"nginx": nginx_archive}):
        yield location


@pytest.fixture(scope="module")
def small_box(machine_root: Path, strong: Location) -> Path:
    """The small box's tree, with the user ubuntu and the account that `tf init` made there."""
    (machine_root / "etc/tfd.toml").write_text("")
    with up(machine_root) as box:
        box.root("id ubuntu 2>/dev/null || useradd --create-home --shell /bin/bash ubuntu")
        box.write("/etc/sudoers.d/ubuntu", "ubuntu ALL=(ALL) NOPASSWD: ALL\n", 0o440)
        box.user("rm -rf ~/.20ft")
        box.user(f"tf init {shlex.quote(strong.invite('ubuntu'))}")
    return machine_root
