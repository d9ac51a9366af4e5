"""The proxy's listeners: what is bound, kept, refused, counted and drained."""

import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.support.dataplane import LIMIT, backend, data_plane, echo, listener, receive_all, receive_exactly
from tests.support.waiting import wait_for
from tfd.protocol import logged
from tfd.protocol.address import Address
from tfd.protocol.drivers.relaying.proxy_protocol import ProxyProtocol
from tfd.protocol.logged import Kind
from tfd.proxy import BindError, Route


@pytest.fixture
def echoing() -> Iterator[tuple[str, int]]:
    """A backend that sends back what it gets."""
    with backend(echo) as target:
        yield target


def at(host: int) -> Address:
    """A port of the kernel's choice on another loopback address: one address cannot be bound twice."""
    return Address(f"127.0.0.{host}", 0)


def says_hello(connection: socket.socket) -> bool:
    """Whether a connection is relayed."""
    connection.sendall(b"hello")
    return receive_exactly(connection, 5) == b"hello"


def test_unchanged_listeners_keep_sockets_and_connections(echoing: tuple[str, int]) -> None:
    """A reload that adds a listener and changes another leaves ports, connections and counts as they are."""
    kept, changed = listener("kept", binds=[at(2)]), listener("changed", binds=[at(3)])
    with data_plane(kept, changed) as plane:
        for name in ("kept", "changed", "new"):
            plane.route(name, echoing)
        addresses = plane.address("kept"), plane.address("changed")
        with plane.connect("kept") as one, plane.connect("changed") as two:
            assert says_hello(one)
            assert says_hello(two)
            plane.serve(kept, listener("changed", binds=[at(3)], port=81), listener("new"))

            assert (plane.address("kept"), plane.address("changed")) == addresses
            assert says_hello(one)
            assert says_hello(two)
            with plane.connect("new") as three:
                assert says_hello(three)
            assert plane.statistics("kept").accepted == 1


def test_a_removed_listener_stops_but_its_connections_live_on(echoing: tuple[str, int]) -> None:
    """New clients are refused by the kernel; old ones go on."""
    with data_plane(listener("old"), listener("other", binds=[at(2)])) as plane:
        plane.route("old", echoing)
        address = plane.address("old")
        with plane.connect("old") as client:
            assert says_hello(client)
            plane.serve(listener("other", binds=[at(2)]))
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, timeout=LIMIT)

            assert says_hello(client)
        assert "old" not in plane.call(plane.proxy.statistics)


def test_a_failed_bind_changes_nothing(echoing: tuple[str, int]) -> None:
    """One address in use: the error names it, the old state stays in force, nothing else is bound."""
    with socket.create_server(("127.0.0.1", 0)) as taken, data_plane() as plane:
        plane.route("web", echoing)
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            free = Address("127.0.0.1", reserved.getsockname()[1])
        busy = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(BindError, match="Address already in use") as caught:
            plane.serve(listener("free", binds=[free]), listener("busy", binds=[busy]))
        assert caught.value.address == busy

        with plane.connect() as client:
            assert says_hello(client)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((free.host, free.port), timeout=LIMIT)


