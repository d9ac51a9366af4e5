"""Ssh servers onto containers, used by OpenSSH's own clients, rsync and an editor."""

import hashlib
import os
import socket
import stat
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import debian_image
from tests.support.product import Location as Service
from tests.support.product import free_port
from tests.support.ssh_client import LIMIT, SshClient, connected, listening, run, running
from tests.support.terminal import Terminal
from tests.support.waiting import wait_for
from tfnz.container import Container
from tfnz.location import Location
from tfnz.ssh import SshServer

pytestmark = [pytest.mark.engine, pytest.mark.root]

MIB = 1 << 20
PAGE = b"served inside\n"


@pytest.fixture(scope="module")
def tools(
    tmp_path_factory: pytest.TempPathFactory, sdk_location: Service, module_session: Location
) -> Container:
    """A container with bash, rsync and socat, and a page on port 80."""
    work = tmp_path_factory.mktemp("tools")
    debian_image.build(
        work / "tools.tar", work, "rsync,socat,bash", files={}, entrypoint=["/bin/sleep", "1000000"]
    )
    sdk_location.add_image(work / "tools.tar", "tools")
    container = module_session.node().spawn_container("tools")
    container.put("/srv/index.html", PAGE)
    container.spawn_process("busybox httpd -f -p 80 -h /srv")
    container.wait_tcp(80)
    return container


@pytest.fixture(scope="module")
def server(tools: Container) -> Iterator[SshServer]:
    """An ssh server onto it."""
    with tools.create_ssh_server(0) as running:
        yield running


@pytest.fixture
def client(server: SshServer, tmp_path: Path) -> SshClient:
    """OpenSSH's programs for that server."""
    return SshClient(server, tmp_path)


@pytest.mark.covers("tfnz.ssh.SshServer")
@pytest.mark.covers(
    "Container.create_ssh_server", "SshServer.port", "SshServer.start", "SshServer.transports"
)
def test_a_command(client: SshClient) -> None:
    """A command's output and errors come apart, and its exit status is ssh's."""
    done = client.run("echo out; echo err >&2; exit 5")

    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 5)


def test_a_compound_command(client: SshClient) -> None:
    """The line is a shell's: quotes, pipes, variables."""
    assert client.run("""for x in a 'b c'; do echo "<$x>"; done | sort -r""").stdout == b"<b c>\n<a>\n"


def test_input_and_output_of_a_command(client: SshClient) -> None:
    """8 MiB go in and come out whole; the end of input is told."""
    data = os.urandom(8 * MIB)

    assert hashlib.sha256(client.run("cat", given=data).stdout).digest() == hashlib.sha256(data).digest()


def test_a_shell(client: SshClient) -> None:
    """Without a command there is a login shell, whose exit status is ssh's."""
    done = client.run(given=b"echo $0 $((40 + 2)); exit 3\n")

    assert done.stdout.startswith(b"-bash 42") or done.stdout.endswith(b" 42\n")
    assert done.returncode == 3


def test_a_terminal_and_its_window(client: SshClient) -> None:
    """An interactive shell has the terminal's name and size, and learns of changes; Ctrl-C interrupts."""
    with Terminal(client.ssh("-tt"), {**os.environ, "TERM": "vt100"}, columns=91, rows=17) as terminal:
        terminal.send(b"echo size $(stty size) on $TERM\n")
        terminal.wait_for(b"size 17 91 on vt100")
        terminal.send(b"until [ \"$(stty size)\" = '45 123' ]; do sleep 0.1; done; echo seen $((40 + 2))\n")
        terminal.resize(123, 45)
        terminal.wait_for(b"seen 42")
        # Of a shell of its own: an interactive one that is interrupted while it begins a process may stop.
        terminal.send(b"sh -c 'echo up $((40 + 3)); exec sleep 1000'\n")
        terminal.wait_for(b"up 43")
        terminal.send(b"\x03")
        # The terminal throws away what was typed before the interrupt has been taken: termios(3), ISIG.
        terminal.wait_for(b"^C")
        terminal.wait_for(b"# ")
        terminal.send(b"echo still $((1 + 1)) here; exit 6\n")
        terminal.wait_for(b"still 2 here")
        assert terminal.wait() == 6


