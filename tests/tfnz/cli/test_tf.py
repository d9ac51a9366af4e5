"""`tf` and `tfnz` as a person runs them: processes with pipes, against a real engine."""

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.images import archive, busybox_image, docker_oci_files, oci_files
from tests.support.podman import PROGRAM, podman
from tests.support.product import Location, free_port
from tests.support.running_tf import page, running
from tests.support.user import LIMIT, User
from tests.support.waiting import wait_for
from tests.tfnz.conftest import PAGE

pytestmark = pytest.mark.engine


@pytest.mark.covers("tf")
def test_output_and_exit_code(user: User, containers: Callable[[], int]) -> None:
    """What the process writes is on stdout, the log on stderr, and its exit code is ours; nothing is left."""
    done = user.run("busybox", "sh", "-c", "echo to the terminal; exit 7")

    assert done.stdout == b"to the terminal\r\n", done.stderr
    assert done.returncode == 7
    log = done.stderr.decode()
    for line in (
        "Connecting to: sdk-home:",
        "Handshake completed",
        "Spawning container: ",
        "Container is running: ",
    ):
        assert line in log
    assert "No layers need uploading for: busybox" in log
    assert "Disconnecting: sdk-home" in log
    wait_for(lambda: containers() == 0, LIMIT, "the location to be empty")


@pytest.mark.covers("tf --quiet", "tf --verbose")
def test_how_much_is_logged(user: User) -> None:
    """Nothing with -q, more with -v."""
    quiet, verbose = user.run("-q", "busybox", "echo", "x"), user.run("-v", "busybox", "echo", "x")

    assert (quiet.stdout, quiet.stderr) == (b"x\r\n", b"")
    assert b"Message loop started" in verbose.stderr


@pytest.mark.covers("tf run", "tf --env", "tf --file", "tf --command")
def test_what_the_container_gets(user: User, tmp_path: Path) -> None:
    """Variables, files with their name, and another program."""
    (tmp_path / "greeting.txt").write_bytes("grüße\n".encode())
    script = "cat /etc/put/greeting.txt; echo $A $HOME_OF"

    done = user.run(
        *("run", "-q", "-e", "A=é 1", "-e", "HOME_OF=x", "-f", f"{tmp_path}/greeting.txt:/etc/put/"),
        *("-c", "/bin/sh", "busybox", "-c", script),
    )

    assert done.stdout.decode().split() == ["grüße", "é", "1", "x"], done.stderr
    assert done.returncode == 0


@pytest.mark.covers("tf -i")
def test_input_and_its_end_are_passed_on(user: User) -> None:
    """Without a terminal a pipe serves, and its end ends what reads it."""
    done = user.run("-q", "-i", "busybox", "sh", "-c", "cat; echo the end", given=b"one line\n")

    assert b"one line\r\n" in done.stdout
    assert done.stdout.endswith(b"the end\r\n")
    assert done.returncode == 0


@pytest.mark.covers("tf --offset", "tf --json")
def test_exposed_ports_with_an_offset(user: User, tmp_path: Path) -> None:
    """Each TCP port that the image exposes is reached, on all addresses, IPv4 and IPv6."""
    port = free_port()

    with running(user, tmp_path, "--offset", str(port - 80), "web") as (process, document):
        assert document["tunnels"] == [{"local": port, "port": 80}]
        assert document["pid"] == process.pid
        assert document["ip"].count(".") == 3
        assert page(port) == PAGE
        assert page(port, "[::1]") == PAGE

    assert not (tmp_path / "run.json").exists()


def test_without_the_right_to_a_port_a_free_one_is_taken(user: User, tmp_path: Path) -> None:
    """An image that exposes port 80 can be run by everybody, and the log says where it is reached."""
    weak = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"]

    with running(user, tmp_path, "web", prefix=weak) as (_, document):
        (tunnel,) = document["tunnels"]
        assert tunnel["local"] > 1023
        assert page(tunnel["local"]) == PAGE
        assert f"port 80 is reached on {tunnel['local']}" in (tmp_path / "log").read_text()


@pytest.mark.covers("tfnz", "tf --publish")
def test_tfnz_opens_only_what_is_asked_for(user: User, tmp_path: Path) -> None:
    """No tunnel without -p; with it those alone, LOCAL 0 being any free port."""
    for name in ("none", "one"):
        (tmp_path / name).mkdir()
    with running(user, tmp_path / "none", "web", program="tfnz") as (_, document):
        assert document["tunnels"] == []
    with running(user, tmp_path / "one", "-p", "0:80", "--bind", "127.0.0.1", "web", program="tfnz") as (
        _,
        document,
    ):
        assert page(document["tunnels"][0]["local"]) == PAGE


