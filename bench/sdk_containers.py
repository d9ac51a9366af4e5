"""What containers cost: many spawned at once and destroyed, again and again.

    .venv/bin/python -m bench.sdk_containers [--containers N] [--rounds N]

Starts an engine and a location of its own, measures, prints a table, and removes all of it. Needs root and
what `packaging/prepare tests` installs. Times are of the program that uses the SDK: until the last container
is ready, and until the location lists none of them any more.
"""

import argparse
import json
import tempfile
from pathlib import Path

from bench.chain import row
from tests.support.engine import private_engine
from tests.support.engine_view import instances
from tests.support.images import archive, busybox_image, oci_files
from tests.support.product import Location
from tests.support.user import User

LIMIT = 3600.0
LIMITS = '[limits]\ncontainers = 1000\nmemory = "1T"\n'

PROGRAM = """
import json, sys, time
from tfnz.location import Location

count, rounds = int(sys.argv[1]), int(sys.argv[2])
LIMIT = 600
with Location(quiet=True) as location:
    node = location.node()
    for _ in range(rounds):
        begun = time.perf_counter()
        containers = [node.spawn_container("busybox") for _ in range(count)]
        for container in containers:
            container.wait_until_ready(LIMIT)
        ready = time.perf_counter()
        for container in containers:
            node.destroy_container(container)
        while location.connection.call("container.list", {})["containers"]:
            time.sleep(0.1)
        print(json.dumps([ready - begun, time.perf_counter() - ready]), flush=True)
"""


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description="Containers spawned at once and destroyed.")
    parser.add_argument("--containers", type=int, default=100, metavar="N", help="how many at once (100)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="how often (5)")
    options = parser.parse_args()
    with private_engine("lxd") as engine, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        location = Location(directory, engine, extra=LIMITS)
        location.start()
        try:
            image = busybox_image(command=["sleep", "1000000"])
            location.add_image(archive(directory / "busybox.tar", oci_files({"latest": image})), "busybox")
            user = User(directory / "home")
            user.join(location, "bench")
            process = user.start_python(PROGRAM, str(options.containers), str(options.rounds))
            output, errors = process.communicate(timeout=LIMIT)
            if process.returncode:
                raise RuntimeError(errors)
            row(f"{options.containers} containers", "spawned, s", "destroyed, s")
            for number, line in enumerate(output.splitlines(), 1):
                spawned, destroyed = json.loads(line)
                row(f"round {number}", f"{spawned:.1f}", f"{destroyed:.1f}")
            row("left in the engine", str(len(instances(engine))))
        finally:
            location.stop()


if __name__ == "__main__":
    main()
