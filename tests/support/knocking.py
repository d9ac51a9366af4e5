"""Clients that connect again and again from inside a machine, and count how often they are refused."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.machine import Machine

LIMIT = 60.0
_KNOCK = """
import json, select, socket, sys, time
port, limit = int(sys.argv[1]), float(sys.argv[2])
tries = refused = 0
longest = 0.0
print("knocking", flush=True)
while not select.select([sys.stdin], [], [], 0.01)[0]:
    began = time.monotonic()
    tries += 1
    try:
        socket.create_connection(("127.0.0.1", port), limit).close()
    except OSError:
        refused += 1
    longest = max(longest, time.monotonic() - began)
print(json.dumps({"tries": tries, "refused": refused, "longest": longest}))
"""


@dataclass
class Knocks:
    """How it went; `longest` is the seconds that one connection took at most. Known once it is over."""

    tries: int = 0
    refused: int = 0
    longest: float = 0.0


@contextmanager
def knocking(machine: Machine, port: int) -> Iterator[Knocks]:
    """Connect to a port of the machine's loopback, a hundred times a second, for as long as this lasts."""
    knocks = Knocks()
    command = ["nsenter", "-t", str(machine.leader), "-n", "--", sys.executable, "-c", _KNOCK]
    with subprocess.Popen(
        [*command, str(port), str(LIMIT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "knocking\n"
            yield knocks
            told = json.loads(process.communicate("over\n", LIMIT)[0])
            knocks.tries, knocks.refused, knocks.longest = told["tries"], told["refused"], told["longest"]
        finally:
            process.kill()
