"""A tfd and a tflocation on booted Debians, under load, and what an administrator does to them meanwhile."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import peer
from tests.support.debian import layered
from tests.support.load import Load, load
from tests.support.load_generator import Report
from tests.support.location_machine import LocationMachine, location_machine
from tests.support.small_box import INSIDE, OUTSIDE, Box, up
from tests.support.waiting import wait_for
from tflocation.development import PrivateEngine

UNIT = "tfd.service"
LIMIT = 90.0
CALM = 60
"""New connections that must have been answered after what was done to the services."""

PROMPT = 1.0
"""Seconds that no new connection has waited, once those that came in the trouble are served."""

CONFIG = f"""
[container.peer]
image = "peer"

[[listener]]
bind = "0.0.0.0:{peer.ECHO}"
container = "peer"
port = {peer.ECHO}
"""


@dataclass(frozen=True)
class House:
    """The two machines."""

    box: Box
    location: LocationMachine

    def restart(self) -> None:
        """Restart tfd."""
        self.box.root("systemctl restart tfd")

    def reload(self) -> None:
        """Reload tfd's file."""
        self.box.root("systemctl reload tfd")

    def restart_location(self) -> None:
        """Restart tflocation."""
        self.location.restart()

    def kill(self) -> None:
        """Kill tfd as a crash does, and wait until it runs again."""
        self._end_with("KILL")

    def freeze(self) -> None:
        """Have tfd hang, and wait until systemd's watchdog has ended it and it runs again."""
        self._end_with("STOP")

    def install(self, packages: Path, *options: str) -> None:
        """Install another version of tfd, the package of which is in this directory."""
        package = next(packages.glob("tfd_*.deb"))
        (self.box.machine.root / "root" / package.name).write_bytes(package.read_bytes())
        apt = f"DEBIAN_FRONTEND=noninteractive apt-get --yes {' '.join(options)}"
        self.box.root(f"{apt} install /root/{package.name}")

    def wait_ready(self) -> None:
        """Wait until tfd serves."""
        wait_for(lambda: self.box.machine.property(UNIT, "SubState") == "running", LIMIT, "tfd to run")

    def _end_with(self, signal: str) -> None:
        before = self.box.machine.property(UNIT, "MainPID")
        self.box.root(f"systemctl kill --kill-whom=main --signal={signal} tfd")
        wait_for(lambda: self.box.machine.property(UNIT, "MainPID") not in ("0", before), LIMIT, "a restart")
        self.wait_ready()


@contextmanager
def house(layers: Sequence[Path], directory: Path, engine: PrivateEngine, archive: Path) -> Iterator[House]:
    """Boot both machines from these layers; tfd serves the echoing port of a container of `archive`."""
    with ExitStack() as stack:
        strong = stack.enter_context(layered(layers, directory / "location"))
        small = stack.enter_context(layered(layers, directory / "box"))
        location = stack.enter_context(location_machine(strong, engine, OUTSIDE))
        location.add_image(archive, "peer")
        box = stack.enter_context(up(small))
        box.root(f"tfd join '{location.invite('box')}'")
        box.write("/etc/tfd.toml", CONFIG)
        done = box.machine.run("systemctl", "enable", "--now", "tfd")
        assert done.returncode == 0, box.root("journalctl --unit=tfd")
        yield House(box, location)


@contextmanager
def loaded(connections: int, new_rate: float, rate: int = 20_000) -> Iterator[Load]:
    """Load the box's port; `rate` is in bytes a second."""
    with load((INSIDE, peer.ECHO), connections=connections, rate=rate, new_rate=new_rate) as running:
        yield running


def under(running: Load, action: Callable[[], None], times: int = 1) -> Report:
    """Do something so many times; give what the load saw of it, and of some calm after each."""
    running.look()
    total = Report()
    for _ in range(times):
        action()
        total.add(running.look())
        calm(running, total)
    return total


def calm(running: Load, total: Report) -> None:
    """Let the load go on until new connections are answered as before, and count it in."""
    goal = total.answered + CALM

    def answered() -> bool:
        seen = running.look()
        total.add(seen)
        return total.answered >= goal and seen.new_gap < PROMPT

    wait_for(answered, LIMIT, f"{CALM} new connections to be answered, none late; {total}")
