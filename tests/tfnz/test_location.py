"""A Location: what it offers, how it is made, how it ends."""

import base64
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.product import Location as Service
from tests.support.product import free_port
from tests.support.user import User
from tests.support.waiting import wait_for
from tfd.protocol.keys import generate
from tfnz import account
from tfnz.connection import Disconnected, RemoteError
from tfnz.location import Location, RankBias
from tfnz.node import Node

pytestmark = pytest.mark.engine

LIMIT = 30.0


@pytest.mark.covers("tfnz.location.Location", "Location.location", "Location.nodes", "Location.volumes")
@pytest.mark.covers("Location.externals", "Location.tunnels", "Location.endpoints", "Location.user_pk")
@pytest.mark.covers("Location.last_heartbeat", "Location.stdin_attr", "Location.new_node_callback")
def test_what_a_location_tells(session: Location, user: User) -> None:
    """Everything is there when the constructor returns."""
    (node,) = session.nodes.values()

    assert session.location == "sdk-home"
    assert session.nodes == {node.pk: node}
    assert session.volumes.values() == set()
    assert session.externals.values() == set()
    assert session.tunnels == {}
    assert {domain: endpoint.domain for domain, endpoint in session.endpoints.items()} == {
        domain: domain for domain in session.endpoints
    }
    assert base64.b64decode((user.home / ".20ft" / "sdk-home.pub").read_bytes()) == session.user_pk
    assert session.last_heartbeat is not None
    assert time.monotonic() - session.last_heartbeat < LIMIT
    assert session.stdin_attr is None or session.stdin_attr
    assert session.new_node_callback is None
    assert repr(session) == "<Location 'sdk-home' nodes=1>"


@pytest.mark.covers("Location.conn", "conn.connect_ip", "conn.keys", "conn.location_name", "conn.rid")
@pytest.mark.covers("conn.send_cmd", "conn.send_blocking_cmd")
def test_the_connection_as_programs_use_it(session: Location) -> None:
    """Keys, names, and 20ft's commands by name; None after disconnecting."""
    connection = session.conn
    assert connection is not None
    replies: list[Any] = []
    connection.send_cmd(b"ping", reply_callback=replies.append)

    assert connection.connect_ip == "127.0.0.1"
    assert connection.keys.public_binary() == session.user_pk
    assert connection.keys.public == base64.b64encode(session.user_pk)
    assert connection.location_name() == "sdk-home"
    assert len(connection.rid) == 16
    assert connection.send_blocking_cmd(b"heartbeat").params["name"] == b"sdk-home"
    assert wait_for(lambda: replies, LIMIT, "the reply")[0].params["name"] == b"sdk-home"
    with pytest.raises(ValueError, match="not a command to send by name"):
        connection.send_blocking_cmd(b"upload_slab")
    session.disconnect()
    assert session.conn is None


@pytest.mark.covers("Location.node", "Location.best_node", "Location.ranked_nodes")
@pytest.mark.covers("tfnz.location.RankBias")
def test_the_best_node_of_one(session: Location) -> None:
    """However it is asked for, it is the only one."""
    (node,) = session.nodes.values()

    assert session.node() is node
    assert session.ranked_nodes() == session.ranked_nodes(RankBias.memory) == [node]
    assert {session.best_node() for _ in range(3)} == {node}
    assert session.best_node(RankBias.cpu, force_refresh=True) is node


def test_best_nodes_take_turns(session: Location) -> None:
    """Of several, calls one after another give each in its turn until there are new statistics."""
    mib = 1 << 20
    (real,) = session.nodes.values()
    made = [
        Node(session, {"name": f"n{n}", "cpus": 1, "idle": 1.0, "memory_free": n * mib}) for n in range(3)
    ]

    def walk() -> list[list[Node]]:
        # In the connection's thread, where no word of the location comes between.
        session.nodes.clear()
        session.nodes.update({node.pk: node for node in made})
        session.restart_walk()
        walks = [[session.best_node() for _ in range(4)]]
        session.restart_walk()
        walks.append([session.best_node(), *session.ranked_nodes(RankBias.memory)])
        session.nodes.clear()
        session.nodes[real.pk] = real
        return walks

    first, second = session.connection.on_loop(walk)
    assert first == [made[2], made[1], made[0], made[2]]
    assert second == [made[2], made[2], made[1], made[0]]


