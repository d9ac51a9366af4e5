"""The unit files, on booted Debians 12 and 13 with their own systemd and Python packages."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.debian import TREE, install_programs, layered, shared
from tests.support.knocking import knocking
from tests.support.machine import Machine, booted
from tests.support.publishing import FETCHED, OWN, answer, haproxies, publishing
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.slow]

LIMIT = 30.0
WEB_LIMIT = 90.0
TFD = "tfd.service"
IDLE = """
[container.web]
image = "nginx"
enabled = false
[[listener]]
bind = "127.0.0.1:80"
container = "web"
port = 80
"""
JOINED = """
from pathlib import Path
from tfd.locations.accounts import Account, save_account
from tfd.protocol.address import Address
from tfd.protocol.drivers.transport import Keys
from tfd.protocol.keys import generate
ours, theirs = generate(), generate()
keys = Keys(theirs.public, ours.public, ours.secret)
save_account(Account("attic", "account", (Address("127.0.0.1", 2020),), keys), Path("/var/lib/tfd"))
"""
CHANNELS = 2021
NOT_JOINED = "no location joined yet: run `tfd join INVITE`"
SERVICES = ("tfd", "tflocation")
EXPOSURE = {
    "tfd.service": 12,
    "tfd@blue.service": 12,
    "tfd-bind@x.service": 14,
    "tflocation.service": 25,
    "tflocation-web@x.service": 23,
}
"""Tenths of the points that `systemd-analyze security` may count."""


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def running(
    request: pytest.FixtureRequest, shelf: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A booted machine with our units, for all tests of this file."""
    bare: Path = request.getfixturevalue(request.param)
    name = "installed" if request.param == "bookworm" else f"installed-{request.param}"
    with (
        shared(shelf / name, partial(_install, bare)) as upper,
        layered((upper / "changes", bare), tmp_path_factory.mktemp("units")) as root,
        booted(root) as machine,
    ):
        yield machine


def _install(bare: Path, upper: Path) -> None:
    with layered((bare,), upper) as root:
        install_programs(root)


@pytest.fixture
def machine(running: Machine) -> Iterator[Machine]:
    """The machine with a configuration that needs no location, and with nothing of ours running."""
    configure(running, IDLE)
    yield running
    running.run("systemctl", "stop", "tfd.socket", "tfd@*.service", *(f"{name}.service" for name in SERVICES))
    running.run("systemctl", "reset-failed")
    for path in ("tfd.socket", f"{TFD}.d"):
        added = running.root / "etc/systemd/system" / path
        shutil.rmtree(added) if added.is_dir() else added.unlink(missing_ok=True)
    running.run("systemctl", "daemon-reload")


def configure(machine: Machine, text: str, name: str = "tfd.toml") -> None:
    """Write a configuration into /etc."""
    path = machine.root / "etc" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def start(machine: Machine, unit: str) -> None:
    """Start a unit, which must succeed."""
    done = machine.run("systemctl", "start", unit)
    assert done.returncode == 0, machine.journal(unit)
    assert machine.property(unit, "ActiveState") == "active"


def owner(machine: Machine, unit: str) -> str:
    """Give the name of the user as whom a unit's main process runs."""
    return machine.run("ps", "-o", "user=", "-p", machine.property(unit, "MainPID")).stdout.strip()


def last_lines(machine: Machine, unit: str) -> list[str]:
    """Give what the unit's own process wrote since it was started last."""
    last = f"_SYSTEMD_INVOCATION_ID={machine.property(unit, 'InvocationID')}"
    return machine.journal(unit, last)


def accepts(machine: Machine, port: int) -> bool:
    """Tell whether a client is let in on a port of the machine's loopback."""
    with knocking(machine, port) as knocks:
        pass
    return knocks.refused < knocks.tries


