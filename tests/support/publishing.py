"""A booted machine whose tflocation publishes names on the web, and a look at what is served."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.support.acme_server import Ports, acme_server
from tests.support.authority import Authority
from tests.support.debian import WEB
from tests.support.machine import Machine
from tflocation.web import store
from tflocation.web.clusters import Cluster

APT_LIMIT = 120.0
OWN, FETCHED = "own.test", "fetched.test"
WEB_CONFIG = """
[web]
acme_directory = "https://localhost:14000/dir"
acme_email = "admin@own.test"
acme_ca = "/etc/acme-ca.pem"
"""
APT = "DEBIAN_FRONTEND=noninteractive apt-get --yes --no-install-recommends"


def install_web(machine: Machine) -> None:
    """Install what the web gateway needs, as its administrator does."""
    done = machine.run("sh", "-c", f"{APT} install {' '.join(WEB)}", limit=APT_LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    # That of Debian's package, which has nothing to do with it.
    assert machine.run("systemctl", "disable", "--now", "haproxy").returncode == 0


@contextmanager
def publishing(machine: Machine, directory: Path) -> Iterator[Path]:
    """Give the machine two names to publish, one with a certificate of its own; gives who signed that.

    An ACME server is in the machine's network. A tflocation that runs afterwards is stopped.
    """
    install_web(machine)
    authority = Authority()
    known = machine.root / "etc/own-ca.pem"
    known.write_bytes(authority.certificate)
    clusters = [
        Cluster("alice", "1", "s", OWN, (), certificate=b"".join(reversed(authority.issue(OWN)))),
        Cluster("alice", "2", "s", FETCHED, ()),
    ]
    state = machine.root / "var/lib/tflocation"
    (state / "web").mkdir(mode=0o700, parents=True, exist_ok=True)
    store.save(state / "web/clusters.json", clusters)
    config = machine.root / "etc/tflocation.toml"
    config.write_text(WEB_CONFIG)
    (machine.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    within = ("nsenter", "-t", str(machine.leader), "-n")
    ports = Ports(acme=14000, management=15000, dns=53, http=80, https=443)
    life = 86400
    with acme_server(directory, ports, "127.0.0.1", life, partial(serves, machine), within) as root:
        shutil.copy(root, machine.root / "etc/acme-ca.pem")
        yield known
    machine.run("systemctl", "stop", "tflocation.service")
    config.unlink()
    shutil.rmtree(state)


def serves(machine: Machine, port: int) -> bool:
    """Tell whether something speaks TLS on a port of the machine's loopback."""
    url = f"https://127.0.0.1:{port}/"
    return machine.run("curl", "--silent", "--insecure", "--max-time", "10", url).returncode == 0


def answer(machine: Machine, url: str, *options: str) -> str:
    """Give the status that a page has, "000" where it cannot be asked for."""
    name = url.split("/")[2]
    hosts = [word for port in (80, 443) for word in ("--resolve", f"{name}:{port}:127.0.0.1")]
    command = ("curl", "--silent", "--max-time", "10", "--output", "/dev/null", "--write-out", "%{http_code}")
    return machine.run(*command, *hosts, *options, url).stdout


def haproxies(machine: Machine) -> list[str]:
    """Give the users as whom HAProxy runs."""
    return sorted(set(machine.run("ps", "-C", "haproxy", "-o", "user=").stdout.split()))
