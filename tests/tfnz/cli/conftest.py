"""A location with two images, and a user of it, for the tests of the commands."""

from collections.abc import Iterator

import pytest

from tests.support.engine import private_engine
from tests.support.images import archive, busybox_image, layer, oci_files
from tests.support.product import Location
from tests.support.user import User

PAGE = b"a page of the container\n"


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Location]:
    """A location with the images `tool` (a shell) and `web` (a page on the exposed port 80)."""
    directory = tmp_path_factory.mktemp("location")
    page = layer({"srv/index.html": PAGE})
    web = busybox_image(
        entrypoint=["httpd", "-f", "-p", "80", "-h", "/srv"],
        command=[],
        extra=[page],
        ExposedPorts={"80/tcp": {}, "53/udp": {}},
    )
    with private_engine("lxd") as engine:
        running = Location(directory, engine, extra="registries = []\n")
        try:
            running.start()
            for name, image in (("tool", busybox_image()), ("web", web)):
                running.add_image(archive(directory / f"{name}.tar", oci_files({"latest": image})), name)
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory, location: Location) -> User:
    """A person with an account there, and no local engine."""
    person = User(tmp_path_factory.mktemp("user"))
    person.join(location, "user")
    return person
