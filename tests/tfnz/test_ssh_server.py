"""The life of an ssh server onto a container, who may enter it, and the key by which it is known."""

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.product import Location as Service
from tests.support.ssh_client import LIMIT, SshClient, connected, listening, run
from tests.support.user import User
from tests.support.waiting import wait_for
from tfnz.container import Container
from tfnz.location import Location
from tfnz.ssh import SshServer

pytestmark = [pytest.mark.engine, pytest.mark.root]


@pytest.fixture(scope="module")
def server(box: Container) -> Iterator[SshServer]:
    """An ssh server onto a container."""
    with box.create_ssh_server(0) as running:
        yield running


@pytest.fixture
def client(server: SshServer, tmp_path: Path) -> SshClient:
    """OpenSSH's programs for that server."""
    return SshClient(server, tmp_path)


def test_who_may_enter(client: SshClient, tmp_path: Path) -> None:
    """Any user name does, with a key or without; the server is on loopback alone."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=LIMIT)
    for host, options in (("nobody@127.0.0.1", []), ("root@127.0.0.1", ["-i", str(key)])):
        command = ["ssh", *client.options, *options, "-p", str(client.server.port), host, "id -u"]
        assert run(command).stdout == b"0\n"
    others = [line.split()[3] for line in listening() if line.split()[3].endswith(f":{client.server.port}")]
    assert others == [f"127.0.0.1:{client.server.port}"]


def test_the_host_key(client: SshClient, box: Container, at_home: Path, tmp_path: Path) -> None:
    """All servers of a user have one Ed25519 key, which nobody else may read."""
    assert stat.S_IMODE((at_home / ".20ft" / "host_key").stat().st_mode) == 0o600
    client.run("true")
    with box.create_ssh_server(0) as other:
        strict = ["-o", "StrictHostKeyChecking=yes", "-o", "HostKeyAlias=same"]
        known = (tmp_path / "known_hosts").read_text()
        (tmp_path / "known_hosts").write_text("same " + known.split(" ", 1)[1])
        assert "ssh-ed25519" in known
        command = ["ssh", *strict, *client.options, "-p", str(other.port), client.host, "true"]
        assert run(command).returncode == 0
    (at_home / ".20ft" / "host_key").chmod(0o644)
    try:
        with pytest.raises(RuntimeError, match="chmod 600"):
            box.create_ssh_server(0)
    finally:
        (at_home / ".20ft" / "host_key").chmod(0o600)


@pytest.mark.covers("Container.destroy_ssh_server", "Container.ssh_servers", "SshServer.stop")
@pytest.mark.covers("SshServer.uuid", "SshServer.container", "SshServer.node", "SshServer.location")
@pytest.mark.covers("SshServer.run")
def test_starting_and_stopping(box: Container, module_session: Location, tmp_path: Path) -> None:
    """A server that is stopped listens no more and drops its clients; a taken port is an OSError."""
    server = box.create_ssh_server(0)
    assert box.ssh_servers[server.uuid] is server
    assert (server.container(), server.node(), server.location()) == (box, box.node(), module_session)
    server.run()
    with pytest.raises(OSError, match=str(server.port)):
        box.create_ssh_server(server.port)
    client = subprocess.Popen(SshClient(server, tmp_path).ssh("sleep 1000"), stderr=subprocess.DEVNULL)
    wait_for(lambda: server.transports, LIMIT, "the client")
    box.destroy_ssh_server(server)

    assert client.wait(LIMIT) == 255
    assert server.uuid not in box.ssh_servers
    with pytest.raises(ConnectionRefusedError):
        connected(server.port)
    with pytest.raises(ValueError, match="no ssh server"):
        box.destroy_ssh_server(server)
    assert box.run_process("echo goes on")[0] == b"goes on\n"


def test_a_port_forwarded_back_without_socat(box: Container, tmp_path: Path) -> None:
    """Without socat ssh -R is refused, and the connection goes on."""
    with box.create_ssh_server(0) as server:
        client = SshClient(server, tmp_path)
        done = client.run("-oExitOnForwardFailure=yes", "-R7777:127.0.0.1:1", "true")

        assert done.returncode == 255
        assert b"remote port forwarding failed" in done.stderr
        assert client.run("true").returncode == 0


def test_the_end_of_the_container_ends_its_servers(module_session: Location) -> None:
    """With its container a server goes."""
    container = module_session.node().spawn_container("busybox")
    server = container.create_ssh_server(0)
    module_session.node().destroy_container(container)

    with pytest.raises(ConnectionRefusedError):
        connected(server.port)


def test_a_program_that_falls_off_its_end(user: User, sdk_location: Service) -> None:  # noqa: ARG001
    """A program with a server ends when its code does."""
    done = user.python(
        "from tfnz.location import Location\n"
        "container = Location(quiet=True).node().spawn_container('busybox')\n"
        "container.create_ssh_server(0)\n"
        "print('made')\n"
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "made\n", "")