def test_a_client_that_goes_takes_its_command_along(client: SshClient, tools: Container) -> None:
    """When ssh ends, so does what it ran."""
    with running(client.ssh("-tt", "exec sleep 98765")):
        wait_for(lambda: b"98765" in tools.run_process("ps")[0], LIMIT, "the command")

    wait_for(lambda: b"sleep 98765" not in tools.run_process("ps")[0], LIMIT, "its end")


def test_scp(client: SshClient, tmp_path: Path) -> None:
    """Scp copies files and directories both ways, modes and times included."""
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "file").write_bytes(os.urandom(MIB))
    (tmp_path / "tree" / "tool").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "tree" / "tool").chmod(0o755)
    scp = ["scp", *client.options, "-P", str(client.server.port), "-rp"]
    up = run([*scp, str(tmp_path / "tree"), f"{client.host}:/tmp/scp"])
    down = run([*scp, f"{client.host}:/tmp/scp", str(tmp_path / "back")])

    assert (up.returncode, down.returncode) == (0, 0), (up.stderr, down.stderr)
    assert (tmp_path / "back/deep/file").read_bytes() == (tmp_path / "tree/deep/file").read_bytes()
    assert stat.S_IMODE((tmp_path / "back/tool").stat().st_mode) == 0o755
    assert int((tmp_path / "back/tool").stat().st_mtime) == int((tmp_path / "tree/tool").stat().st_mtime)


