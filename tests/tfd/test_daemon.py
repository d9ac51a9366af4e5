"""The daemon as a process, with a location that has no engine behind it."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.forwarder import Forwarder
from tests.support.location_peer import LocationPeer
from tests.support.namespace import Direction, namespace
from tests.support.product import Daemon, free_port
from tests.support.waiting import wait_for
from tfd.protocol.keys import generate
from tfd.status import StatusError, ask

WEB = '[container.web]\nimage = "nginx"\n'
LIMIT = 30.0


def listener(port: int, container: str = "web") -> str:
    """Give the lines of a listener on a port of loopback."""
    return f'[[listener]]\nbind = "127.0.0.1:{port}"\ncontainer = "{container}"\nport = 80\n'


def status(daemon: Daemon) -> dict[str, Any] | None:
    """Give the status document, None while nobody answers."""
    try:
        answer: dict[str, Any] = json.loads(ask("status", daemon.directory / "run" / "status.sock"))
    except StatusError:
        return None
    return answer


def wait_status(daemon: Daemon, path: str, value: object, limit: float = LIMIT) -> dict[str, Any]:
    """Wait until the status document has the value at a path such as "locations.0.connected"."""

    def found() -> dict[str, Any] | None:
        document = status(daemon)
        present: Any = document
        for part in path.split("."):
            try:
                present = present[int(part) if part.isdecimal() else part]
            except (KeyError, IndexError, TypeError):
                return None
        return document if present == value else None

    answer = wait_for(found, limit, f"{path} to be {value!r}; see {daemon.log}")
    assert answer is not None
    return answer


def wait_log(daemon: Daemon, text: str, limit: float = LIMIT) -> None:
    """Wait until a line of the log has the text."""
    wait_for(lambda: any(text in line for line in daemon.lines()), limit, f"{text!r} in {daemon.log}")


def is_listening(port: int) -> bool:
    """Tell whether a connection to a port of loopback is accepted."""
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except OSError:
        return False
    return True


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Give a daemon that is not started yet, and stop it in the end."""
    made = Daemon(tmp_path / "tfd")
    yield made
    made.stop()


@pytest.fixture
def peer() -> Iterator[LocationPeer]:
    """Give a running location."""
    with LocationPeer() as made:
        yield made


def test_a_wrong_file_ends_it_with_code_2_and_every_error(daemon: Daemon) -> None:
    """Both mistakes are told in one run."""
    daemon.configure('[container.web]\nimage = 7\n[[listener]]\nbind = "x"\ncontainer = "wob"\nport = 80\n')
    done = daemon.command("--config", daemon.config)

    assert done.returncode == 2
    assert "image" in done.stderr
    assert "wob" in done.stderr