def test_systemd_understands_all_units(machine: Machine) -> None:
    """`systemd-analyze verify` has nothing to say, but for what systemd 252 does not know and leaves out."""
    shutil.copy(TREE / "packaging/tfd.socket", machine.root / "etc/systemd/system")
    done = machine.run(
        "systemd-analyze", "verify", *EXPOSURE, "tfd.socket", "tfd-bind.socket", "tflocation-web.socket"
    )

    said = [line for line in done.stderr.splitlines() if "ignoring: notify-reload" not in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize("unit", EXPOSURE)
def test_the_sandbox_is_tight(machine: Machine, unit: str) -> None:
    """The exposure that `systemd-analyze security` computes is what was promised."""
    done = machine.run("systemd-analyze", "security", "--no-pager", f"--threshold={EXPOSURE[unit]}", unit)
    assert done.returncode == 0, done.stdout


def test_tfd_runs_reloads_restarts_and_stops(machine: Machine) -> None:
    """It tells systemd and the journal how it is, refuses a wrong file, and ends in order; never as root."""
    start(machine, TFD)
    assert owner(machine, TFD) == "tfd"
    capabilities = machine.run("grep", "^CapEff", f"/proc/{machine.property(TFD, 'MainPID')}/status").stdout
    assert capabilities.split()[1].strip("0") == ""
    assert NOT_JOINED in machine.property(TFD, "StatusText")
    assert NOT_JOINED in machine.journal(TFD)
    assert NOT_JOINED in machine.run("systemctl", "status", TFD).stdout
    assert "127.0.0.1:80" in machine.run("tfd", "status").stdout

    configure(machine, IDLE.replace("image", "imgae"))
    assert machine.run("systemctl", "reload", TFD).returncode == 0
    assert "last reload refused" in machine.property(TFD, "StatusText")
    assert len([line for line in machine.journal(TFD) if "did you mean 'image'" in line]) == 1
    assert machine.property(TFD, "ActiveState") == "active"

    configure(machine, IDLE.replace(":80", ":81"))
    assert machine.run("systemctl", "reload", TFD).returncode == 0
    assert "127.0.0.1:81" in machine.run("tfd", "status").stdout
    assert len([line for line in machine.journal(TFD) if "configuration reloaded" in line]) == 1

    before = machine.property(TFD, "MainPID")
    assert machine.run("systemctl", "restart", TFD).returncode == 0
    assert machine.property(TFD, "MainPID") not in ("0", before)

    assert machine.run("systemctl", "stop", TFD).returncode == 0
    assert machine.property(TFD, "Result") == "success"
    assert "stopping; the containers run on" in machine.journal(TFD)[-2:]
    assert not accepts(machine, 81)


def test_without_its_helper_a_low_port_is_refused_with_the_reason(machine: Machine) -> None:
    """A reload that adds one changes nothing then, and the journal says what is missing."""
    configure(machine, IDLE.replace(":80", ":8080"))
    start(machine, TFD)
    assert machine.run("systemctl", "stop", "tfd-bind.socket").returncode == 0
    configure(machine, IDLE.replace(":80", ":82"))
    assert machine.run("systemctl", "reload", TFD).returncode == 0
    assert any("127.0.0.1:82" in line and "tfd-bind.socket" in line for line in last_lines(machine, TFD))
    assert "127.0.0.1:8080" in machine.run("tfd", "status").stdout


def test_nobody_is_refused_while_tfd_dies_hangs_or_restarts(machine: Machine) -> None:
    """Kill -9, a loop that stands still until the watchdog looks, and a restart: clients wait, and get in."""
    drop_in = machine.root / f"etc/systemd/system/{TFD}.d/watchdog.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nWatchdogSec=3\n")
    machine.run("systemctl", "daemon-reload")
    start(machine, TFD)

    def restarts(count: int) -> bool:
        return (machine.property(TFD, "NRestarts"), machine.property(TFD, "ActiveState")) == (
            str(count),
            "active",
        )

    with knocking(machine, 80) as knocks:
        machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", TFD)
        wait_for(lambda: restarts(1), LIMIT, "the restart after kill -9")
        machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", TFD)
        wait_for(lambda: restarts(2), LIMIT, "the restart by the watchdog")
        for _ in range(3):
            assert machine.run("systemctl", "restart", TFD).returncode == 0

    assert knocks.tries > 0
    assert knocks.refused == 0


