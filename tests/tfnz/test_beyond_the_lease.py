"""A path that is cut for longer than the lease: everything that the session held is over, and says so."""

import threading

import pytest

from tests.support.path_cut import path_cut
from tests.support.product import Location as Service
from tests.support.waiting import wait_for
from tfnz.connection import Disconnected
from tfnz.container import Container
from tfnz.location import Location

pytestmark = [pytest.mark.engine, pytest.mark.root, pytest.mark.slow]

LIMIT = 60.0


def test_a_cut_longer_than_the_lease(session: Location, sdk_location: Service) -> None:
    """After the lease all who wait are told, everything ends once, and later calls say why."""
    told: list[str] = []
    ended = threading.Event()

    def end(_container: Container) -> None:
        told.append("container")
        ended.set()

    container = session.node().spawn_container("busybox", termination_callback=end)
    process = container.spawn_process("sleep 1000", termination_callback=lambda _: told.append("process"))
    failures: list[Exception] = []

    def run() -> None:
        try:
            container.run_process("sleep 1000")
        except ValueError as error:
            failures.append(error)

    running = threading.Thread(target=run)
    running.start()
    wait_for(lambda: b"sleep 1000" in container.run_process("ps")[0], LIMIT, "the processes")
    with path_cut({sdk_location.port, sdk_location.channel_port}, reset=False):
        assert ended.wait(LIMIT)
        running.join(LIMIT)

    assert not running.is_alive()
    assert sorted(told) == ["container", "process"]
    assert [type(error) for error in failures] == [Disconnected]
    assert (container.dead, process.dead) == (True, True)
    for call in (lambda: container.run_process("true"), lambda: session.node().spawn_container("busybox")):
        with pytest.raises(ValueError, match=r"dead|over|gone"):
            call()
