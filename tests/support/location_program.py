"""A location without an engine as a process: it prints an invite, and ends with its standard input.

A container's port is that port of 127.0.0.1; see `LocationPeer`.
"""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.dataplane import Location
from tests.support.location_peer import LocationPeer

LIMIT = 30.0


@contextmanager
def location_program() -> Iterator[str]:
    """Run it, and give the invite."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(LIMIT)


def main() -> None:
    """Serve until the end of standard input, with all the descriptors that are allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    location = Location()
    location.start()
    with LocationPeer(channels=location) as peer:
        print(peer.invite(), flush=True)
        sys.stdin.read()
    location.stop()


if __name__ == "__main__":
    main()
