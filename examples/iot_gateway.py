#!/usr/bin/python3
"""An IoT gateway: readings come in by UDP, a container keeps and serves them, this box needs no disk.

    iot_gateway.py [--udp PORT] [--http PORT]

Each datagram is one reading, one line of text. They are appended to a file on a volume; the container serves
that file. A reading that comes while the location is out of reach waits here: see PENDING.
"""

import argparse
import logging
import queue
import signal
import socket
import sys
import threading

from tfnz.container import Container
from tfnz.location import Location

DIRECTORY = "/usr/share/nginx/html/readings"
PENDING = 10_000
"""Readings kept while the location cannot be reached; beyond that the newest are dropped and counted."""


def receive(port: int, readings: "queue.Queue[bytes]") -> None:
    """Take datagrams for ever."""
    dropped = 0
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sensors:
        sensors.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sensors.bind(("::", port))
        while True:
            line = sensors.recv(1500).splitlines()[:1]
            try:
                readings.put_nowait(line[0] if line else b"")
            except queue.Full:
                dropped += 1
                logging.warning("readings dropped so far: %d", dropped)


def store(container: Container, readings: "queue.Queue[bytes]") -> None:
    """Hand readings to a process in the container that appends them, for ever."""
    writer = container.spawn_process(f"mkdir -p {DIRECTORY} && cat >>{DIRECTORY}/all.txt")
    while True:
        writer.stdin(readings.get() + b"\n")


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="Feeds readings into a container that serves them.")
    parser.add_argument("--udp", type=int, default=5683)
    parser.add_argument("--http", type=int, default=8080)
    args = parser.parse_args()
    # As systemd stops it; the container then ends at once, and not after the lease.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with Location() as location:
        volume = location.ensure_volume("readings")
        container = location.best_node().spawn_container("nginx", volumes=[(volume, DIRECTORY)])
        container.attach_tunnel(80, localport=args.http)
        readings: queue.Queue[bytes] = queue.Queue(PENDING)
        threading.Thread(target=receive, args=(args.udp, readings), daemon=True).start()
        store(container, readings)


if __name__ == "__main__":
    main()
