"""Who reaches whom, on a real bridge with a real firewall."""

import asyncio
import socket
import subprocess
import sys

import pytest

from tests.support.engine import PATIENCE, eventually, reaches, web
from tests.support.engine_view import init_pid
from tflocation.development import PrivateEngine
from tflocation.engines.interface import ContainerInfo
from tflocation.engines.lxd.engine import LxdEngine

pytestmark = pytest.mark.engine

Pair = tuple[ContainerInfo, ContainerInfo]


@pytest.fixture
async def pair(engine: LxdEngine) -> Pair:
    """Two containers that answer this machine."""
    a, b = await asyncio.gather(engine.create_container(web("a")), engine.create_container(web("b")))
    for container in (a, b):

        async def answers(ip: str = container.ip) -> bool:
            try:
                _, writer = await asyncio.open_connection(ip, 80)
            except OSError:
                return False
            writer.close()
            return True

        await eventually(answers, f"port 80 of {container.name}")
    return a, b


async def test_containers_reach_each_other_only_as_allowed(
    engine: LxdEngine, private: PrivateEngine, pair: Pair
) -> None:
    """A pair is open in its own direction alone, by name too, and closed again when it is taken away."""
    a, b = pair
    assert not reaches(private, a, b.ip, 80)

    await engine.set_allowed({(a.id, b.id), (a.id, "tf-unknown")}, {a.id: {"friend": b.ip}})

    assert reaches(private, a, b.ip, 80, PATIENCE)
    assert not reaches(private, b, a.ip, 80)
    assert f"{b.ip} friend\n" in (await engine.fetch_file(a.id, "/etc/hosts", 4096)).decode()

    await engine.set_allowed(set(), {})

    assert not reaches(private, a, b.ip, 80)
    assert "friend" not in (await engine.fetch_file(a.id, "/etc/hosts", 4096)).decode()


async def test_open_connection_closes_with_its_pair(
    engine: LxdEngine, private: PrivateEngine, pair: Pair
) -> None:
    """A connection that was open when its pair was taken away carries nothing more."""
    a, b = pair
    await engine.set_allowed({(a.id, b.id)}, {})
    pid = str(init_pid(private, a.id))
    connection = subprocess.Popen(
        ["nsenter", "-t", pid, "-n", "busybox", "nc", b.ip, "80"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert connection.stdin is not None
    try:

        async def tracked() -> bool:
            listing = await asyncio.to_thread(
                subprocess.run, ["nsenter", "-t", pid, "-n", "busybox", "netstat", "-tn"], capture_output=True
            )
            return b"ESTABLISHED" in listing.stdout

        await eventually(tracked, "the connection")
        await engine.set_allowed(set(), {})
        connection.stdin.write(b"GET /etc/hosts HTTP/1.0\r\n\r\n")
        connection.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            connection.communicate(timeout=1)
    finally:
        connection.kill()
        connection.communicate()


async def test_pairs_and_names_outlive_us(engine: LxdEngine, private: PrivateEngine, pair: Pair) -> None:
    """A pair stays open over a restart of this program, and names over one of the container."""
    a, b = pair
    await engine.set_allowed({(a.id, b.id)}, {a.id: {"friend": b.ip}})
    await engine.close()
    await engine.open()

    assert reaches(private, a, b.ip, 80, PATIENCE)

    await engine.stop(a.id, 5)
    await engine.start(a.id)

    async def named() -> bool:
        return b"friend" in await engine.fetch_file(a.id, "/etc/hosts", 4096)

    await eventually(named, "the name")


async def test_address_of_a_destroyed_container_is_closed(
    engine: LxdEngine, private: PrivateEngine, pair: Pair
) -> None:
    """Whoever gets the address of a destroyed container does not inherit what it might do."""
    a, b = pair
    await engine.set_allowed({(a.id, b.id)}, {})
    await engine.destroy(b.id)

    command = ["nft", "list", "table", "inet", f"tfd_{private.bridge}"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert b.ip not in listing


async def test_this_machine_is_closed(private: PrivateEngine, pair: Pair) -> None:
    """No service of this machine answers a container, on any of its addresses, but for name service."""
    a, _ = pair
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        gateway = _gateway(private, a)
        addresses = subprocess.run(
            ["hostname", "-I"], check=True, capture_output=True, text=True
        ).stdout.split()
        task = asyncio.create_task(asyncio.to_thread(_serve, server))
        try:
            for address in {gateway, *addresses}:
                assert not reaches(private, a, address, port)
        finally:
            with socket.create_connection(("127.0.0.1", port)) as last:
                last.sendall(b"over")
            await task


async def test_container_cannot_take_another_address(
    engine: LxdEngine, private: PrivateEngine, pair: Pair
) -> None:
    """Packets from an address or a hardware address that is not its own are dropped."""
    a, b = pair
    await engine.set_allowed({(a.id, b.id)}, {})
    stolen = _nobodys(b.ip, a.ip)
    gateway = _gateway(private, a)
    _inside(private, a, "ip", "address", "add", f"{stolen}/32", "dev", "eth0")

    assert _inside(private, a, "busybox", "ping", "-c", "1", "-W", "5", "-I", a.ip, gateway) == 0
    assert _inside(private, a, "busybox", "ping", "-c", "1", "-W", "1", "-I", stolen, gateway) == 1
    assert reaches(private, a, b.ip, 80, PATIENCE)

    _inside(private, a, "ip", "link", "set", "eth0", "address", "00:16:3e:00:00:01")

    assert not reaches(private, a, b.ip, 80)


async def test_ipv6_is_closed(private: PrivateEngine, pair: Pair) -> None:
    """Containers do not see each other by link-local IPv6 either."""
    a, b = pair
    listing = _told(private, b, "ip", "-6", "-o", "address", "show", "dev", "eth0")
    address = listing.split()[3].partition("/")[0]
    program = (
        "import socket; socket.setdefaulttimeout(2); "
        f"socket.socket(socket.AF_INET6).connect(('{address}', 80, 0, socket.if_nametoindex('eth0')))"
    )
    command = (sys.executable, "-c", program)

    async def answers_itself() -> bool:
        return _inside(private, b, *command) == 0

    await eventually(answers_itself, "the link-local address")
    assert _inside(private, a, *command) == 1


def _serve(server: socket.socket) -> None:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"reached")
            if connection.recv(4) == b"over":
                return


def _nobodys(ip: str, other: str) -> str:
    """Give an address near the one that is neither: containers may be neighbours."""
    head, _, last = ip.rpartition(".")
    return next(near for near in (f"{head}.{int(last) ^ bit}" for bit in (1, 2)) if near != other)


def _gateway(private: PrivateEngine, container: ContainerInfo) -> str:
    return _told(private, container, "ip", "route", "get", "1.1.1.1").split()[2]


def _inside(private: PrivateEngine, container: ContainerInfo, *command: str) -> int:
    return _run(private, container, *command).returncode


def _told(private: PrivateEngine, container: ContainerInfo, *command: str) -> str:
    done = _run(private, container, *command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(private: PrivateEngine, container: ContainerInfo, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this machine in the container's network."""
    inside = ["nsenter", "-t", str(init_pid(private, container.id)), "-n"]
    return subprocess.run([*inside, *command], check=False, capture_output=True, text=True, timeout=20)
