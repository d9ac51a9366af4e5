"""A location whose tflocation runs under systemd, on a booted Debian beside the engine of this machine."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.machine import Machine, booted
from tests.support.product import free_port
from tests.support.waiting import wait_for
from tflocation.development import PrivateEngine

UNIT = "tflocation.service"
ENGINE = "/srv/engine"
START_LIMIT = 60.0


class LocationMachine:
    """The machine, and what its administrator types."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def root(self, line: str, limit: float = 300.0) -> str:
        """Run a shell line there, which must succeed; give its output."""
        done = self.machine.run("sh", "-lc", line, limit=limit)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    def invite(self, name: str) -> str:
        """Give the line of an invite for an account of that name."""
        return self.root(f"tflocation invite {shlex.quote(name)}").strip()

    def add_image(self, archive: Path, name: str) -> None:
        """Put an image archive into the location under a name."""
        inside = self.machine.root / "root" / archive.name
        inside.write_bytes(archive.read_bytes())
        self.root(f"tflocation image add /root/{archive.name} {shlex.quote(name)}")

    def restart(self) -> None:
        """Restart the service."""
        self.root(f"systemctl restart {UNIT}")


@contextmanager
def location_machine(
    root: Path, engine: PrivateEngine, address: str, tables: str = ""
) -> Iterator[LocationMachine]:
    """Boot the tree with this machine's network and the engine's socket; others find it at `address`.

    `tables` come at the end of its file.
    """
    settings = {
        "name": "home",
        "listen": f"0.0.0.0:{free_port()}",
        "channel_listen": f"0.0.0.0:{free_port()}",
        "engine": f"{ENGINE}/{engine.socket.name}",
        "project": engine.project,
        "pool": engine.pool,
        "network": engine.bridge,
    }
    settings["address"] = f"{address}:{settings['listen'].rpartition(':')[2]}"
    (root / "etc/tflocation.toml").write_text(
        "".join(f'{key} = "{value}"\n' for key, value in settings.items()) + tables
    )
    (root / "root").mkdir(exist_ok=True)
    options = ("--capability=CAP_NET_ADMIN", f"--bind={engine.directory}:{ENGINE}")
    with booted(root, options) as machine:
        location = LocationMachine(machine)
        done = machine.run("systemctl", "start", UNIT)
        assert done.returncode == 0, location.root(f"journalctl --unit={UNIT}")
        wait_for(
            lambda: machine.run("tflocation", "status").returncode == 0, START_LIMIT, "tflocation to answer"
        )
        yield location
