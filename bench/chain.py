"""What the whole chain costs: memory of tfd, and throughput against the bare container.

    .venv/bin/python -m bench.chain [--megabytes N] [--rounds N] [--connections N]

Starts an engine, a location and a tfd of its own, measures, prints a table, and removes all of it.
Needs root and what `packaging/prepare tests` installs. Bare and relayed runs take turns, and
the median of each is printed, since machines differ from one minute to the next.
"""

import argparse
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.compare.processes import use_all_descriptors
from tests.support import peer, peer_image
from tests.support.product import Daemon, Location, free_port
from tflocation.development import PrivateEngine

MIB = 1 << 20
BLOCK = bytes(256 * 1024)
LIMIT = 300.0


def resident(pid: int) -> float:
    """Resident memory of a process in MiB, from proc(5)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def download(address: tuple[str, int], size: int) -> float:
    """Fetch `size` bytes; give MB/s (10^6)."""
    with socket.create_connection(address, LIMIT) as connection:
        buffer = bytearray(MIB)
        start = time.perf_counter()
        connection.sendall(b"%d\n" % size)
        left = size
        while left > 0:
            got = connection.recv_into(buffer)
            if not got:
                raise ConnectionError(f"the download ended {left} bytes early")
            left -= got
        return size / (time.perf_counter() - start) / 1e6


def upload(address: tuple[str, int], size: int) -> float:
    """Send `size` bytes and wait for their count; give MB/s (10^6)."""
    with socket.create_connection(address, LIMIT) as connection:
        start = time.perf_counter()
        for _ in range(size // len(BLOCK)):
            connection.sendall(BLOCK)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(100)
        if int(answer) != size // len(BLOCK) * len(BLOCK):
            raise ConnectionError(f"the container counted {answer!r}")
        return size / (time.perf_counter() - start) / 1e6


@contextmanager
def held_open(address: tuple[str, int], count: int) -> Iterator[None]:
    """Hold connections that each carried one byte and then nothing."""
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(address, LIMIT))
            connection.sendall(b"x")
            connection.recv(1)
        yield


def row(what: str, *cells: str) -> None:
    """Print one line of the table."""
    print(f"{what:<44}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


def spread(values: list[float]) -> str:
    """Median, minimum and maximum, without decimals."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def measure(daemon: Daemon, ports: dict[int, int], address: str, options: argparse.Namespace) -> None:
    """Take all figures and print them."""
    idle = resident(daemon.pid)
    row("tfd's resident memory, idle, MiB", f"{idle:.1f}")
    with held_open(("127.0.0.1", ports[peer.ECHO]), options.connections):
        full = resident(daemon.pid)
    row(f"the same, {options.connections} connections open, MiB", f"{full:.1f}")
    row("KiB for each connection", f"{(full - idle) * 1024 / options.connections:.1f}")
    size = options.megabytes * MIB
    print()
    row("MB/s, median (min-max)", "bare", "through tfd", "ratio")
    for what, port, transfer in (("download", peer.SOURCE, download), ("upload", peer.COUNT, upload)):
        bare: list[float] = []
        relayed: list[float] = []
        for _ in range(options.rounds):
            bare.append(transfer((address, port), size))
            relayed.append(transfer(("127.0.0.1", ports[port]), size))
        ratio = statistics.median(relayed) / statistics.median(bare)
        row(f"{what}, one connection", spread(bare), spread(relayed), f"{ratio:.2f}")


def main() -> None:
    """Build the chain, measure it, remove it."""
    parser = argparse.ArgumentParser(description="memory and throughput of the whole chain")
    parser.add_argument("--megabytes", type=int, default=512, help="of each transfer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=1000)
    options = parser.parse_args()
    use_all_descriptors()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfd-bench-")))
        directory.chmod(0o711)  # the containers' users must pass it
        (directory / "image").mkdir()
        peer_image.build(directory / "peer.tar", directory / "image")
        engine = stack.enter_context(PrivateEngine(directory / "engine", "lxd"))
        location = Location(directory / "location", engine)
        stack.callback(location.stop)
        location.start()
        location.add_image(directory / "peer.tar", "peer")
        daemon = Daemon(directory / "tfd")
        stack.callback(daemon.stop)
        ports = {port: free_port() for port in (peer.ECHO, peer.SOURCE, peer.COUNT)}
        daemon.configure(
            '[container.peer]\nimage = "peer"\nprocesses = 4000\n'
            + "".join(
                f'[[listener]]\nbind = "127.0.0.1:{bound}"\ncontainer = "peer"\nport = {port}\n'
                for port, bound in ports.items()
            )
        )
        daemon.join(location.invite("bench"))
        daemon.start()
        status = daemon.wait_ready()
        measure(daemon, ports, status["containers"][0]["ip"], options)


if __name__ == "__main__":
    main()
