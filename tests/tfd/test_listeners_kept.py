"""Listeners that outlive the daemon: taken over by the next one, lent by systemd, given up by a reload."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.product import Daemon, free_port
from tests.support.service_manager import ServiceManager, service_manager
from tests.support.waiting import wait_for

LIMIT = 20.0
CONTAINER = '[container.web]\nimage = "nginx"\nenabled = false\n'


def listeners(*binds: str) -> str:
    """Give a configuration with a listener for each address, and a container that needs no location."""
    tables = [f'[[listener]]\nbind = "{bind}"\ncontainer = "web"\nport = 80\n' for bind in binds]
    return CONTAINER + "".join(tables)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    """A service manager."""
    with service_manager(tmp_path) as running:
        yield running


@pytest.fixture
def daemon(tmp_path: Path, manager: ServiceManager) -> Iterator[Daemon]:
    """A daemon that the service manager starts."""
    made = Daemon(tmp_path / "tfd")
    made.prefix = manager.prefix()
    yield made
    made.stop()


def start(daemon: Daemon, *binds: str) -> None:
    """Start the daemon with listeners on these addresses, and wait until it accepts."""
    daemon.configure(listeners(*binds))
    daemon.start()
    wait_for(daemon.status, LIMIT, f"tfd to answer; see {daemon.log}")


def reload(daemon: Daemon, manager: ServiceManager, *binds: str) -> None:
    """Have the daemon read a file with listeners on these addresses, and wait until that is over."""
    manager.told.clear()
    daemon.configure(listeners(*binds))
    daemon.reload()
    manager.wait("RELOADING=1")
    manager.wait("READY=1")


def accepts(address: tuple[str, int] | str) -> bool:
    """Tell whether the kernel lets a client in."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(LIMIT)
        try:
            client.connect(address)
        except OSError:
            return False
    return True


def test_after_a_crash_clients_are_let_in_and_the_next_daemon_takes_over(
    daemon: Daemon, manager: ServiceManager, tmp_path: Path
) -> None:
    """Nobody is refused between kill -9 and the next start; a Unix socket's file is the same one."""
    port, path = free_port(), str(tmp_path / "web.sock")
    binds = (f"127.0.0.1:{port}", f"[::1]:{port}", f"unix:{path}")
    start(daemon, *binds)
    wait_for(lambda: len(manager.kept) == len(binds), LIMIT, "the listeners to be kept")
    before = Path(path).stat().st_ino
    daemon.kill()
    assert accepts(("127.0.0.1", port))
    assert accepts(path)
    start(daemon, *binds)

    assert Path(path).stat().st_ino == before
    assert accepts(path)
    assert len(manager.kept) == len(binds)
    wait_for(
        lambda: [entry["total"] for entry in (daemon.status() or {})["listeners"]] == [1, 0, 2],
        LIMIT,
        "the clients that came meanwhile",
    )


def test_what_the_new_file_does_not_name_is_closed_at_the_start(
    daemon: Daemon, manager: ServiceManager, tmp_path: Path
) -> None:
    """A kept listener without a user is closed for good, its file removed."""
    kept, dropped, path = free_port(), free_port(), tmp_path / "web.sock"
    start(daemon, f"127.0.0.1:{kept}", f"127.0.0.1:{dropped}", f"unix:{path}")
    daemon.kill()
    start(daemon, f"127.0.0.1:{kept}")

    wait_for(lambda: len(manager.kept) == 1, LIMIT, "the others to be forgotten")
    assert accepts(("127.0.0.1", kept))
    assert not accepts(("127.0.0.1", dropped))
    assert not path.exists()
    assert any(f"127.0.0.1:{dropped}" in line and "listening no longer" in line for line in daemon.lines())


def test_a_reload_and_a_stop_give_listeners_up(daemon: Daemon, manager: ServiceManager) -> None:
    """A listener that is gone from the file refuses clients at once, can come back, and a stop ends all."""
    one, two = free_port(), free_port()
    start(daemon, f"127.0.0.1:{one}", f"127.0.0.1:{two}")
    reload(daemon, manager, f"127.0.0.1:{one}")
    assert not accepts(("127.0.0.1", two))
    reload(daemon, manager, f"127.0.0.1:{one}", f"127.0.0.1:{two}")
    assert accepts(("127.0.0.1", two))
    assert daemon.stop(signal.SIGINT) == 0

    assert not accepts(("127.0.0.1", one))
    wait_for(lambda: manager.kept == [], LIMIT, "the listeners to be forgotten")


def test_a_unix_socket_whose_file_was_replaced_is_made_anew(
    daemon: Daemon, manager: ServiceManager, tmp_path: Path
) -> None:
    """A kept socket that no client reaches any more is given up."""
    path = tmp_path / "web.sock"
    start(daemon, f"unix:{path}")
    wait_for(lambda: manager.kept, LIMIT, "the listener to be kept")
    daemon.kill()
    path.unlink()
    start(daemon, f"unix:{path}")

    assert accepts(str(path))
    wait_for(lambda: len(manager.kept) == 1, LIMIT, "the former to be forgotten")


def test_sockets_that_systemd_binds_serve_a_listener(
    daemon: Daemon, manager: ServiceManager, tmp_path: Path
) -> None:
    """All under one name; they are systemd's, so no reload and no stop closes them, and none is stored."""
    path = str(tmp_path / "passed.sock")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as tcp6,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix,
    ):
        unix.bind(path)
        unix.listen()
        for bound in (tcp, tcp6, unix):
            manager.pass_socket("web", bound)
        start(daemon, "systemd:web")
        for _ in range(2):
            assert accepts(tcp.getsockname())
            assert accepts(path)
            reload(daemon, manager, f"127.0.0.1:{free_port()}")
            reload(daemon, manager, "systemd:web")
        assert daemon.stop(signal.SIGINT) == 0

        assert manager.kept == []
        assert accepts(tcp.getsockname())
        assert Path(path).exists()


def test_a_passed_socket_also_serves_its_address(daemon: Daemon, manager: ServiceManager) -> None:
    """A file that names the address of a socket unit is served by that socket instead of failing."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        manager.pass_socket("tfd.socket", bound)
        start(daemon, f"127.0.0.1:{bound.getsockname()[1]}")

        assert accepts(bound.getsockname())
        assert manager.kept == []


@pytest.mark.parametrize("passed", ["", "mail"])
def test_a_name_that_systemd_did_not_pass_is_told(
    daemon: Daemon, manager: ServiceManager, passed: str
) -> None:
    """The error says what was passed and what to do; `tfd --check` cannot know and accepts the name."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        if passed:
            manager.pass_socket(passed, bound)
        daemon.configure(listeners("systemd:web"))
        assert daemon.command("--check", daemon.config).returncode == 0
        daemon.start()
        assert daemon.process is not None
        assert daemon.process.wait(LIMIT) == 1

    expected = "systemd passed only mail" if passed else "systemd passed no sockets"
    assert f"cannot listen on systemd:web: {expected}" in daemon.lines()[-1]
    assert "FileDescriptorName=web" in daemon.lines()[-1]


def test_without_a_store_it_is_said_once(tmp_path: Path) -> None:
    """The daemon starts and serves as ever."""
    with service_manager(tmp_path, store=0) as manager:
        daemon = Daemon(tmp_path / "tfd")
        daemon.prefix = manager.prefix()
        try:
            port = free_port()
            start(daemon, f"127.0.0.1:{port}")
            assert accepts(("127.0.0.1", port))
        finally:
            daemon.stop()

    assert len([line for line in daemon.lines() if "nobody keeps the listeners" in line]) == 1