def test_two_listeners_may_swap_their_addresses(echoing: tuple[str, int]) -> None:
    """Addresses are bound once and handed over, so a swap needs no moment without them."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        first, second = (Address("127.0.0.1", which.getsockname()[1]) for which in (one, two))
    with data_plane(listener("a", binds=[first]), listener("b", binds=[second])) as plane:
        plane.route("a", echoing)
        plane.serve(listener("a", binds=[second]), listener("b", binds=[first]))
        assert plane.address("a")[1] == second.port
        with plane.connect("a") as client:
            assert says_hello(client)


def test_only_allowed_networks_are_served(echoing: tuple[str, int]) -> None:
    """Others are reset, counted and logged."""
    with data_plane(listener(allow=(ip_network("127.0.0.2/32"), ip_network("2001:db8::/32")))) as plane:
        plane.route("web", echoing)
        address = plane.address("web")
        with socket.create_connection(address, LIMIT, ("127.0.0.2", 0)) as friend:
            assert says_hello(friend)
        with (
            pytest.raises(ConnectionResetError),
            socket.create_connection(address, LIMIT) as stranger,
        ):
            receive_all(stranger)
        wait_for(lambda: plane.statistics().refused == {"not allowed": 1}, LIMIT, "the count")
        assert any("127.0.0.1" in message for message in plane.log.messages())


def test_connections_beyond_the_maximum_wait_for_a_place(echoing: tuple[str, int]) -> None:
    """With max_connections open, the next client is served as soon as one of them ends."""
    with data_plane(listener(max_connections=2)) as plane:
        plane.route("web", echoing)
        first, second = plane.connect(), plane.connect()
        assert says_hello(first)
        assert says_hello(second)
        with plane.connect() as third:
            third.sendall(b"hello")
            assert plane.statistics().accepted == 2
            first.close()

            assert receive_exactly(third, 5) == b"hello"
        second.close()
        assert "full" in plane.log.keys


@pytest.mark.parametrize("version", [ProxyProtocol.V1, ProxyProtocol.V2])
def test_the_container_is_told_its_client(version: ProxyProtocol, echoing: tuple[str, int]) -> None:
    """The PROXY header comes first, with the client's address and the listener's."""
    with data_plane(listener(proxy_protocol=version)) as plane:
        plane.route("web", echoing)
        with plane.connect() as client:
            client.sendall(b"x")
            client.shutdown(socket.SHUT_WR)
            here, there = client.getsockname(), client.getpeername()
            received = receive_all(client)
    if version is ProxyProtocol.V1:
        assert received == f"PROXY TCP4 127.0.0.1 127.0.0.1 {here[1]} {there[1]}\r\nx".encode()
    else:
        loopback = socket.inet_aton("127.0.0.1")
        ports = struct.pack(">HH", here[1], there[1])
        expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + loopback * 2 + ports + b"x"
        assert received == expected


def test_ipv6_from_end_to_end() -> None:
    """Listener, channel and container's port over IPv6."""
    with (
        backend(echo, host="::1") as target,
        data_plane(listener(binds=[Address("::1", 0)]), host="::1") as plane,
    ):
        plane.route("web", target)
        with plane.connect() as client:
            assert client.family == socket.AF_INET6
            assert says_hello(client)


def test_a_name_is_bound_at_all_its_addresses() -> None:
    """A listener with several binds, one of them a name, serves at each of them."""
    binds = [Address("localhost", 0), Address("127.0.0.2", 0)]
    with data_plane(listener(binds=binds)) as plane:
        hosts = {address[0] for address in plane.call(lambda: plane.proxy.addresses("web"))}
        assert {"127.0.0.1", "127.0.0.2"} <= hosts


def test_an_address_that_no_interface_has_yet_is_bound(echoing: tuple[str, int]) -> None:
    """Started before the network, tfd listens already, and says so."""
    with data_plane(listener(binds=[Address("192.0.2.77", 0)])) as plane:
        plane.route("web", echoing)
        assert plane.address("web")[0] == "192.0.2.77"
        assert any("no interface has the address" in message for message in plane.log.messages())


def test_a_unix_socket_is_served_and_removed(tmp_path: Path, echoing: tuple[str, int]) -> None:
    """Everyone who reaches the file may connect; it is gone when the listener is."""
    path = tmp_path / "web.sock"
    with data_plane(listener(binds=[Address(path=str(path))])) as plane:
        plane.route("web", echoing)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(LIMIT)
            client.connect(str(path))
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b"hello"
        plane.serve()
        assert not path.exists()


def test_a_unix_client_that_closed_while_it_waited_is_heard(tmp_path: Path) -> None:
    """What a local client said before it left still reaches the container."""
    seen: list[bytes] = []
    path = tmp_path / "log.sock"
    with (
        backend(lambda connection: seen.append(receive_all(connection))) as target,
        data_plane(listener(binds=[Address(path=str(path))])) as plane,
    ):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"a line for the log")
        wait_for(lambda: plane.statistics().waiting == 1, LIMIT, "the waiting connection")
        plane.route("web", target)
        wait_for(lambda: seen, LIMIT, "the line")
    assert seen == [b"a line for the log"]


