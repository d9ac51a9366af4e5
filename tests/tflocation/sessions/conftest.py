"""One engine, one location with a short lease, and accounts there."""

import itertools
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.engine import private_engine
from tests.support.images import archive, busybox_image, oci_files
from tests.support.piping import PipeClient
from tests.support.product import Location
from tfd.protocol.command_types import UUID_ALPHABET
from tfd.protocol.invite import parse_invite

LEASE = 3
"""Seconds."""

CREATE_LIMIT = 60.0
FOREVER = ("sleep", "1000000")


class Holder:
    """A session of an account; `pipes` are those of all sessions that are still attached to."""

    def __init__(self, client: Client, account: str, pipes: list[PipeClient]) -> None:
        self.client = client
        self.account = account
        self.call = client.call
        self._pipes = pipes

    def create(self, *command: str, held: bool = True, **more: Any) -> dict[str, Any]:
        """Make a container as the SDK does, of the image `busybox`."""
        uuid = new_uuid()
        answer = self.client.call(
            "container.create",
            CREATE_LIMIT,
            name=f"sdk/{uuid}/0",
            key=uuid,
            image="busybox",
            config={"command": list(command or FOREVER)},
            held=held,
            **more,
        )
        record: dict[str, Any] = answer["container"]
        return record

    def pipe(self, command: str, **parameters: Any) -> PipeClient:
        """Send a command that opens a pipe, and attach to it."""
        return self.attach(self.client.call(command, **parameters))

    def attach(self, grant: Mapping[str, Any], port: int = 0) -> PipeClient:
        """Attach to a pipe that was granted, at another port where one is given."""
        pipe = PipeClient(self.client, grant, port)
        self._pipes.append(pipe)
        return pipe

    def run(self, container: Mapping[str, Any], line: str) -> tuple[int, bytes]:
        """Run a shell's line to its end; give its exit code and output."""
        pipe = self.pipe("process.start", id=container["id"], line=line)
        return pipe.finish()["code"], pipe.output()

    def ids(self) -> set[str]:
        """Give the ids of the account's containers."""
        return {record["id"] for record in self.client.call("container.list")["containers"]}


def new_uuid() -> str:
    """Give a UUID of the SDK's kind."""
    return "".join(secrets.choice(UUID_ALPHABET) for _ in range(22))


@pytest.fixture(scope="package")
def location(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Location]:
    """A tflocation with the image `busybox`, on a private LXD."""
    directory = tmp_path_factory.mktemp("location")
    with private_engine("lxd") as engine:
        running = Location(directory, engine, extra=f'registries = []\nlease = "{LEASE}s"\n')
        try:
            running.start()
            image = oci_files({"latest": busybox_image(environment=["GREETING=hello"])})
            running.add_image(archive(directory / "busybox.tar", image), "busybox")
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="package")
def pipes() -> list[PipeClient]:
    """The pipes that tests attached to."""
    return []


@pytest.fixture(autouse=True)
def dropped(pipes: list[PipeClient]) -> Iterator[None]:
    """Drop a test's channels after it."""
    yield
    for pipe in pipes:
        pipe.drop()
    pipes.clear()


@pytest.fixture(scope="package")
def join(location: Location, pipes: list[PipeClient]) -> Iterator[Callable[[], Holder]]:
    """Give a function that opens a session of a new account."""
    clients = []
    numbers = itertools.count()

    def join() -> Holder:
        invite = parse_invite(location.invite(f"account-{next(numbers)}"))
        client = Client(invite.port, invite.public).open()
        clients.append(client)
        return Holder(client, client.call("join", token=invite.token)["account"], pipes)

    yield join
    for client in clients:
        client.close()


@pytest.fixture(scope="package")
def again(location: Location, pipes: list[PipeClient]) -> Iterator[Callable[[Holder], Holder]]:
    """Give a function that opens another session of the same account."""
    clients = []

    def again(holder: Holder) -> Holder:
        invite = parse_invite(location.invite(f"unused-{new_uuid()}"))
        client = Client(invite.port, invite.public, pair=holder.client.pair).open(CREATE_LIMIT)
        clients.append(client)
        return Holder(client, holder.account, pipes)

    yield again
    for client in clients:
        client.close()