def test_without_nodes_it_is_an_error(session: Location) -> None:
    """ValueError, for all ways to ask."""

    def ask() -> None:
        nodes = dict(session.nodes)
        session.nodes.clear()
        try:
            for function in (session.node, session.best_node, session.ranked_nodes):
                with pytest.raises(ValueError, match="no node"):
                    function()
        finally:
            session.nodes.update(nodes)

    session.connection.on_loop(ask)


@pytest.mark.covers("Location.run", "Location.complete", "Location.stop", "Location.disconnect")
def test_run_lasts_until_complete(session: Location) -> None:
    """From any thread; then the session is closed, and everything says so."""
    threading.Timer(0.1, session.complete, (object(), 3)).start()
    session.run()

    assert session.conn is None
    session.complete()
    session.stop()
    session.disconnect()
    for use in (session.connection.link, session.connection):
        assert use is not None
    with pytest.raises(Disconnected, match="is over"):
        session.create_volume()


@pytest.mark.covers("Location.let_run_for", "Location.call_on_main", "Location.raise_on_main")
def test_the_main_thread_does_what_it_is_asked(session: Location) -> None:
    """Calls from other threads run in the one that waits, and an exception ends its wait."""
    threads = []
    session.call_on_main(lambda: threads.append(threading.current_thread()))
    session.call_on_main(threads.append, (None,))
    session.let_run_for(0.1)

    assert threads == [threading.current_thread(), None]
    session.raise_on_main(KeyError("from elsewhere"))
    with pytest.raises(KeyError, match="from elsewhere"):
        session.let_run_for(LIMIT)
    with pytest.raises(KeyError, match="from elsewhere"):
        session.run()


def test_a_failing_callback_is_logged_and_raised_by_run(
    session: Location, caplog: pytest.LogCaptureFixture
) -> None:
    """The session goes on, also for the callbacks behind it."""
    called = threading.Event()

    def fail(_changes: object) -> None:
        raise ZeroDivisionError("in the callback")

    session.watch_kv(fail)
    session.watch_kv(lambda _: called.set())
    session.set_kv({"callback/failing": 1})
    assert called.wait(LIMIT)
    session.set_kv({"callback/failing": None})

    assert "in the callback" in caplog.text
    with pytest.raises(ZeroDivisionError, match="in the callback"):
        session.run()


@pytest.mark.parametrize("arguments", [(), (object(), 0)])
def test_disconnect_may_be_called_in_a_callback(at_home: Path, arguments: tuple[Any, ...]) -> None:  # noqa: ARG001
    """It is offered as one; the thread does not wait for itself."""
    session = Location(quiet=True)
    done = threading.Event()

    def leave(_reply: object) -> None:
        session.disconnect(*arguments)
        done.set()

    session.connection.send_cmd(b"ping", reply_callback=leave)
    assert done.wait(LIMIT)
    assert session.conn is None


def test_calls_work_in_callbacks(session: Location) -> None:
    """Also those that wait for the location."""
    seen = []

    def look(_changes: object) -> None:
        container = session.best_node().spawn_container("busybox").wait_until_ready()
        seen.append(container.run_process("echo from a callback")[0])
        session.best_node().destroy_container(container)

    session.watch_kv(look)
    session.set_kv({"callback/calling": b"\x00"})

    assert wait_for(lambda: seen, LIMIT, "the callback") == [b"from a callback\n"]


def test_several_locations_live_side_by_side(at_home: Path, session: Location) -> None:  # noqa: ARG001
    """Each is a session of its own, which sees its own containers."""
    with Location("sdk-home", quiet=True) as other:
        mine = session.best_node().spawn_container("busybox").wait_until_ready()

        assert other.connection.rid != session.connection.rid
        assert session.best_node().all_containers() == [mine]
        assert other.best_node().all_containers() == []
    assert mine.run_process("echo still here") == (b"still here\n", b"", 0)


@pytest.mark.covers("Location.ensure_image_uploaded")
def test_an_image_that_is_there(session: Location) -> None:
    """Its layers, in order; an image that is nowhere is RuntimeError, what is no name ValueError."""
    layers = session.ensure_image_uploaded("web", descr={"ignored": True})

    assert len(layers) == 2
    assert all(len(layer) == 64 for layer in layers)
    assert session.ensure_image_uploaded("web") == layers
    with pytest.raises(RuntimeError, match="found nowhere"):
        session.ensure_image_uploaded("nowhere")


@pytest.mark.covers("Location.endpoint_for")
def test_no_domain_no_endpoint(session: Location) -> None:
    """The error says which domains there are."""
    with pytest.raises(ValueError, match="no domain of this account is above www"):
        session.endpoint_for("www.example.net")