def test_a_port_that_is_taken_ends_it_with_code_1(daemon: Daemon) -> None:
    """One line names the port and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon.configure(WEB + listener(port))
        done = daemon.command("--config", daemon.config)

    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_second_daemon_beside_the_first_ends_with_code_1(daemon: Daemon) -> None:
    """It says that another one runs, and the first one is undisturbed."""
    daemon.configure(WEB)
    daemon.start()
    wait_for(lambda: status(daemon), 20, "the daemon")
    done = daemon.command("--config", daemon.config)

    assert done.returncode == 1
    assert "another tfd runs" in done.stderr
    assert status(daemon) is not None


def test_it_runs_without_any_location_and_learns_of_one_by_join(daemon: Daemon, peer: LocationPeer) -> None:
    """`tfd join` tells the running daemon, which then creates the container."""
    daemon.configure(WEB + listener(free_port()))
    daemon.start()
    wait_log(daemon, "no location joined yet")
    daemon.join(peer.invite())
    document = wait_status(daemon, "containers.0.state", "good")

    assert document["locations"][0]["name"] == "peer"
    assert document["locations"][0]["cipher"] == "chacha20poly1305"
    assert len(peer.called("container.create")) == 1


def test_status_fits_a_terminal_and_shows_no_secret(daemon: Daemon, peer: LocationPeer) -> None:
    """The table has at most 80 columns, and the private key is in neither form."""
    daemon.configure(WEB + listener(free_port()))
    daemon.start()
    wait_for(lambda: status(daemon), 20, "the daemon")
    daemon.join(peer.invite())
    wait_status(daemon, "ready", True)
    table = daemon.command("status")
    document = daemon.command("status", "--json")
    private = json.loads((daemon.directory / "state/locations/peer.json").read_text())["private"]

    assert table.returncode == document.returncode == 0
    assert max(map(len, table.stdout.splitlines())) <= 80
    assert private not in table.stdout + document.stdout


def test_status_without_a_daemon_is_one_line_and_code_1(daemon: Daemon) -> None:
    """It says that none runs."""
    done = daemon.command("status")

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_an_unreachable_location_is_told_once_and_waited_for(daemon: Daemon) -> None:
    """The daemon runs, its listeners listen, and the location is found when it comes."""
    port, listening = free_port(), free_port()
    pair = generate()
    with LocationPeer(pair=pair, port=port) as peer:
        daemon.configure(WEB + listener(listening))
        daemon.join(peer.invite())
        accounts = dict(peer.accounts)
    daemon.start()
    wait_log(daemon, "location peer is not connected")
    wait_for(lambda: is_listening(listening), LIMIT, "the listener")
    with LocationPeer(pair=pair, port=port) as peer:
        peer.accounts.update(accounts)
        wait_status(daemon, "locations.0.connected", True)
    told = [line for line in daemon.lines() if "is not connected" in line]

    assert len(told) == 1


def test_a_reload_takes_what_changed(daemon: Daemon, peer: LocationPeer) -> None:
    """A listener comes, another goes, and the container is not touched."""
    old, new = free_port(), free_port()
    daemon.configure(WEB + listener(old))
    daemon.join(peer.invite())
    daemon.start()
    wait_status(daemon, "ready", True)
    daemon.configure(WEB + listener(new))
    daemon.reload()
    wait_log(daemon, "configuration reloaded")

    assert is_listening(new)
    assert not is_listening(old)
    assert len(peer.called("container.create")) == 1
    assert peer.called("container.destroy") == []


def test_a_wrong_file_at_reload_changes_nothing(daemon: Daemon) -> None:
    """Its errors are in the log and in the status, and the listener listens on."""
    port = free_port()
    daemon.configure(WEB + listener(port))
    daemon.start()
    wait_for(lambda: is_listening(port), 20, "the listener")
    daemon.configure(WEB + listener(port) + 'prot = "80"\n')
    daemon.reload()
    wait_log(daemon, "prot")
    document = status(daemon)

    assert document is not None
    assert "prot" in document["reload"]["error"]
    assert is_listening(port)


def test_a_taken_port_at_reload_changes_nothing(daemon: Daemon) -> None:
    """The old listener stays, and the reason is in the log."""
    port = free_port()
    daemon.configure(WEB + listener(port))
    daemon.start()
    wait_for(lambda: is_listening(port), 20, "the listener")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        daemon.configure(WEB + listener(taken.getsockname()[1]))
        daemon.reload()
        wait_log(daemon, "not reloaded")

    assert is_listening(port)


def test_a_container_that_is_not_declared_any_more_is_destroyed(daemon: Daemon, peer: LocationPeer) -> None:
    """And the one that is declared is left alone."""
    port = free_port()
    daemon.configure(WEB + listener(port) + '[container.other]\nimage = "nginx"\n')
    daemon.join(peer.invite())
    daemon.start()
    wait_for(lambda: len(peer.containers) == 2, 20, "two containers")
    daemon.configure(WEB + listener(port))
    daemon.reload()
    wait_for(lambda: len(peer.containers) == 1, 30, "one container")

    assert [container["name"] for container in peer.containers.values()] == ["prod/web/0"]


def test_after_a_kill_the_container_is_adopted(daemon: Daemon, peer: LocationPeer) -> None:
    """The next start creates none and destroys none."""
    daemon.configure(WEB + listener(free_port()))
    daemon.join(peer.invite())
    daemon.start()
    wait_status(daemon, "ready", True)
    daemon.kill()
    daemon.start()
    document = wait_status(daemon, "ready", True)

    assert document["containers"][0]["id"] in peer.containers
    assert len(peer.called("container.create")) == 1
    assert peer.called("container.destroy") == []


@pytest.mark.parametrize("direction", ["both", "to client"])
def test_a_silent_path_is_noticed_and_healed(daemon: Daemon, peer: LocationPeer, direction: str) -> None:
    """Though a middle box keeps the connection open; the container is the same afterwards."""
    with Forwarder(("127.0.0.1", peer.port)) as path:
        daemon.configure(WEB + listener(free_port()))
        daemon.join(peer.invite(port=path.port))
        daemon.start()
        wait_status(daemon, "ready", True)
        path.hole(to_server=direction == "both")
        wait_status(daemon, "locations.0.connected", False)
        path.heal()
        wait_status(daemon, "locations.0.connected", True)

        assert len(peer.called("container.create")) == 1


@pytest.mark.root
@pytest.mark.slow
def test_dropped_packets_are_noticed_and_healed(tmp_path: Path) -> None:
    """In both directions and in either one; the container is the same afterwards."""
    directions: tuple[Direction, ...] = ("both", "in", "out")
    with namespace() as cable, LocationPeer(host=cable.outside) as peer:
        daemon = Daemon(tmp_path / "tfd", cable.name)
        daemon.configure(WEB)
        daemon.join(peer.invite())
        daemon.start()
        try:
            wait_status(daemon, "ready", True)
            for direction in directions:
                cable.cut(direction)
                wait_status(daemon, "locations.0.connected", False)
                cable.heal()
                wait_status(daemon, "locations.0.connected", True)
        finally:
            daemon.stop()

        assert len(peer.called("container.create")) == 1


def test_a_location_that_was_restarted_is_found_again(daemon: Daemon) -> None:
    """Its sessions are forgotten, its containers are not."""
    port = free_port()
    pair = generate()
    with LocationPeer(pair=pair, port=port) as peer:
        daemon.configure(WEB + listener(free_port()))
        daemon.join(peer.invite())
        daemon.start()
        wait_status(daemon, "ready", True)
        containers, accounts = dict(peer.containers), dict(peer.accounts)
    wait_status(daemon, "locations.0.connected", False)
    with LocationPeer(pair=pair, port=port) as peer:
        peer.containers.update(containers)
        peer.accounts.update(accounts)
        wait_status(daemon, "locations.0.connected", True)
        wait_for(lambda: peer.called("health.watch"), LIMIT, "the health to be watched again")

        assert peer.called("container.create") == []


def test_a_revoked_account_is_told_clearly(daemon: Daemon, peer: LocationPeer) -> None:
    """The log says that the location refused, and the daemon runs on."""
    daemon.configure(WEB + listener(free_port()))
    daemon.join(peer.invite())
    daemon.start()
    wait_status(daemon, "locations.0.connected", True)
    peer.revoke()
    wait_log(daemon, "revoked")
    document = wait_status(daemon, "locations.0.connected", False)

    assert "revoked" in document["locations"][0]["error"]


def test_sigterm_ends_it_and_leaves_the_containers(daemon: Daemon, peer: LocationPeer) -> None:
    """Code 0, no socket left, nothing stopped at the location."""
    daemon.configure(WEB + listener(free_port()))
    daemon.join(peer.invite())
    daemon.start()
    wait_status(daemon, "ready", True)

    assert daemon.stop() == 0
    assert not (daemon.directory / "run" / "status.sock").exists()
    assert peer.called("container.stop") == peer.called("container.destroy") == []


def test_an_account_that_others_can_read_is_refused(daemon: Daemon, peer: LocationPeer) -> None:
    """The log names the file and what to do; the location is not used."""
    daemon.configure(WEB)
    daemon.join(peer.invite())
    (daemon.directory / "state/locations/peer.json").chmod(0o644)
    daemon.start()
    wait_log(daemon, "chmod 600")
    document = wait_status(daemon, "containers.0.state", "waiting")

    assert document["locations"] == []


def test_systemd_is_told_of_readiness_reload_and_stop(
    daemon: Daemon, peer: LocationPeer, tmp_path: Path
) -> None:
    """READY=1 after the container is good, RELOADING=1 with the time and READY=1, STOPPING=1."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(20)
        daemon.prefix = ["env", f"NOTIFY_SOCKET={address}", "WATCHDOG_USEC=1000000"]

        def receive(wanted: str) -> str:
            while True:
                message = manager.recv(4096).decode()
                if wanted in message:
                    return message

        daemon.configure(WEB + listener(free_port()))
        daemon.join(peer.invite())
        daemon.start()
        receive("READY=1")
        receive("STATUS=1 of 1 container good, 1 of 1 location connected")
        receive("WATCHDOG=1")
        daemon.reload()
        reloading = receive("RELOADING=1")
        receive("READY=1")
        daemon.signal(signal.SIGTERM)
        receive("STOPPING=1")

    assert "\nMONOTONIC_USEC=" in reloading


def test_an_account_that_is_removed_is_left_at_reload(daemon: Daemon, peer: LocationPeer) -> None:
    """A damaged file is complained of and its session kept; without the file the location is left."""
    daemon.configure(WEB)
    daemon.join(peer.invite())
    daemon.start()
    wait_status(daemon, "locations.0.connected", True)
    path = daemon.directory / "state/locations/peer.json"
    path.write_text("{}")
    daemon.reload()
    wait_log(daemon, "not an account file")
    document = status(daemon)
    path.unlink()
    daemon.reload()
    wait_status(daemon, "locations", [])

    assert document is not None
    assert document["locations"][0]["connected"]
