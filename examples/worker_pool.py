#!/usr/bin/python3
"""Runs a directory of shell tests in a pool of containers, which share the tests by a volume.

    worker_pool.py [--workers N] [--image IMAGE] DIRECTORY

Each file of DIRECTORY is one test: it passes where `sh FILE` ends with 0. Exit code: the number of failures.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tfnz.container import Container
from tfnz.location import Location

SHARED = "/tests"


def main() -> int:
    """Spread the tests over the workers and tell how each ended."""
    parser = argparse.ArgumentParser(description="Runs shell tests in a pool of containers.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--image", default="nginx")
    args = parser.parse_args()
    tests = sorted(path for path in args.directory.iterdir() if path.is_file())
    with Location(quiet=True) as location:
        node = location.best_node()
        volume = node.create_volume()
        pool = [
            node.spawn_container(args.image, sleep=True, volumes=[(volume, SHARED)])
            for _ in range(args.workers)
        ]
        for test in tests:
            pool[0].put(f"{SHARED}/{test.name}", test.read_bytes())
        failures = run(pool, [test.name for test in tests])
        for container in pool:
            node.destroy_container(container)
        node.destroy_volume(volume)
    return failures


def run(pool: list[Container], tests: list[str]) -> int:
    """Give each worker the next test as soon as it is free; returns the number of failures."""
    idle: SimpleQueue[Container] = SimpleQueue()
    for container in pool:
        idle.put(container)

    def one(test: str) -> bool:
        container = idle.get()
        try:
            output, errors, code = container.run_process(f"sh {SHARED}/{test}")
        finally:
            idle.put(container)
        print(f"{'ok  ' if code == 0 else 'FAIL'} {test}")
        if code != 0:
            print((output + errors).decode(errors="replace"), file=sys.stderr)
        return code == 0

    with ThreadPoolExecutor(len(pool)) as threads:
        return list(threads.map(one, tests)).count(False)


if __name__ == "__main__":
    sys.exit(main())