def test_sftp(client: SshClient, tools: Container, tmp_path: Path) -> None:
    """Sftp lists, makes, renames, removes, reads and writes, by paths from the root."""
    (tmp_path / "local").write_bytes(b"content")
    batch = f"""
        mkdir /tmp/sftp
        put {tmp_path / "local"} /tmp/sftp/one
        rename /tmp/sftp/one /tmp/sftp/two
        chmod 600 /tmp/sftp/two
        symlink /tmp/sftp/two /tmp/sftp/link
        get /tmp/sftp/link {tmp_path / "back"}
        ls -1 /tmp/sftp
        mkdir /tmp/sftp/gone
        rmdir /tmp/sftp/gone
        rm /tmp/sftp/link
    """
    done = run(
        ["sftp", *client.options, "-P", str(client.server.port), "-b", "-", client.host], batch.encode()
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back").read_bytes() == b"content"
    assert b"/tmp/sftp/two" in done.stdout
    assert tools.run_process("ls /tmp/sftp; stat -c %a /tmp/sftp/two")[0] == b"two\n600\n"


def test_sftp_of_a_large_file(client: SshClient, tmp_path: Path) -> None:
    """32 MiB go in and come back whole by sftp."""
    data = os.urandom(32 * MIB)
    (tmp_path / "large").write_bytes(data)
    batch = f"put {tmp_path / 'large'} /tmp/large\nget /tmp/large {tmp_path / 'back'}\n"
    done = run(
        ["sftp", *client.options, "-P", str(client.server.port), "-b", "-", client.host], batch.encode()
    )

    assert done.returncode == 0, done.stderr
    assert hashlib.sha256((tmp_path / "back").read_bytes()).digest() == hashlib.sha256(data).digest()


def test_rsync(client: SshClient, tools: Container, tmp_path: Path) -> None:
    """Rsync brings a tree over ssh, then only what changed, then removes what is gone."""
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (tree / name).write_bytes(os.urandom(100_000))
    rsync = ["rsync", "-a", "--delete", "-e", client.command, f"{tree}/", f"{client.host}:/tmp/rsync/"]
    first = run(rsync)
    (tree / "a").unlink()
    (tree / "b").write_bytes(b"changed")
    second = run([*rsync, "--stats"])

    assert (first.returncode, second.returncode) == (0, 0), (first.stderr, second.stderr)
    assert tools.run_process("cd /tmp/rsync; find . -type f | sort; cat b")[0] == b"./b\n./sub/c\nchanged"


def test_an_editor(client: SshClient, tools: Container, tmp_path: Path) -> None:
    """Vim opens a file in the container by its netrw, which starts scp, changes it and writes it back."""
    tools.put("/srv/edited.txt", b"one two\n")
    scp = " ".join(["scp", "-q", *client.options])
    settings = [
        f"let g:netrw_scp_cmd = '{scp}'",
        f"let g:netrw_list_cmd = 'ssh {' '.join(client.options)} USEPORT HOSTNAME ls -Fa'",
        "runtime plugin/netrwPlugin.vim",
        f"edit scp://{client.host}:{client.server.port}//srv/edited.txt",
        "%s/two/three/",
        "write",
        "quitall!",
    ]
    words = (word for line in settings for word in ("-c", line))
    run(["vim", "-N", "-e", "-s", "-u", "NONE", "-i", "NONE", *words], environment={"HOME": str(tmp_path)})

    assert tools.fetch("/srv/edited.txt") == b"one three\n"


def test_a_remote_mode(client: SshClient, tmp_path: Path) -> None:
    """What editors' remote modes do goes over one connection at once: commands, sftp, a forwarded port."""
    control = str(tmp_path / "control")
    port = free_port()
    master = client.ssh("-MN", f"-S{control}", f"-L127.0.0.1:{port}:localhost:80")
    with running(master):
        wait_for(lambda: Path(control).exists(), LIMIT, "the master connection")
        shared = client.ssh(f"-S{control}")
        listening = subprocess.Popen([*shared, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert listening.stdin is not None
        listening.stdin.write(b"still here")
        sent = run(
            ["sftp", *client.options, "-o", f"ControlPath={control}", "-b", "-", client.host],
            b"ls /srv\n",
        )
        assert b"index.html" in sent.stdout, sent.stderr
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=LIMIT) as page:
            assert page.read() == PAGE
        assert run([*shared, "id -u"]).stdout == b"0\n"
        assert listening.communicate(timeout=LIMIT)[0] == b"still here"


def test_a_forwarded_port_carries_half_closes(client: SshClient, tools: Container) -> None:
    """A forwarded connection ends in each direction on its own."""
    port = free_port()
    with (
        tools.spawn_process("socat TCP-LISTEN:9999,fork,reuseaddr SYSTEM:sha256sum"),
        running(client.ssh("-N", f"-L127.0.0.1:{port}:anything:9999")),
    ):
        tools.wait_tcp(9999)
        wait_for(lambda: any(f"127.0.0.1:{port}" in line for line in listening()), LIMIT, "ssh to listen")
        data = os.urandom(4 * MIB)
        with connected(port) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
    assert answer.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_a_port_forwarded_back(client: SshClient, tools: Container) -> None:
    """With socat in the container, its connections reach this side of ssh (-R), several at once."""
    with socket.create_server(("127.0.0.1", 0)) as here:
        here.settimeout(LIMIT)
        with running(client.ssh("-N", f"-R7777:127.0.0.1:{here.getsockname()[1]}")):
            asked = "until exec 3<>/dev/tcp/127.0.0.1/7777; do sleep 0.1; done; echo question >&3; cat <&3"
            callers = [tools.spawn_process(f"bash -c '{asked}' 2>/dev/null") for _ in range(3)]
            for _ in callers:
                connection, _ = here.accept()
                with connection:
                    assert connection.recv(100) == b"question\n"
                    connection.sendall(b"answer\n")
            assert [caller.wait_until_complete(LIMIT) for caller in callers] == [b"answer\n"] * 3