def test_sockets_of_a_socket_unit_serve_a_listener(machine: Machine) -> None:
    """What the example unit says gives a running tfd its ports, by their name, also over a restart."""
    configure(machine, IDLE)
    start(machine, TFD)
    example = TREE / "packaging/tfd.socket"
    shutil.copy(example, machine.root / "etc/systemd/system")
    configure(machine, IDLE.replace("127.0.0.1:80", "systemd:web"))
    assert machine.run("tfd", "--check").returncode == 0
    said = example.read_text().splitlines()
    commands = [line.removeprefix("#") for line in said if line.startswith("#     systemctl")]
    done = machine.run("sh", "-ec", "\n".join(commands))
    assert done.returncode == 0, done.stderr
    with knocking(machine, 80) as knocks:
        assert machine.run("systemctl", "restart", TFD).returncode == 0
        assert machine.run("systemctl", "reload", TFD).returncode == 0

    assert knocks.refused == 0
    assert "systemd:web" in machine.run("tfd", "status").stdout
    assert machine.property(TFD, "NFileDescriptorStore") == "0"


def test_a_name_that_no_socket_unit_has_is_told(machine: Machine) -> None:
    """The journal says what is missing, in the words of systemd.socket(5)."""
    configure(machine, IDLE.replace("127.0.0.1:80", "systemd:web"))
    assert machine.run("systemctl", "start", "--no-block", TFD).returncode == 0
    wait_for(
        lambda: any("FileDescriptorName=web" in line for line in machine.journal(TFD)), LIMIT, "the error"
    )


def test_tfd_starts_before_the_network_is_there(machine: Machine) -> None:
    """An address that no interface has yet is bound, and works once one has it."""
    configure(machine, IDLE.replace("127.0.0.1:80", "192.0.2.1:80"))
    start(machine, TFD)
    assert any("no interface has the address of 192.0.2.1:80" in line for line in machine.journal(TFD))
    connect = ("curl", "--silent", "--max-time", "1", "http://192.0.2.1/")
    refused = (7, 28)
    assert machine.run(*connect).returncode in refused
    nsenter_ip(machine, "add")
    try:
        # It is held, for its container is not there: the answer is what is late.
        assert machine.run(*connect).returncode not in (7,)
    finally:
        nsenter_ip(machine, "del")


def nsenter_ip(machine: Machine, verb: str) -> None:
    """Give the machine's loopback the address 192.0.2.1, or take it away."""
    done = machine.run("ip", "address", verb, "192.0.2.1/32", "dev", "lo")
    assert done.returncode == 0, done.stderr


def test_tfd_speaks_to_a_location_from_its_sandbox(machine: Machine) -> None:
    """What ZeroMQ and libsodium need of the kernel is there: a location with another key is told of."""
    start(machine, "tflocation.service")
    done = machine.run("python3", "-c", JOINED)
    assert done.returncode == 0, done.stderr
    try:
        start(machine, TFD)
        wait_for(
            lambda: any("ended the handshake" in line for line in machine.journal(TFD)), LIMIT, "an answer"
        )
        assert machine.property(TFD, "NRestarts") == "0"
    finally:
        shutil.rmtree(machine.root / "var/lib/tfd/locations")


def test_instances_are_apart(machine: Machine) -> None:
    """Each has its file, state, sockets and listeners; commands speak to the one that they name."""
    for name, port in (("blue", 8001), ("green", 8002)):
        configure(machine, IDLE.replace(":80", f":{port}"), f"tfd/{name}.toml")
        start(machine, f"tfd@{name}.service")
    assert "127.0.0.1:8001" in machine.run("tfd", "--instance", "blue", "status").stdout
    assert "127.0.0.1:8002" in machine.run("tfd", "--instance", "green", "status").stdout
    assert machine.run("tfd", "status").returncode == 1
    assert machine.run("systemctl", "reload", "tfd@blue.service").returncode == 0
    assert any("configuration reloaded" in line for line in machine.journal("tfd@blue.service"))
    with knocking(machine, 8002) as knocks:
        assert machine.run("systemctl", "restart", "tfd@blue.service", "tfd@green.service").returncode == 0

    assert knocks.refused == 0
    assert (machine.root / "var/lib/tfd-blue").is_dir()


def test_a_configuration_may_be_kept_from_other_users(machine: Machine) -> None:
    """Its group is enough; where tfd may not read it, the journal says so."""
    assert machine.run("chmod", "600", "/etc/tfd.toml").returncode == 0
    assert machine.run("systemctl", "start", TFD).returncode != 0
    assert "/etc/tfd.toml" in machine.journal(TFD)[-1]
    machine.run("systemctl", "reset-failed")
    assert machine.run("chgrp", "tfd", "/etc/tfd.toml").returncode == 0
    assert machine.run("chmod", "640", "/etc/tfd.toml").returncode == 0
    start(machine, TFD)
    machine.run("chmod", "644", "/etc/tfd.toml")


