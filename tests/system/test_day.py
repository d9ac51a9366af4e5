"""A day in short on a booted Debian, as `journalctl` tells it to whoever asks."""

import json
import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import engine_view
from tests.support.debian import layered
from tests.support.product import Location
from tests.support.small_box import LIMIT, Box, serves, up
from tests.support.waiting import wait_for
from tfd.protocol import logged
from tflocation.development import PrivateEngine

pytestmark = [pytest.mark.engine, pytest.mark.slow]

CONFIG = """
[container.web]
image = "nginx"

[[listener]]
bind = "0.0.0.0:80"
container = "web"
port = 80
"""


@pytest.fixture
def box(packaged: tuple[Path, ...], home: Location, tmp_path: Path) -> Iterator[Box]:
    """A machine with our packages that has joined the location and serves a page of it."""
    with layered(packaged, tmp_path / "machine") as root, up(root) as running:
        running.root(f"tfd join {shlex.quote(home.invite('day'))}")
        running.write("/etc/tfd.toml", CONFIG)
        running.root("systemctl enable --now tfd")
        wait_for(serves(80), LIMIT, "nginx's page")
        yield running


def lines(box: Box, kind: logged.Kind) -> list[dict[str, Any]]:
    """Give what the journal has of a kind of event."""
    told = box.machine.journalctl("--unit=tfd", "--output=json", f"MESSAGE_ID={kind.id}")
    return [json.loads(line) for line in told.splitlines()]


def wait_line(box: Box, kind: logged.Kind, count: int = 1) -> None:
    """Wait until a kind of event was told so often."""
    wait_for(lambda: len(lines(box, kind)) >= count, LIMIT, f"{kind.name} in the journal")


def test_a_day_in_short(box: Box, home: Location, engine: PrivateEngine) -> None:
    """Start, reload, wrong file, lost location, dead container and stop are one line each, and explained."""
    box.root("systemctl reload tfd")
    wait_line(box, logged.RELOADED)
    box.write("/etc/tfd.toml", CONFIG.replace("image", "imgae"))
    box.root("systemctl reload tfd")
    wait_line(box, logged.RELOAD_REFUSED)
    box.write("/etc/tfd.toml", CONFIG)
    home.stop()
    wait_line(box, logged.LOCATION_LOST)
    home.start()
    wait_line(box, logged.LOCATION_CONNECTED, 2)
    (instance,) = engine_view.instances(engine)
    os.kill(engine_view.init_pid(engine, instance), signal.SIGKILL)
    wait_line(box, logged.CONTAINER_DIED)
    wait_for(serves(80), LIMIT, "nginx's page after its container's death")
    box.root("systemctl stop tfd")

    once = (logged.STARTED, logged.READY, logged.RELOADED, logged.LOCATION_LOST, logged.CONTAINER_DIED)
    assert {kind.name: len(lines(box, kind)) for kind in (*once, logged.STOPPING)} == {
        kind.name: 1 for kind in (*once, logged.STOPPING)
    }
    for kind in logged.KINDS:
        for line in lines(box, kind):
            assert all(f"TFD_{field.upper()}" in line for field in kind.fields), line
    (died,) = lines(box, logged.CONTAINER_DIED)
    assert (died["TFD_CONTAINER"], died["TFD_LOCATION"]) == ("web", "home")
    explained = box.machine.journalctl("--unit=tfd", "--catalog")
    assert "Location home was lost" in explained
    assert "Subject: tfd has started" in explained
