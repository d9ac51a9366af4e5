"""One engine, one location with a short lease, and accounts there."""

import itertools
import secrets
import threading
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
from tfd.protocol.keys import KeyPair

LEASE = 8
"""Seconds: short to be waited for; a client comes back within it, also to a location that was restarted."""

CREATE_LIMIT = 60.0
BEAT = 0.5
FOREVER = ("sleep", "1000000")


class Holder:
    """A session of an account, which `keep` must be called for often; safe to use by several threads.

    `pipes` are those of all sessions that are still attached to.
    """

    def __init__(self, client: Client, account: str, pipes: list[PipeClient]) -> None:
        self.account = account
        self._client = client
        self._pipes = pipes
        self._lock = threading.Lock()
        self._here = True

    @property
    def pair(self) -> KeyPair:
        """The account's keys."""
        return self._client.pair

    def call(self, command: str, /, limit: float = CREATE_LIMIT, **parameters: Any) -> dict[str, Any]:
        """Ask for a command and give the reply's body. Raises CommandError."""
        with self._lock:
            return self._client.call(command, limit, **parameters)

    def ask(self, command: str, /, **parameters: Any) -> None:
        """Ask for a command and wait for nothing."""
        with self._lock:
            self._client.ask(command, CREATE_LIMIT, **parameters)

    def keep(self) -> None:
        """Let the location hear that the client is there."""
        if not self._lock.acquire(blocking=False):
            return  # a call that goes on does it; the other sessions must not wait for its answer
        try:
            if self._here:
                self._client.step(0)
                self._client.return_if_lost()
        finally:
            self._lock.release()

    def vanish(self) -> None:
        """Go away without a word."""
        with self._lock:
            self._here = False
            self._client.drop()

    def return_(self) -> None:
        """Come back as the session that it was."""
        with self._lock:
            self._client.connect()
            self._client.open(CREATE_LIMIT)
            self._here = True

    def close(self) -> None:
        """Go away for good."""
        self.vanish()
        self._client.close()

    def create(self, *command: str, held: bool = True, **more: Any) -> dict[str, Any]:
        """Make a container as the SDK does, of the image `busybox`."""
        uuid = new_uuid()
        answer = self.call(
            "container.create",
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
        return self.attach(self.call(command, **parameters))

    def attach(self, grant: Mapping[str, Any], port: int = 0) -> PipeClient:
        """Attach to a pipe that was granted, at another port where one is given."""
        pipe = PipeClient(self, grant, port)
        self._pipes.append(pipe)
        return pipe

    def run(self, container: Mapping[str, Any], line: str) -> tuple[int, bytes]:
        """Run a shell's line to its end; give its exit code and output."""
        pipe = self.pipe("process.start", id=container["id"], line=line)
        return pipe.finish()["code"], pipe.output()

    def ids(self) -> set[str]:
        """Give the ids of the account's containers."""
        return {record["id"] for record in self.call("container.list")["containers"]}


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
def sessions() -> Iterator[list[Holder]]:
    """All sessions, which are kept alive meanwhile."""
    sessions: list[Holder] = []
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT):
            for session in sessions:
                session.keep()

    beating = threading.Thread(target=beat)
    beating.start()
    yield sessions
    over.set()
    beating.join()
    for session in sessions:
        session.close()


@pytest.fixture(scope="package")
def join(location: Location, sessions: list[Holder], pipes: list[PipeClient]) -> Callable[[], Holder]:
    """Give a function that opens a session of a new account."""
    numbers = itertools.count()

    def join() -> Holder:
        invite = parse_invite(location.invite(f"account-{next(numbers)}"))
        client = Client(invite.port, invite.public).open()
        sessions.append(Holder(client, client.call("join", token=invite.token)["account"], pipes))
        return sessions[-1]

    return join


@pytest.fixture(scope="package")
def again(location: Location, sessions: list[Holder], pipes: list[PipeClient]) -> Callable[[Holder], Holder]:
    """Give a function that opens another session of the same account."""
    invite = parse_invite(location.invite("unused"))

    def again(holder: Holder) -> Holder:
        client = Client(invite.port, invite.public, pair=holder.pair).open(CREATE_LIMIT)
        sessions.append(Holder(client, holder.account, pipes))
        return sessions[-1]

    return again


@pytest.fixture(scope="module")
def ann(join: Callable[[], Holder]) -> Holder:
    """A session."""
    return join()


@pytest.fixture(scope="module")
def container(ann: Holder) -> Iterator[dict[str, Any]]:
    """A container that waits."""
    made = ann.create()
    yield made
    ann.call("container.destroy", id=made["id"])