@pytest.mark.covers("tf .", "tfcache", "tfdescribe")
def test_the_image_that_was_built_last(user: User, tmp_path: Path) -> None:
    """`.` is the newest one of the local engine, which is sent; it may be sent before, and described."""
    if PROGRAM is None:
        pytest.skip("podman is not installed")
    image = busybox_image(command=["echo", "the newest"])
    with podman(tmp_path / "storage") as engine:
        engine.load(archive(tmp_path / "newest.tar", docker_oci_files(image, ["localhost/newest:1"])))
        builder = User(user.home, engine.host)

        described = builder.run(".", program="tfdescribe")
        cached = builder.run(".", program="tfcache")
        done = builder.run(".")

    assert described.returncode == 0, described.stderr
    assert json.loads(described.stdout)["Config"]["Cmd"] == ["echo", "the newest"]
    assert cached.returncode == 0, cached.stderr
    assert done.stdout == b"the newest\r\n", done.stderr
    assert b"Layers to upload: " in done.stderr or b"No layers need uploading" in done.stderr


def test_archives_and_pipes(user: User, tmp_path: Path) -> None:
    """An archive by its path, and what `docker save` writes into a pipe."""
    image = busybox_image(command=["echo", "archived"])
    path = archive(tmp_path / "image.tar", oci_files({"latest": image}))
    saved = archive(tmp_path / "saved.tar", docker_oci_files(image, ["piped:1"]))

    named = user.run("-q", f"oci-archive:{path}")
    piped = user.run("-q", "-", given=saved.read_bytes())
    nothing = user.run("-q", "-", given=b"")

    assert (named.stdout, piped.stdout) == (b"archived\r\n", b"archived\r\n"), piped.stderr
    assert nothing.returncode == 1
    assert b"is not a tar archive" in nothing.stderr


@pytest.mark.covers("tf --mount")
def test_volumes(user: User) -> None:
    """A volume by its tag, its uuid, and both; what one container writes the next one reads."""
    made = user.run("create", "shelf", program="tfvolumes")
    assert made.returncode == 0, made.stderr
    name = made.stdout.decode().strip()
    script = "echo line >> /mnt/book; cat /mnt/book"

    for number, key in enumerate(("shelf", name.partition(":")[0], name)):
        done = user.run("-q", "-m", f"{key}:/mnt/", "busybox", "sh", "-c", script)
        assert done.stdout == b"line\r\n" * (number + 1), done.stderr


@pytest.mark.covers("tf --browser")
def test_the_browser(user: User, tmp_path: Path) -> None:
    """It is opened at the container's page, once that answers."""
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.new; mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    with_browser = ["env", f"BROWSER={browser}"]

    with running(
        user, tmp_path, "-p", "0:80", "--browser", "--path", "index.html", "web", prefix=with_browser
    ):
        wait_for(opened.exists, LIMIT, "the browser")

    assert opened.read_text().startswith("http://localhost:")
    assert opened.read_text().strip().endswith("/index.html")


@pytest.mark.covers("tf --ssh", "tf -s", "tf --sleep")
def test_an_ssh_server_onto_a_sleeping_container(user: User, tmp_path: Path) -> None:
    """The container's process does not run, and the server greets."""
    port = free_port()
    with (
        running(user, tmp_path, "-z", "-s", str(port), "busybox", "echo", "awake"),
        socket.create_connection(("127.0.0.1", port), 10) as connection,
    ):
        assert connection.recv(8) == b"SSH-2.0-"

    log = (tmp_path / "log").read_text()
    assert f"SSH server listening: ssh -p {port} root@localhost" in log
    assert "awake" not in log


class TestWithoutAnAccount:
    """The first run."""

    def test_what_to_do_is_said(self, tmp_path: Path) -> None:
        """Which file is missing, and how an account is made."""
        done = User(tmp_path).run("nginx")

        assert done.returncode == 1
        assert f"{tmp_path}/.20ft/default_location is missing" in done.stderr.decode()
        assert b"tf init INVITE" in done.stderr

    def test_help_needs_none(self, tmp_path: Path) -> None:
        """Neither do wrong options, to be told wrong."""
        person = User(tmp_path)

        assert person.run("--help").returncode == 0
        assert person.run("--nonsense", "x").returncode == 2

    def test_location_and_token(self, tmp_path: Path, sdk_location: Location) -> None:
        """The two words of 20ft, the second being the invite, make an account that can be used."""
        person = User(tmp_path)
        bad = person.run("home", "not-an-invite")
        assert bad.returncode == 1
        assert b"no account was made" in bad.stderr

        made = person.run("home", sdk_location.invite("two-words"))

        assert made.stdout == b"Created OK for: sdk-home\n", made.stderr
        assert person.run("-q", "busybox", "echo", "mine").stdout == b"mine\r\n"


def test_a_command_after_options_is_asked_about(user: User) -> None:
    """`tf -q ps` may mean the command or the image: which one has to be said."""
    done = user.run("-q", "ps")

    assert done.returncode == 2
    assert b"'tf run ...' for the image" in done.stderr


def test_standard_files_may_all_be_closed(user: User) -> None:
    """Started without descriptors 0 to 2, it still runs a container to its end."""
    command = [
        "sh",
        "-c",
        'exec "$@" <&- >&- 2>&-',
        "sh",
        *user.command("-q", "busybox", "sh", "-c", "exit 5"),
    ]

    assert subprocess.run(command, env=user.environment, timeout=LIMIT, check=False).returncode == 5
