"""A restart of tfd on a booted Debian while it sends an image, for which its start waits, on a slow path."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import images
from tests.support.engine_view import ask, instances
from tests.support.forwarder import Forwarder
from tests.support.machine import Machine, booted
from tests.support.product import Location
from tests.support.waiting import wait_for
from tflocation.development import PrivateEngine

pytestmark = [pytest.mark.engine, pytest.mark.slow]

UNIT = "tfd.service"
LIMIT = 180.0
SIZE = 16 << 20
RATE = 512 << 10
BEFORE = 4 << 20
"""Bytes that are sent before the restart: more than are under way at once, and far from all."""
START_TIMEOUT = 10
"""Seconds; what is left after the restart takes longer."""


@pytest.fixture
def path(location: Location) -> Iterator[Forwarder]:
    """The slow path to the location."""
    with Forwarder(("127.0.0.1", location.port), RATE) as slow:
        yield slow


@pytest.fixture
def machine(machine_root: Path, location: Location, path: Forwarder) -> Iterator[Machine]:
    """A machine whose tfd is to be started within START_TIMEOUT, and has an image to send first."""
    root = machine_root
    layer = images.layer({"srv/large": os.urandom(SIZE)})
    image = images.busybox_image(command=("httpd", "-f", "-h", "/srv"), extra=(layer,), compression="")
    images.archive(root / "srv/large.tar", images.oci_files({"latest": image}))
    (root / "etc/tfd.toml").write_text(
        '[daemon]\nenvironment = "upload"\n'
        f'[location.home]\naddress = "127.0.0.1:{path.port}"\n'
        '[container.large]\nimage = "/srv/large.tar"\n'
        '[[listener]]\nbind = "unix:/run/tfd/large"\ncontainer = "large"\nport = 80\n'
    )
    drop_in = root / f"etc/systemd/system/{UNIT}.d/timeout.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(f"[Service]\nTimeoutStartSec={START_TIMEOUT}\n")
    with booted(root, ()) as running:
        joined = running.run("tfd", "join", location.invite("upload"))
        assert joined.returncode == 0, joined.stderr
        yield running
        running.run("systemctl", "stop", UNIT)


def test_an_upload_goes_on_after_a_restart(machine: Machine, path: Forwarder, engine: PrivateEngine) -> None:
    """The start's limit is extended, the upload goes on where it was, and nothing is there twice."""
    before = engine_images(engine)
    machine.run("systemctl", "start", "--no-block", UNIT)
    wait_for(lambda: path.sent >= BEFORE, LIMIT, "the first part of the upload")
    sent = path.sent
    done = machine.run("systemctl", "restart", UNIT, limit=LIMIT)

    assert done.returncode == 0, machine.journal(UNIT)
    assert (machine.property(UNIT, "ActiveState"), machine.property(UNIT, "NRestarts")) == ("active", "0")
    begun, ready = (
        int(machine.property(UNIT, f"{name}TimestampMonotonic")) for name in ("InactiveExit", "ActiveEnter")
    )
    assert ready - begun > START_TIMEOUT * 1_000_000
    assert any("container large: good on" in line for line in machine.journal(UNIT))
    # Begun anew, it would be all that was sent before, and all of it.
    assert path.sent < SIZE + sent // 2
    assert len(engine_images(engine) - before) == 1
    assert len(instances(engine, "upload/")) == 1
    served = machine.run("sh", "-c", "curl --silent --unix-socket /run/tfd/large http://large/large | wc -c")
    assert int(served.stdout) == SIZE


def engine_images(engine: PrivateEngine) -> set[str]:
    """Give the fingerprints of the engine's images."""
    return set(ask(engine, "GET", f"/1.0/images?project={engine.project}")["metadata"])
