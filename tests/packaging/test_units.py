"""The unit files, on a booted Debian 12 with its own systemd and Python packages."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.debian import TREE
from tests.support.machine import Machine, booted
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.slow]

LIMIT = 30.0
IDLE = """
[container.web]
image = "nginx"
enabled = false
[[listener]]
bind = "127.0.0.1:8080"
container = "web"
port = 80
"""
NOT_JOINED = "no location joined yet: run `tfd join INVITE`"


@pytest.fixture
def machine(machine_root: Path) -> Iterator[Machine]:
    """The machine, booted, with a configuration that needs no location."""
    (machine_root / "etc/tfd.toml").write_text(IDLE)
    with booted(machine_root) as running:
        yield running


def start(machine: Machine, unit: str) -> None:
    """Start a unit, which must succeed."""
    done = machine.run("systemctl", "start", unit)
    assert done.returncode == 0, machine.journal(unit)
    assert machine.property(unit, "ActiveState") == "active"


def test_systemd_understands_both_units(machine: Machine) -> None:
    """`systemd-analyze verify` has nothing to say."""
    units = [f"/etc/systemd/system/{name}.service" for name in ("tfd", "tflocation")]
    done = machine.run("systemd-analyze", "verify", *units)
    assert (done.returncode, done.stderr) == (0, "")


def test_tfd_runs_reloads_restarts_and_stops(machine: Machine) -> None:
    """It tells systemd and the journal how it is, refuses a wrong file, and ends in order."""
    unit = "tfd.service"
    start(machine, unit)
    assert NOT_JOINED in machine.property(unit, "StatusText")
    assert NOT_JOINED in machine.journal(unit)
    assert NOT_JOINED in machine.run("systemctl", "status", unit).stdout
    assert "127.0.0.1:8080" in machine.run("tfd", "status").stdout

    config = machine.root / "etc/tfd.toml"
    config.write_text(IDLE.replace("image", "imgae"))
    assert machine.run("systemctl", "reload", unit).returncode == 0
    wait_for(
        lambda: "last reload refused" in machine.property(unit, "StatusText"), LIMIT, "the reload's refusal"
    )
    refusal = [line for line in machine.journal(unit) if "did you mean 'image'" in line]
    assert len(refusal) == 1
    assert machine.property(unit, "ActiveState") == "active"

    config.write_text(IDLE.replace("8080", "8081"))
    assert machine.run("systemctl", "reload", unit).returncode == 0
    wait_for(lambda: "127.0.0.1:8081" in machine.run("tfd", "status").stdout, LIMIT, "the new listener")

    before = machine.property(unit, "MainPID")
    assert machine.run("systemctl", "restart", unit).returncode == 0
    assert machine.property(unit, "MainPID") not in ("0", before)

    assert machine.run("systemctl", "stop", unit).returncode == 0
    assert machine.property(unit, "Result") == "success"
    assert machine.journal(unit)[-1] == "stopping; the containers run on"


def test_tfd_is_starting_while_a_container_has_time(machine: Machine) -> None:
    """Before its containers answered it is up for its users, and says why it is not ready."""
    unit = "tfd.service"
    (machine.root / "etc/tfd.toml").write_text(IDLE.replace("enabled = false\n", ""))
    assert machine.run("systemctl", "start", "--no-block", unit).returncode == 0
    wait_for(lambda: NOT_JOINED in machine.property(unit, "StatusText"), LIMIT, "tfd's status")
    assert machine.property(unit, "ActiveState") == "activating"
    assert "no location is joined" in machine.run("tfd", "status").stdout
    assert machine.property(unit, "TimeoutStartUSec") == "infinity"


def test_tfd_with_a_wrong_file_fails_once(machine: Machine) -> None:
    """Every mistake is one line of the journal, and systemd does not try again what cannot work."""
    unit = "tfd.service"
    (machine.root / "etc/tfd.toml").write_text(IDLE.replace("8080", "99999").replace("image", "imgae"))
    assert machine.run("systemctl", "start", unit).returncode != 0
    assert machine.property(unit, "ActiveState") == "failed"
    assert machine.property(unit, "ExecMainStatus") == "2"
    assert all(line.startswith("/etc/tfd.toml:") for line in machine.journal(unit))
    assert len(machine.journal(unit)) >= len(("image is missing", "imgae is unknown", "99999 is no port"))


@pytest.mark.parametrize("configured", [False, True], ids=["no file", "the example file"])
def test_tflocation_waits_for_its_engine(machine: Machine, configured: bool) -> None:
    """Without an engine, and with or without a file, it runs, says what is missing, reloads and stops."""
    unit = "tflocation.service"
    config = machine.root / "etc/tflocation.toml"
    config.unlink(missing_ok=True)
    if configured:
        shutil.copy(TREE / "conf/tflocation.toml", config)
    start(machine, unit)
    said = wait_for(
        lambda: [line for line in machine.journal(unit) if "no engine runs on this machine" in line],
        LIMIT,
        "a line about the engine",
    )
    assert len(said) == 1
    status = machine.run("tflocation", "status")
    assert status.returncode == 0
    assert "no engine runs" in status.stdout
    assert machine.run("systemctl", "reload", unit).returncode == 0
    wait_for(
        lambda: any("configuration reloaded" in line for line in machine.journal(unit)), LIMIT, "the reload"
    )
    assert machine.run("systemctl", "stop", unit).returncode == 0
    assert machine.property(unit, "Result") == "success"