@pytest.mark.covers("Location.tunnel_onto", "Location.wait_tcp", "Location.wait_http_200")
@pytest.mark.covers("Location.destroy_tunnel")
def test_the_methods_behind_those_of_a_container(session: Location) -> None:
    """They do the same."""
    container = session.best_node().spawn_container("web")
    session.wait_tcp(container, 80)
    tunnel = session.wait_http_200(container, 80, "localhost", "")
    other = session.tunnel_onto(container, 80, None, "127.0.0.1", timeout=5)

    assert session.tunnels == {tunnel.uuid: tunnel, other.uuid: other}
    assert other.timeout == 5
    session.destroy_tunnel(tunnel, container)
    session.destroy_tunnel(other)
    assert session.tunnels == {}
    with pytest.raises(KeyError):
        session.destroy_tunnel(tunnel)


def test_another_address_may_be_dialled(at_home: Path, sdk_location: Service) -> None:  # noqa: ARG001
    """The keys stay those of the name."""
    with Location(location_ip=f"127.0.0.1:{sdk_location.port}", quiet=True) as session:
        assert session.nodes
    with pytest.raises(ValueError, match="not an address"):
        Location(location_ip="", quiet=True)


def test_a_dead_address_is_an_error_that_says_what_happened(at_home: Path) -> None:  # noqa: ARG001
    """RuntimeError, without a ping, and nothing is left running."""
    threads = set(threading.enumerate())
    with pytest.raises(RuntimeError, match=r"sdk-home does not answer within 10 s: .*refused"):
        Location(location_ip=f"127.0.0.1:{free_port()}", quiet=True)

    assert set(threading.enumerate()) <= threads


def test_a_stranger_is_refused(
    sdk_location: Service, user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account that the location does not know is ValueError at once."""
    monkeypatch.setenv("HOME", str(user.home))
    known = account.load("sdk-home")
    monkeypatch.setenv("HOME", str(tmp_path))
    account.store("sdk-home", generate(), known.location, known.addresses)

    with pytest.raises(ValueError, match=r"sdk-home: .*key"):
        Location(quiet=True)
    assert sdk_location.status() is not None


@pytest.mark.parametrize("debug", [{"debug_log": True}, {"debug": True}])
def test_quiet_and_debug_exclude_one_another(debug: dict[str, bool]) -> None:
    """ValueError before anything is done."""
    with pytest.raises(ValueError, match="exclude one another"):
        Location(quiet=True, **debug)  # type: ignore[arg-type]  # a keyword of the two


def test_the_log_lines_that_scripts_look_for(user: User) -> None:
    """On standard error, in the format of the original; `quiet` is silent."""
    program = "from tfnz.location import Location\nLocation(debug_log={}).disconnect()"
    normal = user.python(program.format(False)).stderr
    debug = user.python(program.format(True)).stderr
    alone = user.python(program.format(None)).stderr

    for line in ("Connecting to: sdk-home:", "Message queue connected", "Handshake completed"):
        assert f" INFO     {line}" in normal
        assert f" INFO     {line}" in debug
    assert "INFO     Disconnecting: sdk-home" in normal
    for line in ("Message loop started", "Message loop has finished"):
        assert f"DEBUG    {line}" in debug
        assert line not in normal
    assert alone == ""


@pytest.mark.covers("Location.external_container", "Location.container_for")
def test_a_tagged_container_is_seen_by_other_sessions(at_home: Path, session: Location) -> None:  # noqa: ARG001
    """While it lives, by every name; the tag is taken for all of the account."""
    with Location(quiet=True) as other:
        mine = session.best_node().spawn_container("busybox", tag="Pool/One").wait_until_ready()
        external = wait_for(lambda: next(iter(other.externals.values()), None), LIMIT, "the container")
        assert external is not None

        assert other.external_container("pool/one") is external
        assert other.container_for(mine.uuid) is external
        assert other.external_container(external.display_name()) is external
        assert len(session.externals) == 0
        for loc in (session, other):
            with pytest.raises(ValueError, match="tag pool/one is another"):
                loc.best_node().spawn_container("busybox", tag="pool/one")
        session.best_node().destroy_container(mine)
        wait_for(lambda: len(other.externals) == 0, LIMIT, "the container to leave")
        with pytest.raises(KeyError):
            other.external_container("pool/one")


def test_a_refusal_has_the_locations_code(session: Location) -> None:
    """RemoteError is a ValueError that tells what kind it is."""
    with pytest.raises(RemoteError, match="no container") as caught:
        session.connection.call("container.get", {"id": "nobody"})
    assert caught.value.code == "not-found"
