"""The gateway: what is published, as containers come and go and the service restarts."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.memory_engine import MemoryEngine
from tests.support.product import free_port
from tests.support.waiting import wait_for
from tests.support.web_parts import HOST, LIMIT, Where, ask, loopback, web_server
from tfd.protocol.errors import CommandError
from tflocation.engines.interface import ContainerInfo, State
from tflocation.inventory import Inventory
from tflocation.values import Address
from tflocation.web.clusters import Cluster
from tflocation.web.gateway import Gateway
from tflocation.web.settings import WebSettings

pytestmark = pytest.mark.root

NAME = "www.a.example"


def container(number: int, state: State = State.RUNNING) -> ContainerInfo:
    """Give a container at an address of loopback."""
    return ContainerInfo(
        id=f"tf-{number}",
        account="alice",
        name=f"dev/web/{number}",
        key="k",
        node="one",
        image="sha256:1",
        ip=loopback(number),
        state=state,
        exit=None,
        reason="",
        created=0.0,
        volumes=(),
    )


@pytest.fixture(scope="module", autouse=True)
def _servers() -> Iterator[None]:
    """Web servers where the containers are said to be."""
    with ExitStack() as stack:
        for number in (1, 2):
            stack.enter_context(web_server(loopback(number), f"tf-{number}"))
        yield


class Setting:
    """An inventory, and the directories of one gateway after another."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.inventory = Inventory()
        self.at: Where = HOST, free_port()

    def put(self, *containers: ContainerInfo) -> None:
        """Know these containers."""
        for each in containers:
            self.inventory.put(each)

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[Gateway]:
        """Run a gateway over them."""
        found = Gateway(
            WebSettings(Address(*self.at), None),
            MemoryEngine(),
            self.inventory,
            self.directory / "state",
            self.directory / "run",
        )
        found.start()
        try:
            yield found
        finally:
            await found.close()

    async def answers(self) -> set[str]:
        """Give the names of the containers that answer, and the statuses where none does."""
        return {await asyncio.to_thread(self._answer) for _ in range(6)}

    def _answer(self) -> str:
        try:
            status, body = ask(self.at, NAME)
        except ConnectionRefusedError:
            return "nobody listens"
        return str(json.loads(body)["server"]) if status == 200 else str(status)

    async def until(self, wanted: set[str]) -> None:
        """Wait until just these answer."""
        loop = asyncio.get_running_loop()

        def look() -> bool:
            return asyncio.run_coroutine_threadsafe(self.answers(), loop).result() == wanted

        await asyncio.to_thread(wait_for, look, LIMIT, f"{wanted} to answer")


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    """Two containers that run."""
    found = Setting(tmp_path)
    found.put(container(1), container(2))
    return found


def cluster(**fields: object) -> Cluster:
    """Give a cluster of both containers."""
    whole = Cluster("alice", "k", "s", NAME, ("tf-1", "tf-2"))
    return replace(whole, **fields)  # type: ignore[arg-type]  # the fields are the test's


async def test_only_containers_that_run_are_asked(setting: Setting) -> None:
    """One that stops is passed over, comes back when it runs again, and leaves when it is gone."""
    async with setting.gateway() as gateway:
        await gateway.publish(cluster())
        assert await setting.answers() == {"tf-1", "tf-2"}
        gateway.follow(setting.inventory.put(container(2, State.STOPPED)))
        await setting.until({"tf-1"})
        gateway.follow(setting.inventory.put(container(2)))
        await setting.until({"tf-1", "tf-2"})
        gateway.follow(setting.inventory.drop("tf-2"))
        await setting.until({"tf-1"})
        assert gateway.find("alice", "k").containers == ("tf-1",)
        gateway.follow(setting.inventory.drop("tf-1"))
        await setting.until({"503"})


async def test_what_is_published_outlives_the_service(setting: Setting) -> None:
    """A restarted one serves it, as soon as it knows of the containers, for the session that holds it."""
    async with setting.gateway() as gateway:
        await gateway.publish(cluster())
    setting.inventory = Inventory()
    async with setting.gateway() as gateway:
        assert gateway.holders() == {("alice", "s")}
        for number in (1, 2):
            gateway.follow(setting.inventory.put(container(number)))
        await setting.until({"tf-1", "tf-2"})
        gateway.release("bob", "s")
        gateway.release("alice", "s")
        await setting.until({"404"})
    async with setting.gateway() as gateway:
        assert gateway.of("alice") == []


async def test_a_change_that_is_not_ones_own_is_refused(setting: Setting) -> None:
    """A cluster is its account's; taking down what is not there is no error."""
    async with setting.gateway() as gateway:
        await gateway.publish(cluster())
        with pytest.raises(CommandError, match="there is no cluster k"):
            await gateway.change("bob", "k", ())
        await gateway.remove("bob", "k")
        await gateway.change("alice", "k", ("tf-2",))
        assert await setting.answers() == {"tf-2"}
        await gateway.remove("alice", "k")
        await gateway.remove("alice", "k")
        assert await setting.answers() == {"404"}


async def test_many_changes_at_once_end_as_the_last_says(setting: Setting) -> None:
    """Whoever calls at the same time gets what was wanted last."""
    async with setting.gateway() as gateway:
        await gateway.publish(cluster())
        wishes = [("tf-1",), ("tf-2",), ("tf-1", "tf-2")] * 10 + [("tf-2",)]
        await asyncio.gather(*(gateway.change("alice", "k", wish) for wish in wishes))
        assert await setting.answers() == {"tf-2"}