def test_a_stale_unix_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    """A file on which nobody answers is replaced; one that answers, or is no socket, is left alone."""
    stale, live, other = tmp_path / "stale", tmp_path / "live", tmp_path / "other"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(stale))
    other.write_text("mine")
    with socket.socket(socket.AF_UNIX) as living, data_plane() as plane:
        living.bind(str(live))
        living.listen()
        plane.serve(listener(binds=[Address(path=str(stale))]))
        for path, why in ((live, "another process listens"), (other, "not a socket")):
            with pytest.raises(BindError, match=why):
                plane.serve(listener(binds=[Address(path=str(path))]))
        assert live.exists()
        assert other.read_text() == "mine"
        assert stale.exists()


def test_a_socket_file_that_was_replaced_is_not_removed(tmp_path: Path) -> None:
    """At the end only our own file goes, not a successor's of the same name."""
    path = tmp_path / "web.sock"
    with data_plane(listener(binds=[Address(path=str(path))])) as plane:
        path.unlink()
        path.write_text("another's")
        plane.serve()

    assert path.read_text() == "another's"


def test_a_route_drains_when_its_last_connection_ends(echoing: tuple[str, int]) -> None:
    """New connections take the new route; the old one is drained with its last connection."""
    with data_plane() as plane, backend(echo) as successor:
        plane.route("web", echoing)
        old = Route("here", f"{echoing[0]}-{echoing[1]}")
        drained: list[bool] = []
        with plane.connect() as client:
            assert says_hello(client)
            plane.route("web", successor)
            plane.call(lambda: plane.proxy.drain(old, lambda: drained.append(True)))
            with plane.connect("web") as newcomer:
                assert says_hello(newcomer)
            assert says_hello(client)
            assert not drained
        wait_for(lambda: drained, LIMIT, "the drain")


EXHAUSTED = """
import os, resource, sys, time
from tests.support.dataplane import LIMIT, data_plane
from tests.support.waiting import wait_for
with data_plane() as plane:
    used = len(os.listdir("/proc/self/fd")) + 10
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, used))
    print(plane.address("web")[1], flush=True)
    wait_for(lambda: plane.log.keys.count("accept") >= 2, LIMIT, "two pauses")
    spent = time.process_time()
    wait_for(lambda: plane.log.keys.count("accept") >= 4, LIMIT, "two pauses more")
    print(time.process_time() - spent < 0.5, flush=True)
    sys.stdin.readline()
    wait_for(lambda: plane.statistics().open == 1, LIMIT, "the connection after that")
    print("again", flush=True)
"""


def test_no_more_descriptors_is_a_pause_and_not_a_spin() -> None:
    """With all descriptors used, accepting pauses with a line in the log, and goes on when some are free."""
    command = [sys.executable, "-c", EXHAUSTED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address = ("127.0.0.1", int(process.stdout.readline()))
        clients = [socket.create_connection(address, LIMIT) for _ in range(30)]
        assert process.stdout.readline() == "True\n"
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        with socket.create_connection(address, LIMIT):
            process.stdin.write("go on\n")
            process.stdin.flush()

            assert process.stdout.readline() == "again\n"


def test_each_end_of_a_connection_is_one_line(echoing: tuple[str, int]) -> None:
    """It says who the client was and how many bytes went each way, also where the location was lost."""

    def told(kind: Kind) -> list[dict[str, object]]:
        return [line.fields for line in plane.log.lines if line.kind is kind]

    with data_plane(listener()) as plane:
        plane.route("web", echoing)
        with plane.connect() as ending:
            assert says_hello(ending)
            first = "{}:{}".format(*ending.getsockname())
        wait_for(lambda: told(logged.CONNECTION_ENDED), LIMIT, "the line about its end")
        with plane.connect() as lost:
            assert says_hello(lost)
            second = "{}:{}".format(*lost.getsockname())
            plane.location.call(plane.location.server.close)
            with pytest.raises(ConnectionResetError):
                receive_all(lost)
        wait_for(lambda: told(logged.CHANNEL_LOST), LIMIT, "the line about the lost one")
        (ended,), (broken,) = told(logged.CONNECTION_ENDED), told(logged.CHANNEL_LOST)

    here = {"listener": "web", "container": "web", "location": "here", "bytes_in": 5, "bytes_out": 5}
    assert ended == here | {"peer": first}
    assert broken == here | {"peer": second, "reason": broken["reason"]}
    assert broken["reason"]