def test_tfd_is_starting_while_a_container_has_time(machine: Machine) -> None:
    """Before its containers answered it is up for its users, and says why it is not ready."""
    configure(machine, IDLE.replace("enabled = false\n", ""))
    assert machine.run("systemctl", "start", "--no-block", TFD).returncode == 0
    wait_for(lambda: NOT_JOINED in machine.property(TFD, "StatusText"), LIMIT, "tfd's status")
    assert machine.property(TFD, "ActiveState") == "activating"
    assert "no location is joined" in machine.run("tfd", "status").stdout
    assert machine.property(TFD, "TimeoutStartUSec") == "1min 30s"


def test_tfd_with_a_wrong_file_fails_once(machine: Machine) -> None:
    """Every mistake is one line of the journal, and systemd does not try again what cannot work."""
    configure(machine, IDLE.replace(":80", ":99999").replace("image", "imgae"))
    assert machine.run("systemctl", "start", TFD).returncode != 0
    assert machine.property(TFD, "ActiveState") == "failed"
    assert machine.property(TFD, "ExecMainStatus") == "2"
    lines = last_lines(machine, TFD)
    assert all(line.startswith("/etc/tfd.toml:") for line in lines)
    assert len(lines) >= len(("image is missing", "imgae is unknown", "99999 is no port"))


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
        lambda: [line for line in last_lines(machine, unit) if "no engine runs on this machine" in line],
        LIMIT,
        "a line about the engine",
    )
    assert len(said) == 1
    status = machine.run("tflocation", "status")
    assert status.returncode == 0
    assert "no engine runs" in status.stdout
    assert machine.run("systemctl", "reload", unit).returncode == 0
    assert [line for line in last_lines(machine, unit) if "configuration reloaded" in line]
    config.write_text("x = 1\n")
    assert machine.run("systemctl", "reload", unit).returncode == 0
    assert "last reload refused" in machine.property(unit, "StatusText")
    config.unlink()
    with knocking(machine, CHANNELS) as knocks:
        assert machine.run("systemctl", "restart", unit).returncode == 0
    assert knocks.refused == 0
    assert machine.run("systemctl", "stop", unit).returncode == 0
    assert machine.property(unit, "Result") == "success"


@pytest.fixture
def published(machine: Machine, tmp_path: Path) -> Iterator[Path]:
    """The machine has two names to publish; the certificate of who signed that of the first."""
    with publishing(machine, tmp_path) as known:
        yield known


@pytest.mark.parametrize("running", ["bookworm"], indirect=True)
def test_the_web_is_served_from_the_sandbox(machine: Machine, published: Path) -> None:
    """HAProxy serves names with their certificates, and lego fetches one; both end with tflocation."""
    unit = "tflocation.service"
    start(machine, unit)
    without_containers, elsewhere = "503", "307"
    trusted = ("--cacert", f"/etc/{published.name}")
    wait_for(
        lambda: answer(machine, f"https://{OWN}/", *trusted) == without_containers,
        LIMIT,
        "the name with a certificate",
    )
    assert haproxies(machine) == ["haproxy", "root"]
    assert answer(machine, f"http://{OWN}/") == elsewhere
    wait_for(
        lambda: answer(machine, f"https://{FETCHED}/", "--insecure") == without_containers,
        WEB_LIMIT,
        "the name whose certificate is fetched",
    )
    assert any("certificate fetched" in line for line in last_lines(machine, unit))

    assert machine.run("systemctl", "restart", unit).returncode == 0
    wait_for(
        lambda: answer(machine, f"https://{FETCHED}/", "--insecure") == without_containers,
        LIMIT,
        "the name after a restart",
    )
    machine.run("systemctl", "kill", "--kill-whom=all", "--signal=KILL", unit)
    wait_for(lambda: machine.property(unit, "NRestarts") == "1", LIMIT, "the restart after kill -9")
    wait_for(
        lambda: answer(machine, f"https://{OWN}/", *trusted) == without_containers,
        LIMIT,
        "the name after kill -9",
    )
    assert machine.run("systemctl", "stop", unit).returncode == 0
    wait_for(lambda: not haproxies(machine), LIMIT, "the end of HAProxy")
