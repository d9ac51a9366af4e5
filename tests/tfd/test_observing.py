"""`[metrics]` of a running daemon: what it tells, what it never tells, and how it changes by a reload."""

import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.location_peer import LocationPeer
from tests.support.product import Daemon, free_port
from tests.support.service_manager import service_manager
from tests.support.waiting import wait_for
from tests.tfd.metrics.documents import document

SECRET = "correct-horse-battery-staple"
WEB = f'[container.web]\nimage = "nginx"\nenvironment = {{ PASSWORD = "{SECRET}" }}\n'
PATHS = ("/", "/live", "/metrics", "/status.json", "/healthz", "/healthz/web", "/nothing")


def get(port: int, path: str) -> tuple[int, str]:
    """Give status and body of a path on a port of loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def keys_of(value: object, path: str = "") -> set[str]:
    """Give the paths of all keys of a document, but for reasons, of which there are counts."""
    if isinstance(value, list):
        return {path}.union(*(keys_of(inner, path) for inner in value))
    if not isinstance(value, dict) or path.endswith(".refused"):
        return {path}
    return set().union(*(keys_of(inner, f"{path}.{key}") for key, inner in value.items()))


def answers(port: int) -> bool:
    """Whether somebody answers on a port."""
    try:
        return get(port, "/healthz")[0] in (200, 503)
    except OSError:
        return False


def metrics(port: int, path: str = "") -> str:
    """Give the lines of a [metrics] table."""
    also = f', "unix:{path}"' if path else ""
    return f'[metrics]\nbind = ["127.0.0.1:{port}"{also}]\n'


def listener(*ports: int) -> str:
    """Give the lines of a listener."""
    binds = [f"127.0.0.1:{port}" for port in ports]
    return f'[[listener]]\nbind = {json.dumps(binds)}\ncontainer = "web"\nport = 80\n'


def accepted(daemon: Daemon) -> int:
    """Give how many connections the listeners have accepted."""
    return sum(entry["total"] for entry in (daemon.status() or {"listeners": []})["listeners"])


def lets_in(daemon: Daemon, port: int) -> bool:
    """Whether a listener accepts a client at a port."""
    before = accepted(daemon)
    with socket.create_connection(("127.0.0.1", port), 20):
        return bool(wait_for(lambda: accepted(daemon) > before, 20, f"a listener to accept at {port}"))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Give a daemon that is not started yet, and stop it in the end."""
    made = Daemon(tmp_path / "tfd")
    yield made
    made.stop()


def test_health_follows_what_happens(daemon: Daemon) -> None:
    """503 and the reason until a container is good, 200, and 503 again when the location is lost."""
    port = free_port()
    daemon.configure(WEB + listener(free_port()) + metrics(port))
    daemon.start()
    wait_for(lambda: answers(port), 20, "metrics")
    before = get(port, "/healthz")
    with LocationPeer() as peer:
        daemon.join(peer.invite())
        wait_for(lambda: get(port, "/healthz") == (200, "ok\n"), 20, "health")
        alone = get(port, "/healthz/web"), get(port, "/healthz/nobody")[0]
    wait_for(lambda: get(port, "/healthz") == (503, "no location connected\n"), 20, "the loss")

    assert before[0] == 503
    assert before[1].startswith("starting: ")
    assert alone == ((200, "ok\n"), 404)


def test_metrics_tell_of_the_daemon_and_promtool_agrees(daemon: Daemon) -> None:
    """Connections, states, the location and reloads are in the text of a real one."""
    port, listening = free_port(), free_port()
    daemon.configure(WEB + listener(listening) + metrics(port))
    daemon.start()
    with LocationPeer() as peer:
        daemon.join(peer.invite())
        daemon.wait_ready()
        socket.create_connection(("127.0.0.1", listening), 20).close()
        daemon.reload()
        wait_for(
            lambda: 'tfd_reloads_total{result="accepted"} 1' in get(port, "/metrics")[1], 20, "the reload"
        )
        text = get(port, "/metrics")[1]
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    for line in (
        f'tfd_connections_total{{listener="127.0.0.1:{listening}"}} 1',
        'tfd_container_state{container="web",state="good"} 1',
        'tfd_location_connected{location="peer"} 1',
        'tfd_location_reconnects_total{location="peer"} 0',
        "tfd_healthy 1",
        "tfd_last_reload_successful 1",
    ):
        assert f"{line}\n" in text


