"""A container's page on the web, from the HAProxy that systemd starts for tflocation in its sandbox."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.debian import layered
from tests.support.location_machine import LocationMachine, location_machine
from tests.support.product import free_port
from tests.support.publishing import haproxies, install_web
from tests.support.user import User
from tests.support.waiting import wait_for
from tflocation.development import PrivateEngine

pytestmark = [pytest.mark.engine, pytest.mark.slow]

LIMIT = 90.0
NAME = "page.test"
PUBLISH = f"""
import signal
from tfnz.endpoint import Cluster
from tfnz.location import Location
location = Location(quiet=True)
container = location.best_node().spawn_container("nginx").wait_until_ready()
location.endpoint_for("{NAME}").publish(Cluster([container]), "{NAME}")
print("published", flush=True)
signal.pause()
"""


@dataclass(frozen=True)
class Gateway:
    """A location's machine, and the port of its web gateway for plain requests."""

    location: LocationMachine
    port: int

    def page(self) -> str:
        """Give what is served under the name, "" while there is nothing."""
        name = f"{NAME}:{self.port}"
        command = ["curl", "--silent", "--fail", "--max-time", "10", "--resolve", f"{name}:127.0.0.1"]
        done = subprocess.run(
            [*command, f"http://{name}/"], capture_output=True, text=True, timeout=LIMIT, check=False
        )
        return done.stdout


@pytest.fixture
def gateway(
    tmp_path: Path, engine: PrivateEngine, nginx_archive: Path, packaged: tuple[Path, ...]
) -> Iterator[Gateway]:
    """A tflocation from our packages, on a booted Debian, which publishes names on loopback."""
    port = free_port()
    web = f'[web]\nhttp = "127.0.0.1:{port}"\nhttps = "127.0.0.1:{free_port()}"\ndomains = ["test"]\n'
    with (
        layered(packaged, tmp_path / "machine") as root,
        location_machine(root, engine, "127.0.0.1", web) as location,
    ):
        install_web(location.machine)
        location.restart()
        location.add_image(nginx_archive, "nginx")
        yield Gateway(location, port)


@pytest.fixture
def publisher(tmp_path: Path, gateway: Gateway) -> Iterator["subprocess.Popen[str]"]:
    """A program that has published a container of nginx, and keeps it."""
    user = User(tmp_path / "user")
    user.join(gateway.location, "publisher")
    process = user.start_python(PUBLISH)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "published\n", process.communicate(timeout=LIMIT)[1]
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT)


def test_a_page_of_a_container(gateway: Gateway, publisher: "subprocess.Popen[str]") -> None:
    """It is served, again after a restart of tflocation, and no more when its program has ended."""
    wait_for(lambda: "nginx" in gateway.page(), LIMIT, "the page")
    assert haproxies(gateway.location.machine) == ["haproxy", "root"]

    gateway.location.restart()
    wait_for(lambda: "nginx" in gateway.page(), LIMIT, "the page after a restart")

    publisher.terminate()
    wait_for(lambda: not gateway.page(), LIMIT, "the end of the page")
