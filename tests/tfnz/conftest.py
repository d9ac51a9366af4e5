"""One engine, one location with a short lease and its images, and users of it, for the tests of the SDK."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import peer_image
from tests.support.engine import private_engine
from tests.support.images import archive, busybox_image, layer, oci_files
from tests.support.name_server import NameServer
from tests.support.product import Location, free_port
from tests.support.user import User
from tflocation.development import PrivateEngine
from tfnz.container import Container
from tfnz.location import Location as Session

LEASE = 15
"""Seconds: long enough on a busy machine for a restart of the location, or for what is done in a cut, and the
longest pause before a reconnect after it; short enough to be waited for.
"""

PAGE = b"a page of the container\n"


@pytest.fixture(scope="session")
def sdk_engine() -> Iterator[PrivateEngine]:
    """A private LXD."""
    with private_engine("lxd") as engine:
        yield engine


@dataclass(frozen=True)
class WebPorts:
    """Where the location's web gateway listens on loopback; all accounts may publish localhost and *.test."""

    http: int
    https: int

    @property
    def at(self) -> tuple[str, int]:
        """Where plain requests are answered."""
        return "127.0.0.1", self.http

    @property
    def table(self) -> str:
        """The table of tflocation.toml."""
        return (
            f'[web]\nhttp = "127.0.0.1:{self.http}"\nhttps = "127.0.0.1:{self.https}"\n'
            'domains = ["localhost", "test"]\n'
        )


@pytest.fixture(scope="session")
def web_ports() -> WebPorts:
    """Ports that nothing listens on now."""
    return WebPorts(free_port(), free_port())


@pytest.fixture(scope="session")
def name_server() -> Iterator[NameServer]:
    """What the location asks for the proof that a domain is somebody's."""
    with NameServer() as server:
        yield server


@pytest.fixture(scope="session")
def sdk_location(
    tmp_path_factory: pytest.TempPathFactory,
    sdk_engine: PrivateEngine,
    web_ports: WebPorts,
    name_server: NameServer,
) -> Iterator[Location]:
    """A location with the images `busybox` (a shell that waits), `web` (a page on port 80) and `peer`."""
    directory = tmp_path_factory.mktemp("sdk-location")
    extra = (
        f'registries = []\nlease = "{LEASE}s"\n{web_ports.table}resolver = "127.0.0.1:{name_server.port}"\n'
    )
    running = Location(directory, sdk_engine, name="sdk-home", extra=extra)
    web = busybox_image(
        entrypoint=["httpd", "-f", "-p", "80", "-h", "/srv"],
        command=[],
        extra=[layer({"srv/index.html": PAGE})],
        ExposedPorts={"80/tcp": {}},
    )
    images = {"busybox": busybox_image(command=["sleep", "1000000"]), "web": web}
    try:
        running.start()
        for name, image in images.items():
            running.add_image(archive(directory / f"{name}.tar", oci_files({"latest": image})), name)
        peer_image.build(directory / "peer.tar", directory)
        running.add_image(directory / "peer.tar", "peer")
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def new_user(tmp_path_factory: pytest.TempPathFactory, sdk_location: Location) -> Callable[[str], User]:
    """Give a function that makes a person with a new account there."""

    def make(name: str) -> User:
        person = User(tmp_path_factory.mktemp(name))
        person.join(sdk_location, person.home.name.replace("_", "-"))
        return person

    return make


@pytest.fixture(scope="module")
def user(new_user: Callable[[str], User]) -> User:
    """A person with an account there, and no local engine."""
    return new_user("user")


@pytest.fixture
def at_home(user: User, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let this process be a program of that person: HOME, and no local engine."""
    monkeypatch.setenv("HOME", str(user.home))
    monkeypatch.setenv("DOCKER_HOST", user.docker_host)
    return user.home


@pytest.fixture
def session(at_home: Path) -> Iterator[Session]:  # noqa: ARG001 - where the keys are
    """A Location of that person's, disconnected afterwards."""
    with Session(quiet=True) as connected:
        yield connected


@pytest.fixture(scope="module")
def module_session(user: User) -> Iterator[Session]:
    """One Location of that person's for all tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(user.home))
        patch.setenv("DOCKER_HOST", user.docker_host)
        with Session(quiet=True) as connected:
            yield connected


@pytest.fixture(scope="module")
def box(module_session: Session) -> Container:
    """A container of that session with a shell and busybox's programs, in which nothing runs."""
    return module_session.node().spawn_container("busybox").wait_until_ready()
