"""From nothing to a page on a booted Debian, by what a user types, and over a reboot."""

import shlex
import shutil
from pathlib import Path

import pytest

from tests.support.debian import layered
from tests.support.product import Location
from tests.support.small_box import LIMIT, Box, serves, up
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.slow]

CONFIG = """
[container.web]
image = "nginx"

[[listener]]
bind = "0.0.0.0:80"
container = "web"
port = 80
"""
APT_LIMIT = 240.0


def apt(box: Box, line: str) -> str:
    """Run apt as root, without a question."""
    command = f"cd /root && DEBIAN_FRONTEND=noninteractive apt --yes {line}"
    done = box.machine.run("sh", "-c", command, limit=APT_LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_five_commands_and_a_reboot(
    release: str, request: pytest.FixtureRequest, tmp_path: Path, home: Location, packages: Path
) -> None:
    """The README's commands lead to a page; it is served again after a reboot."""
    bare: Path = request.getfixturevalue(release)
    with layered((bare,), tmp_path / "machine") as root:
        for package in packages.glob("*.deb"):
            shutil.copy(package, root / "root")
        with up(root) as box:
            apt(box, "install ./tfd_*.deb")
            box.root(f"tfd join {shlex.quote(home.invite(f'from-nothing-{release}'))}")
            box.write("/etc/tfd.toml", CONFIG)
            box.root("systemctl enable --now tfd")
            wait_for(serves(80), LIMIT, "nginx's page")
            said = box.machine.journalctl("-u", "tfd", "--output=cat")
            assert "container web: good on" in said
            assert "connected to location home" in said
            box.machine.power_off()
        with up(root) as box:
            wait_for(serves(80), LIMIT, "nginx's page after a reboot")
            assert box.machine.property("tfd.service", "NRestarts") == "0"
            box.root("tfd status")