def test_a_reconnect_is_counted(daemon: Daemon) -> None:
    """A location that went and came back is one more."""
    port, pair_port = free_port(), free_port()
    daemon.configure(WEB + metrics(port))
    daemon.start()
    with LocationPeer(port=pair_port) as peer:
        daemon.join(peer.invite())
        daemon.wait_ready()
        accounts, pair = dict(peer.accounts), peer.pair
    wait_for(lambda: "tfd_healthy 0\n" in get(port, "/metrics")[1], 20, "the loss")
    with LocationPeer(pair=pair, port=pair_port) as peer:
        peer.accounts.update(accounts)
        line = 'tfd_location_reconnects_total{location="peer"} 1\n'
        wait_for(lambda: line in get(port, "/metrics")[1], 20, "the reconnect")


def test_no_secret_is_shown(daemon: Daemon) -> None:
    """Neither a variable's value, nor a key, nor an invite, nor what a refused file has in it."""
    port = free_port()
    daemon.configure(WEB + listener(free_port()) + metrics(port))
    daemon.start()
    with LocationPeer() as peer:
        invite = peer.invite()
        daemon.join(invite)
        daemon.wait_ready()
        account = daemon.directory / "state/locations/peer.json"
        private = json.loads(account.read_text())["private"]
        daemon.configure(WEB.replace(f'"{SECRET}"', "31415926535897") + metrics(port))
        daemon.reload()
        wait_for(lambda: "was not reloaded" in get(port, "/live")[1], 20, "the refused reload")
        account.chmod(0o644)
        daemon.reload()
        wait_for(lambda: "peer.json cannot be used" in get(port, "/live")[1], 20, "the refused account")
        shown = "".join(get(port, path)[1] for path in PATHS)

    assert "31415926535897" in daemon.log.read_text()
    assert "container.web.environment.PASSWORD" in shown
    for secret in (SECRET, "31415926535897", private, invite, invite.partition("/")[2]):
        assert secret not in shown


def test_a_reload_moves_it_without_a_gap(daemon: Daemon) -> None:
    """A client of the address that stays notices nothing; one that is taken leaves all as it was."""
    stays, goes, comes = free_port(), free_port(), free_port()
    path = daemon.directory / "metrics.sock"
    daemon.configure(WEB + f'[metrics]\nbind = ["127.0.0.1:{stays}", "127.0.0.1:{goes}"]\n')
    daemon.start()
    wait_for(lambda: answers(stays) and answers(goes), 20, "metrics")
    with socket.create_connection(("127.0.0.1", stays), 20) as half:
        half.sendall(b"GET /healthz HTTP/1.1\r\n")
        daemon.configure(
            WEB + f'[metrics]\nbind = ["127.0.0.1:{stays}", "127.0.0.1:{comes}", "unix:{path}"]\n'
        )
        daemon.reload()
        wait_for(lambda: answers(comes), 20, "the new address")
        half.sendall(b"Host: localhost\r\n\r\n")
        answer = half.makefile("rb").read()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        daemon.configure(WEB + metrics(taken.getsockname()[1]))
        daemon.reload()
        wait_for(lambda: "tfd_last_reload_successful 0\n" in get(stays, "/metrics")[1], 20, "the refusal")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(os.fspath(path))
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: any.example\r\n\r\n")
        local = client.makefile("rb").read()

    assert b" 503 " in answer.splitlines()[0]
    assert b" 503 " in local.splitlines()[0]
    assert not answers(goes)
    assert answers(comes)


