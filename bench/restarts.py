"""What restarts, reloads, upgrades and crashes cost those who are connected, on booted Debians.

    .venv/bin/python -m bench.restarts [--connections N] [--new N] [--kilobytes N] [--short]

Builds a Debian 12 with our packages, boots tfd's machine and tflocation's, and loads an echoing port with
connections that stay, each with content of its own both ways, and with new ones a second. Prints for each
kind of trouble how many connections were refused, broken, or had other bytes than were sent, and the longest
gaps in seconds: of a connection that stays, and of a new one from its beginning to its whole answer. Needs
root and what `packaging/prepare tests` installs; takes some minutes.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.chain import row
from tests.support import peer_image
from tests.support.debian import BOOKWORM, build_bare, build_packages, install_packages, layered
from tests.support.house import House, house, loaded, under
from tests.support.load_generator import Report
from tflocation.development import PrivateEngine

Action = Callable[[], None]
FIRST = "first"
UPGRADES = ("999.0", "999.1", "999.2")
"""Versions that come after the first, and after one another."""


def troubles(running: House, built: Path, short: bool) -> Iterator[tuple[str, Action, int]]:
    """Give what is done, with its name and how often."""
    downgrade = partial(running.install, built / FIRST, "--allow-downgrades")
    many = 2 if short else 10
    yield "systemctl restart tfd", running.restart, many
    yield "systemctl reload tfd", running.reload, many
    for version in UPGRADES:
        yield f"upgrade of the package to {version}", partial(running.install, built / version), 1
    yield "downgrade of the package to the first", downgrade, 1
    yield "systemctl restart tflocation", running.restart_location, 1 if short else 5
    yield "kill -9 of tfd", running.kill, 1
    yield "tfd hangs (SIGSTOP, watchdog)", running.freeze, 1


def show(what: str, times: int, seen: Report) -> None:
    """Print one line of the table."""
    faults = [str(number) for number in (seen.refused, seen.broken, seen.wrong)]
    row(f"{what}, {times} x", str(seen.opened), *faults, f"{seen.gap:.2f} s", f"{seen.new_gap:.2f} s")
    for reason, count in seen.reasons.items():
        print(f"    {reason}: {count} x")


@contextmanager
def built(directory: Path) -> Iterator[House]:
    """Build all that is needed, and run it."""
    bare = directory / "bare"
    build_bare(BOOKWORM, bare)
    build_packages(directory / FIRST)
    for version in UPGRADES:
        build_packages(directory / version, version)
    with layered((bare,), directory / "packaged") as root:
        install_packages(root, directory / FIRST)
    (directory / "image").mkdir()
    peer_image.build(directory / "peer.tar", directory / "image")
    layers = (directory / "packaged" / "changes", bare)
    with (
        PrivateEngine(directory / "engine") as engine,
        house(layers, directory / "machines", engine, directory / "peer.tar") as running,
    ):
        yield running


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--connections", type=int, default=200, help="that stay; default 200")
    parser.add_argument("--new", type=float, default=50, help="a second; default 50")
    parser.add_argument("--kilobytes", type=int, default=20, help="a second of each, both ways; default 20")
    parser.add_argument("--short", action="store_true", help="two of each instead of ten")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tfd-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # the containers' root is somebody else
        with built(directory) as running:
            print(f"{options.connections} connections both ways, {options.new:g} new ones a second")
            row("", "opened", "refused", "broken", "wrong", "longest gap", "longest new")
            with loaded(options.connections, options.new, options.kilobytes * 1000) as load:
                for what, action, times in troubles(running, directory, options.short):
                    running.wait_ready()
                    seen = under(load, action, times)
                    show(what, times, seen)
                last = load.end()
            show("the end of all that are left", 1, last)


if __name__ == "__main__":
    main()
