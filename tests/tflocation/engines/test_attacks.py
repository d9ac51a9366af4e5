"""What a container tries against its neighbours, this machine and the engine, with root's rights inside."""

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engine import reaches, shell, web, written
from tests.support.engine_view import init_pid
from tflocation.development import PrivateEngine
from tflocation.engines.interface import ContainerInfo
from tflocation.engines.lxd.engine import LxdEngine

pytestmark = pytest.mark.engine

LIMIT = 30
# Runs in the attacker's network namespace: frames of every kind to everybody, as another's and as its own.
FLOOD = """
import socket, struct, sys
own, victim, gateway = (bytes.fromhex(x.replace(":", "")) for x in sys.argv[1:4])
own_ip, victim_ip, gateway_ip = (socket.inet_aton(x) for x in sys.argv[4:7])
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("eth0", 0))
everybody = b"\\xff" * 6
def arp(kind, sender, sender_ip, target, target_ip):
    return struct.pack(">HHBBH", 1, 0x800, 6, 4, kind) + sender + sender_ip + target + target_ip
def ip(source, target):
    head = struct.pack(">BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0) + source + target
    total = sum(struct.unpack(">10H", head))
    total = ~((total & 0xffff) + (total >> 16)) & 0xffff
    return head[:10] + struct.pack(">H", total) + head[12:] + struct.pack(">HHHH", 53, 53, 8, 0)
for _ in range(20):
    for target in (victim, everybody):
        for kind in (1, 2):
            raw.send(target + own + b"\\x08\\x06" + arp(kind, own, gateway_ip, target, victim_ip))
            raw.send(target + own + b"\\x08\\x06" + arp(kind, own, own_ip, target, victim_ip))
        for source in (own_ip, gateway_ip):
            raw.send(target + own + b"\\x08\\x00" + ip(source, victim_ip))
            raw.send(target + gateway + b"\\x08\\x00" + ip(source, victim_ip))
        raw.send(target + own + b"\\x86\\xdd" + b"\\x60" + bytes(39))
        raw.send(target + own + b"\\x81\\x00\\x00\\x01\\x08\\x00" + ip(own_ip, victim_ip))
        raw.send(target + own + b"\\x88\\xcc" + bytes(46))
"""
# Runs in the victim's: tells of every frame that comes, until it is killed.
LISTEN = """
import socket
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
raw.bind(("eth0", 3))
print("listening", flush=True)
while True:
    frame, address = raw.recvfrom(2000)
    if address[2] != socket.PACKET_OUTGOING:
        print(frame[6:12].hex(":"), frame[12:34].hex(), flush=True)
"""


def inside(private: PrivateEngine, container: ContainerInfo, *command: str) -> list[str]:
    """Give the command that runs a program of this machine in the container's network."""
    return ["nsenter", "-t", str(init_pid(private, container.id)), "-n", *command]


def told(private: PrivateEngine, container: ContainerInfo, *command: str) -> str:
    """Run it, and give what it prints."""
    done = subprocess.run(
        inside(private, container, *command), check=True, capture_output=True, text=True, timeout=LIMIT
    )
    return done.stdout


def hardware(private: PrivateEngine, container: ContainerInfo) -> str:
    """Give the container's hardware address."""
    return told(private, container, "cat", "/proc/net/arp", "/sys/class/net/eth0/address").split()[-1]


def gateway(private: PrivateEngine, container: ContainerInfo) -> tuple[str, str]:
    """Give this machine's hardware address and address on the bridge."""
    address = told(private, container, "ip", "route", "get", "192.0.2.1").split()[2]
    return Path(f"/sys/class/net/{private.bridge}/address").read_text().strip(), address


async def test_no_frame_of_a_container_gets_to_another(engine: LxdEngine, private: PrivateEngine) -> None:
    """Neither ARP in anybody's name, nor IP, IPv6, VLAN or LLDP, to its address or to everybody."""
    a, b = await asyncio.gather(engine.create_container(web("a")), engine.create_container(web("b")))
    own, victim = hardware(private, a), hardware(private, b)
    router, router_ip = gateway(private, a)
    listener = subprocess.Popen(
        inside(private, b, sys.executable, "-c", LISTEN), stdout=subprocess.PIPE, text=True
    )
    try:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "listening\n"
        arguments = (own, victim, router, a.ip, b.ip, router_ip)
        await asyncio.to_thread(told, private, a, sys.executable, "-c", FLOOD, *arguments)
        # A packet of this machine's shows that the victim listens, and that all before it has come.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as marker:
            marker.sendto(b"marker", (b.ip, 9))
        seen = [listener.stdout.readline()]
        while "0800" not in seen[-1]:
            seen.append(listener.stdout.readline())
    finally:
        listener.kill()
        listener.communicate()

    assert [line for line in seen if not line.startswith(router)] == []
    neighbours = told(private, b, "ip", "neighbour", "show", router_ip)
    assert own not in neighbours