def test_an_address_moves_between_metrics_and_a_listener_by_one_reload(daemon: Daemon) -> None:
    """There and back, and two that change places; a file that cannot be had leaves both as they were."""
    one, two = free_port(), free_port()

    def reload(text: str, line: str = "configuration reloaded") -> None:
        count = daemon.log.read_text().count(line)
        daemon.configure(WEB + text)
        daemon.reload()
        wait_for(lambda: daemon.log.read_text().count(line) > count, 20, line)

    daemon.configure(WEB + listener(one))
    daemon.start()
    wait_for(daemon.status, 20, "the daemon")

    reload(metrics(one))
    assert answers(one)
    reload(listener(one) + metrics(two))
    assert answers(two)
    assert lets_in(daemon, one)
    reload(listener(two) + metrics(one))
    assert answers(one)
    assert lets_in(daemon, two)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wrong = listener(taken.getsockname()[1], one) + metrics(two)
        reload(wrong, "the configuration was not reloaded")
    assert answers(one)
    reload(listener(one, two))
    assert lets_in(daemon, one)
    assert lets_in(daemon, two)


def test_a_restart_refuses_no_look(tmp_path: Path) -> None:
    """The addresses are kept while there is no process; who came meanwhile is answered by the next one."""
    port, path = free_port(), tmp_path / "metrics.sock"
    daemon = Daemon(tmp_path / "tfd")
    daemon.configure(WEB + metrics(port, os.fspath(path)))
    with service_manager(tmp_path) as manager:
        daemon.prefix = manager.prefix()
        daemon.start()
        try:
            wait_for(lambda: answers(port), 20, "metrics")
            daemon.signal(signal.SIGUSR2)
            assert daemon.process is not None
            assert daemon.process.wait(20) == 0
            with (
                socket.create_connection(("127.0.0.1", port), 20) as early,
                socket.socket(socket.AF_UNIX) as local,
            ):
                local.settimeout(20)
                local.connect(os.fspath(path))
                for client in (early, local):
                    client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                daemon.start()
                said = [client.makefile("rb").readline() for client in (early, local)]
        finally:
            daemon.stop()

    assert said == [b"HTTP/1.1 503 Service Unavailable\r\n"] * 2


def test_systemd_may_bind_it(tmp_path: Path) -> None:
    """The socket of a .socket unit serves, and others than this machine are refused all the same."""
    daemon = Daemon(tmp_path / "tfd")
    daemon.configure(WEB + '[metrics]\nbind = "systemd:watch"\n')
    with service_manager(tmp_path) as manager, socket.create_server(("127.0.0.1", 0)) as bound:
        manager.pass_socket("watch", bound)
        daemon.prefix = manager.prefix()
        daemon.start()
        try:
            wait_for(lambda: answers(bound.getsockname()[1]), 20, "metrics")
        finally:
            daemon.stop()


def test_without_the_table_nothing_is_loaded_or_served(daemon: Daemon) -> None:
    """It comes and goes by reloads, and the port is free afterwards."""
    port = free_port()
    daemon.configure(WEB)
    daemon.start()
    wait_for(daemon.status, 20, "the daemon")
    assert not answers(port)
    daemon.configure(WEB + metrics(port))
    daemon.reload()
    wait_for(lambda: answers(port), 20, "metrics")
    daemon.configure(WEB)
    daemon.reload()
    wait_for(lambda: not answers(port), 20, "the end of it")

    socket.create_server(("127.0.0.1", port)).close()


def test_the_documents_of_other_tests_are_like_a_real_one(daemon: Daemon) -> None:
    """Key by key: what is shown of theirs is shown of this one."""
    daemon.configure(WEB + listener(free_port()))
    daemon.start()
    with LocationPeer() as peer:
        wait_for(daemon.status, 20, "the daemon")
        daemon.join(peer.invite())
        told = daemon.wait_ready()

    assert keys_of(told) == keys_of(document())


def test_events_are_those_of_the_log(daemon: Daemon) -> None:
    """The start, the join and the readiness, the newest first, though the log is set to errors alone."""
    port = free_port()
    daemon.configure('[daemon]\nlog_level = "error"\n' + WEB + metrics(port))
    daemon.start()
    with LocationPeer() as peer:
        wait_for(lambda: answers(port), 20, "metrics")
        daemon.join(peer.invite())
        daemon.wait_ready()
        events = [event["message"] for event in json.loads(get(port, "/status.json")[1])["events"]]

    assert events[0].startswith("ready")
    assert events[-1].startswith("tfd ")
    assert any("joined" in event for event in events)
