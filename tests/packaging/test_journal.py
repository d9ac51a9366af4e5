"""What is in the journal of a booted Debian 12: kinds, fields, explanations, and what containers write."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.loops import run_until
from tests.support.machine import Machine, booted
from tests.support.waiting import wait_for
from tfd.log import Log
from tfd.protocol import logged
from tfd.protocol.drivers.journal import JournalSink
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.logged import Kind

pytestmark = [pytest.mark.root, pytest.mark.slow]

LIMIT = 30.0
LINES = 1000
UNIT = "tfd.service"
IDLE = """
[container.web]
image = "nginx"
enabled = false
[[listener]]
bind = "127.0.0.1:8080"
container = "web"
port = 80
"""


@pytest.fixture(scope="module")
def machine(machine_root: Path) -> Iterator[Machine]:
    """A machine on which tfd was started, reloaded in vain and in earnest, and stopped."""
    config = machine_root / "etc/tfd.toml"
    config.write_text(IDLE)
    with booted(machine_root) as running:
        assert running.run("systemctl", "start", UNIT).returncode == 0
        config.write_text(IDLE.replace("image", "imgae"))
        assert running.run("systemctl", "reload", UNIT).returncode == 0
        wait_for(lambda: entries(running, logged.RELOAD_REFUSED), LIMIT, "the reload's refusal")
        config.write_text(IDLE.replace("8080", "8081"))
        assert running.run("systemctl", "reload", UNIT).returncode == 0
        wait_for(lambda: entries(running, logged.RELOADED), LIMIT, "the reload")
        assert running.run("systemctl", "stop", UNIT).returncode == 0
        yield running


def entries(machine: Machine, kind: Kind) -> list[dict[str, str]]:
    """Give the journal's entries of a kind, as an administrator would look for them."""
    told = machine.journalctl("--output=json", f"MESSAGE_ID={kind.id}")
    return [json.loads(line) for line in told.splitlines()]


def test_each_step_of_its_life_can_be_waited_for(machine: Machine) -> None:
    """One entry of each kind, with its fields beside the sentence, from the service's own process."""
    kinds = (logged.STARTED, logged.READY, logged.NOT_JOINED, logged.RELOADED, logged.STOPPING)
    assert [len(entries(machine, kind)) for kind in kinds] == [1] * len(kinds)

    (refused,) = entries(machine, logged.RELOAD_REFUSED)
    assert refused["PRIORITY"] == "3"
    assert refused["_SYSTEMD_UNIT"] == UNIT
    assert "container.web.image" in refused["TFD_REASON"]
    assert [entry["TFD_LISTENER"] for entry in entries(machine, logged.LISTENER_BOUND)] == [
        "127.0.0.1:8080",
        "127.0.0.1:8081",
    ]


def test_the_catalog_explains_them(machine: Machine) -> None:
    """`journalctl -x` tells what a line means and what to do, with the fields in the sentences."""
    machine.run("journalctl", "--update-catalog")
    explained = machine.journalctl("-x", "-u", UNIT)
    listed = machine.run("journalctl", "--list-catalog").stdout

    assert "Subject: tfd has joined no location" in explained
    assert "tflocation invite NAME" in explained
    assert "Subject: The configuration was not reloaded" in explained
    assert "container.web.image" in explained.partition("The first mistake is:")[2]
    assert "Subject: Listening on 127.0.0.1:8080" in explained
    assert "@TFD_" not in explained
    assert [kind.name for kind in logged.KINDS if kind.id not in listed] == []


def test_what_a_container_writes_is_under_its_name(machine: Machine) -> None:
    """`journalctl -t web` shows it line by line, and the fields tell where it came from."""
    log = Log(JournalSink(f"/proc/{machine.leader}/root/run/systemd/journal/socket"))
    loop = Loop(log)
    log.attend(loop)
    fields = {"container": "web", "location": "home", "node": "attic"}
    for number in range(LINES):
        log.output("web", f'192.0.2.1 - "GET /{number} HTTP/1.1" 200', fields)
    run_until(loop, lambda: not log.behind, LIMIT, "the journal to take all")
    log.close()
    loop.close()

    def shown() -> list[str]:
        return machine.journalctl("-t", "web", "--output=cat", "--all").splitlines()

    lines = wait_for(lambda: (found := shown()) and len(found) >= LINES and found, LIMIT, "the lines")
    last = machine.journalctl("-t", "web", "TFD_NODE=attic", "-n", "1", "--output=cat")
    assert lines == [f'192.0.2.1 - "GET /{number} HTTP/1.1" 200' for number in range(LINES)]
    assert last.strip() == lines[-1]