async def test_neighbour_is_not_reached_by_its_hardware_address(
    engine: LxdEngine, private: PrivateEngine
) -> None:
    """A route and a neighbour entry of its own making lead a container nowhere."""
    a, b = await asyncio.gather(engine.create_container(web("a")), engine.create_container(web("b")))
    told(private, a, "ip", "neighbour", "replace", b.ip, "lladdr", hardware(private, b), "dev", "eth0")
    told(private, a, "ip", "route", "replace", f"{b.ip}/32", "dev", "eth0")

    assert not reaches(private, a, b.ip, 80)
    assert not reaches(private, b, a.ip, 80)

    await engine.set_allowed({(b.id, a.id)}, {})

    assert not reaches(private, a, b.ip, 80)


async def test_this_machine_is_not_reached_over_ipv6(engine: LxdEngine, private: PrivateEngine) -> None:
    """Its link-local address on the bridge answers nothing, though it listens on all addresses."""
    a = await engine.create_container(web("a"))
    listing = subprocess.run(
        ["ip", "-6", "-o", "address", "show", "dev", private.bridge],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    addresses = [word.partition("/")[0] for word in listing if word.startswith("fe80:")]
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        for address in addresses or ["ff02::1"]:
            probe = (
                "import socket, sys\n"
                "scope = socket.if_nametoindex('eth0')\n"
                "socket.create_connection((sys.argv[1], int(sys.argv[2]), 0, scope), 2)"
            )
            command = inside(private, a, sys.executable, "-c", probe, address, str(port))
            assert subprocess.run(command, capture_output=True, timeout=LIMIT, check=False).returncode != 0
        with pytest.raises(TimeoutError):
            server.accept()


async def test_the_engine_is_not_reached(engine: LxdEngine, private: PrivateEngine) -> None:
    """No socket of the engine is in the container, and none listens on the network."""
    a = await engine.create_container(web("a"))
    root = Path(f"/proc/{init_pid(private, a.id)}/root")

    for path in ("dev/lxd", "dev/incus", "var/lib/lxd", "var/lib/incus", "run/incus"):
        assert not (root / path).exists(), path
    listening = subprocess.run(["ss", "-Hltnp"], check=True, capture_output=True, text=True).stdout
    assert f"pid={private.pid}," not in listening


async def test_limits_hold(engine: LxdEngine, private: PrivateEngine) -> None:
    """The kernel refuses memory and processes beyond their limits, and knows that of the processor."""
    script = (
        "(tail -c 100m /dev/zero >/dev/null); eaten=$?; "
        "(for a in 1 2 3 4 5 6; do for b in 1 2 3 4 5 6; do sleep 99 & done; done) 2>/dev/null; "
        "set -- /proc/[0-9]*; { echo $eaten $#; echo end; } >/tmp/told; exec sleep 99"
    )
    a = await engine.create_container(shell(script, memory=64 << 20, cpus=0.5, processes=20))

    eaten, processes = map(int, (await written(engine, a, "/tmp/told")).split())

    assert eaten == 128 + signal.SIGKILL
    assert 10 <= processes <= 20
    assert _share_of_a_processor(init_pid(private, a.id)) == 0.5


def _share_of_a_processor(pid: int) -> float:
    """Read the limit of the process's control groups, of the second version or the first (cgroups(7))."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "cpu", "cpu,cpuacct"):
            continue
        group = Path("/sys/fs/cgroup", controllers, path.lstrip("/"))
        for place in (group, *group.parents):
            if (place / "cpu.max").exists() and not (place / "cpu.max").read_text().startswith("max"):
                quota, period = map(int, (place / "cpu.max").read_text().split())
                return quota / period
            if (place / "cpu.cfs_quota_us").exists() and int((place / "cpu.cfs_quota_us").read_text()) > 0:
                return int((place / "cpu.cfs_quota_us").read_text()) / int(
                    (place / "cpu.cfs_period_us").read_text()
                )
    raise AssertionError("no limit of the processor is in force")
