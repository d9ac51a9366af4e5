"""kill -9 of each part at random moments under load: the same containers after it, and they answer."""

import os
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support import engine_view, peer
from tests.support.product import Daemon, Location, free_port
from tests.support.waiting import wait_for
from tflocation.development import PrivateEngine

pytestmark = [pytest.mark.engine, pytest.mark.slow]

KILLS = int(os.environ.get("TFD_TEST_KILLS", "4"))
NAMES = ("one", "two")
BACK = 150.0
"""Seconds: a container that is killed again and again waits for up to 60 s before each start."""


class House:
    """An engine, a location, a tfd with two containers, and clients that never stop asking."""

    def __init__(self, engine: PrivateEngine, location: Location, daemon: Daemon) -> None:
        """Configure and start tfd, then the load."""
        self.engine, self.location, self.daemon = engine, location, daemon
        self.ports = {name: free_port() for name in NAMES}
        self.served = dict.fromkeys(NAMES, 0)
        self.over = threading.Event()
        daemon.configure(
            "[daemon]\nenvironment = 'kills'\n"
            + "".join(
                f'[container.{name}]\nimage = "peer"\nenvironment = {{ NAME = "{name}" }}\n'
                f'[[listener]]\nbind = "127.0.0.1:{port}"\ncontainer = "{name}"\nport = {peer.NAME}\n'
                for name, port in self.ports.items()
            )
        )
        daemon.start()
        daemon.wait_ready()
        self.threads = [threading.Thread(target=self.load, args=(name,)) for name in NAMES]
        for thread in self.threads:
            thread.start()

    def load(self, name: str) -> None:
        """Ask one container again and again; an answer of another container would be a fault."""
        while not self.over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.ports[name]), timeout=BACK) as connection:
                    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    answer = connection.makefile("rb").read()
            except OSError:
                self.over.wait(0.05)
                continue
            if answer.endswith(name.encode()):
                self.served[name] += 1

    def ids(self) -> dict[str, list[str]]:
        """The engine's instances of each declared container."""
        found: dict[str, list[str]] = {name: [] for name in NAMES}
        for instance, record in engine_view.instances(self.engine, "kills/").items():
            found[record["config"]["user.tfd.name"].split("/")[1]].append(instance)
        return found

    def all_answer(self) -> None:
        """Wait until each container has answered anew, and exactly one instance of each is left."""
        before = dict(self.served)
        for name in NAMES:
            wait_for(lambda name=name: self.served[name] > before[name] + 3, BACK, f"{name} to answer again")  # type: ignore[misc]
        wait_for(
            lambda: all(len(instances) == 1 for instances in self.ids().values()),
            BACK,
            "one instance of each",
        )

    def end(self) -> None:
        """Stop the load and tfd."""
        self.over.set()
        for thread in self.threads:
            thread.join(BACK)
        self.daemon.stop()


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, engine: PrivateEngine, location: Location
) -> Iterator[House]:
    """One house for all kills."""
    daemon = Daemon(tmp_path_factory.mktemp("house"))
    daemon.join(location.invite("house"))
    living = House(engine, location, daemon)
    try:
        yield living
    finally:
        living.end()


def at_random_moments(house: House, seed: int, strike: Callable[[], None]) -> None:
    """Strike as often as is asked for, each time some moment after everything answered."""
    moments = random.Random(seed)  # noqa: S311 - repeatable, not secret
    for _ in range(KILLS):
        house.over.wait(moments.uniform(0, 0.7))
        strike()
        house.all_answer()


def test_kill_of_tfd(house: House) -> None:
    """Containers live on without tfd; the next one adopts them."""
    before = house.ids()

    def strike() -> None:
        house.daemon.kill()
        house.daemon.start()

    at_random_moments(house, 1, strike)
    assert house.ids() == before


def test_kill_of_tflocation(house: House) -> None:
    """A location remembers through its engine; tfd comes back to it by itself."""
    before = house.ids()

    def strike() -> None:
        house.location.kill()
        house.location.start()

    at_random_moments(house, 2, strike)
    assert house.ids() == before


def test_kill_of_the_engine(house: House) -> None:
    """Containers run on while the engine is gone, and stay the same ones."""
    before = house.ids()

    def strike() -> None:
        house.engine.kill()
        house.engine.run_daemon()

    at_random_moments(house, 3, strike)
    assert house.ids() == before


def test_kill_of_a_containers_process(house: House) -> None:
    """A container whose process dies is started again, and the connections follow."""
    chosen = random.Random(4)  # noqa: S311 - repeatable, not secret

    def strike() -> None:
        instance = house.ids()[chosen.choice(NAMES)][0]
        if process := engine_view.init_pid(house.engine, instance):
            os.kill(process, signal.SIGKILL)

    at_random_moments(house, 4, strike)


def test_deletion_behind_our_back(house: House) -> None:
    """A container that somebody deletes in the engine is made anew."""
    engine_view.delete(house.engine, house.ids()["one"][0])

    house.all_answer()
