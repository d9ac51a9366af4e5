"""What the service manager is told, and that telling it neither waits nor fails."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service_manager import LIMIT, ServiceManager, service_manager
from tests.support.waiting import wait_for
from tfd.protocol.drivers.systemd.notify import MOST_AT_ONCE, Notifier


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Path]:
    """The address of a service manager, in the environment as systemd puts it there."""
    path = tmp_path / "notify"
    os.environ["NOTIFY_SOCKET"] = str(path)
    yield path
    del os.environ["NOTIFY_SOCKET"]


@pytest.fixture
def manager(told: Path) -> Iterator[ServiceManager]:
    """A service manager that keeps descriptors."""
    with service_manager(told.parent) as running:
        yield running


def test_each_message_is_as_sd_notify_has_it(manager: ServiceManager) -> None:
    """Assignments, one a line; a status that did not change is told once."""
    notifier = Notifier()
    notifier.status("ünïcode\nin two lines")
    notifier.status("ünïcode\nin two lines")
    notifier.ready()
    notifier.alive()
    notifier.extend_timeout(1.5)
    notifier.stopping()
    assert notifier.barrier(LIMIT)
    notifier.close()

    assert manager.told == [
        "STATUS=ünïcode in two lines",
        "READY=1",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=1500000",
        "STOPPING=1",
        "BARRIER=1",
    ]


def test_a_reload_is_told_with_its_time_in_one_message(manager: ServiceManager) -> None:
    """Type=notify-reload demands both in one datagram."""
    notifier = Notifier()
    notifier.reloading()
    assert notifier.barrier(LIMIT)
    notifier.close()

    first, _, second = manager.told[0].partition("\n")
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdecimal()


def test_descriptors_are_kept_and_forgotten_by_name(manager: ServiceManager) -> None:
    """More than one message carries go in several, and one kept already is not kept twice."""
    notifier = Notifier()
    ends = [end for _ in range(MOST_AT_ONCE // 2 + 10) for end in os.pipe()]
    notifier.store("pipes", ends)
    notifier.store("pipes", ends[:1])
    notifier.store("other", ends[:1])
    assert notifier.barrier(LIMIT)
    assert manager.kept == ["pipes"] * len(ends)
    notifier.forget("pipes")
    assert notifier.barrier(LIMIT)
    notifier.close()
    for end in ends:
        os.close(end)

    assert manager.kept == []


@pytest.mark.parametrize("places", [0, 1])
def test_whether_descriptors_are_kept_is_found_out(told: Path, places: int) -> None:
    """FileDescriptorStoreMax= is 0 unless a unit sets it, and no message says so."""
    with service_manager(told.parent, places) as manager:
        notifier = Notifier()
        kept = notifier.can_store()
        assert notifier.connected
        notifier.close()

        assert kept == bool(places)
        assert manager.told[0].startswith("FDSTORE=1")


# sdnotify leaves the socket, whose connecting failed, to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_a_service_manager_nothing_is_told_and_nothing_fails() -> None:
    """Neither without the variable nor with the address of nobody."""
    for address in ("", "/nowhere/notify", "@nobody-listens-here", "vsock:2:1"):
        if address:
            os.environ["NOTIFY_SOCKET"] = address
        try:
            notifier = Notifier()
            notifier.ready()
            notifier.store("standard input", [0])
            notifier.forget("standard input")
            assert not notifier.barrier(0.1)
            assert not notifier.can_store()
            notifier.close()
            notifier.ready()
        finally:
            os.environ.pop("NOTIFY_SOCKET", None)


def test_a_service_manager_that_does_not_read_delays_nobody(told: Path) -> None:
    """Messages wait, descriptors with them, and go out in their order once it reads again."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as slow:
        slow.bind(os.fspath(told))
        slow.settimeout(LIMIT)
        notifier = Notifier()
        read, write = os.pipe()
        for number in range(100):
            notifier.status(str(number))
        notifier.store("pipe", [write])
        os.close(write)
        assert not notifier.barrier(0.05)
        received: list[str] = []
        last = b""
        reading = threading.Thread(target=lambda: notifier.barrier(LIMIT))
        reading.start()
        while not last.startswith(b"BARRIER"):
            last, descriptors, _, _ = socket.recv_fds(slow, 4096, 4)
            if last.startswith(b"FDSTORE"):
                os.write(descriptors[0], b"still open")
            for descriptor in descriptors:
                os.close(descriptor)
            received.append(last.decode())
        reading.join(LIMIT)
        notifier.close()

    assert received[:100] == [f"STATUS={number}" for number in range(100)]
    assert os.read(read, 100) == b"still open"
    os.close(read)


def test_the_watchdog_is_fed_twice_in_its_time(told: Path) -> None:
    """And only if it is meant for this process (sd_watchdog_enabled(3))."""
    with service_manager(told.parent):
        for pid, microseconds, expected in (
            (os.getpid(), "3000000", 1.5),
            (os.getppid(), "3000000", None),
            (os.getpid(), "soon", None),
            (os.getpid(), "²", None),
            (os.getpid(), "0", None),
        ):
            os.environ.update(WATCHDOG_PID=str(pid), WATCHDOG_USEC=microseconds)
            try:
                notifier = Notifier()
                assert notifier.watchdog_interval == expected
                notifier.close()
            finally:
                del os.environ["WATCHDOG_PID"], os.environ["WATCHDOG_USEC"]


def test_a_message_that_waits_goes_out_with_the_next(told: Path) -> None:
    """Nothing has to be said anew: the next status or sign of life takes it along."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as slow:
        slow.bind(os.fspath(told))
        slow.setblocking(False)
        notifier = Notifier()
        for number in range(200):
            notifier.status(str(number))
        notifier.ready()

        def ready() -> bool:
            notifier.status("199")
            try:
                return slow.recv(4096) == b"READY=1"
            except BlockingIOError:
                return False

        wait_for(ready, LIMIT, "READY=1")
        notifier.close()
