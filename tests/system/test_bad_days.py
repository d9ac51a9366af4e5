"""Full disks and exceeded limits: one container fails with the reason, is tried again, others go on."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import peer
from tests.support.engine import brought_back
from tests.support.product import Daemon, Location, free_port, serving
from tests.support.waiting import wait_for
from tflocation.development import PrivateEngine

pytestmark = [pytest.mark.engine, pytest.mark.slow]

LIMIT = 90.0
TINY_POOL = 512 << 20
FILLING = 1 << 20
SMALLEST = 1 << 12


@pytest.fixture(scope="module")
def small_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    """A private LXD whose disk is nearly full with one image."""
    directory = Path("/tmp") / f"tfd-small-{tmp_path_factory.getbasetemp().name}"
    with PrivateEngine(directory, "lxd", pool_size=TINY_POOL) as running, brought_back(running):
        yield running


@pytest.fixture(scope="module")
def small_location(
    tmp_path_factory: pytest.TempPathFactory, small_engine: PrivateEngine, peer_archive: Path
) -> Iterator[Location]:
    """A tflocation that gives little to each account."""
    limits = '[limits]\ncontainers = 3\nmemory = "1 GiB"\ncontainer_memory = "128 MiB"\n'
    limits += 'volumes = "300 MiB"\nvolume_size = "200 MiB"\n'
    location = Location(tmp_path_factory.mktemp("small"), small_engine, extra=limits)
    with serving(location, {"peer": peer_archive}):
        yield location


@pytest.fixture
def small_daemon(tmp_path: Path, small_location: Location) -> Iterator[Daemon]:
    """A tfd that has joined it, and takes its containers with it at the end."""
    waiting = Daemon(tmp_path / "tfd")
    waiting.join(small_location.invite(tmp_path.name.replace("_", "-")[:60]))
    try:
        yield waiting
        waiting.configure("")
        waiting.reload()
        wait_for(lambda: not containers(waiting), LIMIT, "the containers to be removed")
    finally:
        waiting.stop()


def containers(daemon: Daemon) -> dict[str, dict[str, Any]]:
    """Give what `tfd status` says of each container."""
    return {one["name"]: one for one in (daemon.status() or {"containers": []})["containers"]}


def wait_state(daemon: Daemon, name: str, state: str, words: str = "") -> None:
    """Wait until a container is in a state, for a reason with these words in it."""

    def reached() -> bool:
        found = containers(daemon).get(name, {})
        return found.get("state") == state and words in found.get("reason", "")

    try:
        wait_for(reached, LIMIT, f"{name} to be {state}: {words}")
    except AssertionError as error:
        raise AssertionError(
            f"{error}; it is {containers(daemon).get(name)}; log {daemon.lines()[-9:]}"
        ) from error


def web(port: int) -> str:
    """Declare the container that must go on, whatever happens to the other."""
    return (
        f'[container.web]\nimage = "peer"\nenvironment = {{ NAME = "web" }}\nmemory = "128M"\n'
        f'[[listener]]\nbind = "127.0.0.1:{port}"\ncontainer = "web"\nport = {peer.NAME}\n'
    )


def page(port: int) -> bytes:
    """Load the page of that container."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.makefile("rb").read()


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        pytest.param('memory = "2G"', "memory: the account's limit is 1 GiB", id="memory"),
        pytest.param(
            'volumes = ["one:/one", "two:/two"]', "volumes: the account's limit is 300 MiB", id="volumes"
        ),
    ],
)
def test_exceeded_limit_fails_that_container_alone(small_daemon: Daemon, declared: str, words: str) -> None:
    """The reason is in `tfd status` and in the log; what fits after a change is created."""
    port = free_port()
    small_daemon.configure(f'{web(port)}[container.big]\nimage = "peer"\n{declared}\n')
    small_daemon.start()

    wait_state(small_daemon, "web", "good")
    wait_state(small_daemon, "big", "failed", words)
    assert page(port).endswith(b"web")
    assert any(words in line and "big" in line for line in small_daemon.lines())

    small_daemon.configure(f'{web(port)}[container.big]\nimage = "peer"\nmemory = "128M"\n')
    small_daemon.reload()
    wait_state(small_daemon, "big", "good")


def test_too_many_containers_fail_and_are_tried_again(small_daemon: Daemon) -> None:
    """Those within the limit run; the one beyond it is created once there is room."""
    port = free_port()
    small_daemon.configure(web(port))
    small_daemon.start()
    wait_state(small_daemon, "web", "good")
    more = {name: f'[container.{name}]\nimage = "peer"\nmemory = "128M"\n' for name in ("a", "b", "c")}
    small_daemon.configure(web(port) + more["a"] + more["b"])
    small_daemon.reload()
    for name in ("a", "b"):
        wait_state(small_daemon, name, "good")
    small_daemon.configure(web(port) + "".join(more.values()))
    small_daemon.reload()

    wait_state(small_daemon, "c", "failed", "containers: the account's limit is 3")
    assert page(port).endswith(b"web")

    small_daemon.configure(web(port) + more["a"] + more["c"])
    small_daemon.reload()
    wait_state(small_daemon, "c", "good")


def test_full_disk_fails_that_container_alone(small_engine: PrivateEngine, small_daemon: Daemon) -> None:
    """With no room left at the location a new container fails with the reason, and is made once there is."""
    port = free_port()
    small_daemon.configure(web(port))
    small_daemon.start()
    wait_state(small_daemon, "web", "good")
    filling = _fill(small_engine)
    try:
        content = os.urandom(3 << 20).hex()
        source = small_daemon.directory / "large"
        source.write_text(content)
        late = f'[container.late]\nimage = "peer"\nmemory = "128M"\nfiles = {{ "/large" = "{source}" }}\n'
        small_daemon.configure(web(port) + late)
        small_daemon.reload()

        wait_state(small_daemon, "late", "failed", "pace")
        assert any("late" in line and "pace" in line for line in small_daemon.lines())
        assert page(port).endswith(b"web")
    finally:
        filling.unlink()

    wait_state(small_daemon, "late", "good")
    assert page(port).endswith(b"web")


def _fill(engine: PrivateEngine) -> Path:
    """Fill the file system of the engine's pool, as the engine has it mounted; give the file that does it."""
    filling = Path(f"/proc/{engine.pid}/root{engine.directory}/storage-pools/{engine.pool}/filling")
    size = FILLING
    with filling.open("wb", buffering=0) as file:
        while size >= SMALLEST:
            try:
                file.write(os.urandom(size))
            except OSError:
                size //= 2
        os.fsync(file)
    return filling
