"""The journal of a small box that serves nginx from a real engine: its access log, and what became of it."""

import shlex
from pathlib import Path

import pytest

from tests.support.product import Location
from tests.support.small_box import INSIDE, LIMIT, Box, serves, up
from tests.support.waiting import wait_for
from tfd.protocol import logged

pytestmark = [pytest.mark.engine, pytest.mark.root, pytest.mark.slow]

CONFIG = """
[container.web]
image = "nginx"
[[listener]]
bind = "0.0.0.0:8090"
container = "web"
port = 80
"""
UNIT = "tfd.service"


def accessed(box: Box, path: str) -> list[str]:
    """Give the lines of nginx's access log in the journal that tell of a request."""
    told = box.machine.journalctl("-t", "web", "-o", "cat").splitlines()
    return [line for line in told if f'"GET {path} ' in line]


def ask_for(box: Box, path: str) -> None:
    """Request a page of it."""
    box.root(f"curl -s -o /dev/null http://127.0.0.1:8090{path}")


def test_nginxs_access_log_is_in_the_journal(small_box: Path, strong: Location) -> None:
    """Each request is one line, also after restarts of tfd and of its location, and none comes twice."""
    with up(small_box) as box:
        box.write("/etc/tfd.toml", CONFIG)
        box.root(f"tfd join {shlex.quote(strong.invite('journal'))}")
        box.root(f"systemctl start {UNIT}")
        wait_for(serves(8090), LIMIT, f"the page at {INSIDE}")
        paths = [f"/{number}" for number in range(3)]
        for path, between in zip(paths, ("systemctl restart tfd", "", ""), strict=True):
            ask_for(box, path)
            wait_for(lambda path=path: accessed(box, path), LIMIT, f"{path} in the journal")  # type: ignore[misc]
            if between:
                box.root(between)
            elif path == paths[1]:
                strong.kill()
                strong.start()
        logs = box.root("tfd logs web")
        entry = box.machine.journalctl("-t", "web", "-o", "verbose", "-g", f"GET {paths[0]} ")
        started = box.machine.journalctl("-o", "cat", f"MESSAGE_ID={logged.CONTAINER_STARTED.id}", "-u", UNIT)
        counts = [len(accessed(box, path)) for path in paths]
        box.write("/etc/tfd.toml", "")
        box.root(f"systemctl reload {UNIT}")
        wait_for(lambda: '"containers": []' in box.root("tfd status --json"), LIMIT, "the container to go")
        box.root(f"systemctl stop {UNIT}")

    assert counts == [1, 1, 1]
    assert all(f'"GET {path} ' in logs for path in paths)
    assert "TFD_CONTAINER=web" in entry
    assert "TFD_NODE=" in entry
    assert started.startswith("container web: good on ")
