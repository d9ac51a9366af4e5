"""`tf` and `tfnz` as a person runs them: processes with pipes, against a real engine."""

import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.forwarder import Forwarder
from tests.support.images import archive, busybox_image, docker_oci_files, layer, oci_files
from tests.support.podman import PROGRAM, podman
from tests.support.product import Location, free_port
from tests.support.user import LIMIT, User
from tests.support.waiting import wait_for

pytestmark = pytest.mark.engine
PAGE = b"a page of the container\n"
LIST = """
from tfnz import account
from tfnz.location import Location
location = Location(quiet=True)
print(len(location.connection.call("container.list", {})["containers"]))
location.disconnect()
"""


@pytest.fixture
def containers(user: User) -> Callable[[], int]:
    """Tells how many containers the user's account has."""

    def counted() -> int:
        done = user.python(LIST)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    return counted


def page(port: int, host: str = "127.0.0.1") -> bytes:
    """Fetch the page that a container serves, tried until it answers."""

    def fetched() -> bytes | None:
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as answer:
                content: bytes = answer.read()
                return content
        except OSError:
            return None

    content = wait_for(fetched, LIMIT, f"a page on port {port}")
    assert content is not None
    return content


@contextmanager
def running(user: User, directory: Path, *arguments: str, **how: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A `tf` that runs, and what its --json file says once all is there; it is ended with SIGTERM."""
    file = directory / "run.json"
    with user.start("--json", str(file), *arguments, log=directory / "log", **how) as process:
        try:

            def written() -> dict[str, Any] | None:
                assert process.poll() is None, (directory / "log").read_text()
                document: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
                return document if "tunnels" in document else None

            document = wait_for(written, LIMIT, "the --json file")
            assert document is not None
            yield process, document
        finally:
            process.terminate()
            process.wait(LIMIT)


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_clean_up(
    user: User, tmp_path: Path, number: signal.Signals, containers: Callable[[], int]
) -> None:
    """The container is destroyed, the file removed, and the exit tells the signal."""
    with running(user, tmp_path, "-p", "0:80", "web") as (process, _):
        process.send_signal(number)
        assert process.wait(LIMIT) == -number

    wait_for(lambda: containers() == 0, LIMIT, "the location to be empty")
    assert not (tmp_path / "run.json").exists()


def test_nohup_outlives_the_login(user: User, tmp_path: Path) -> None:
    """With SIGHUP ignored and standard input closed, as `sudo nohup tf image &` has it, it serves on."""
    closed = ["nohup", "sh", "-c", 'exec "$@" <&-', "sh"]

    with running(user, tmp_path, "-p", "0:80", "web", prefix=closed) as (process, document):
        process.send_signal(signal.SIGHUP)
        assert page(document["tunnels"][0]["local"]) == PAGE
        assert process.poll() is None


@pytest.mark.covers("tf --json")
def test_the_json_file_has_one_owner(user: User, tmp_path: Path) -> None:
    """A second command on it fails; what is left of a killed one is taken over; other files are safe."""
    file = tmp_path / "run.json"
    with running(user, tmp_path, "-p", "0:80", "web") as (process, _):
        second = user.run("-q", "--json", str(file), "busybox", "echo")
        assert second.returncode == 1
        assert f"belongs to the command that runs as process {process.pid}".encode() in second.stderr
        process.kill()
        process.wait()
    assert file.exists()

    third = user.run("-q", "--json", str(file), "busybox", "cat", "/proc/self/stat")
    (tmp_path / "letter").write_text("dear")
    other = user.run("-q", "--json", str(tmp_path / "letter"), "busybox", "echo")

    assert third.returncode == 0, third.stderr
    assert not file.exists()
    assert other.returncode == 1
    assert (tmp_path / "letter").read_text() == "dear"


def test_an_upload_is_given_up(user: User, tmp_path: Path) -> None:
    """Ctrl-C while an image is sent ends all at once, and the image is not at the location."""
    large = busybox_image(extra=[layer({"data": os.urandom(256 << 20)})], compression="")
    path = archive(tmp_path / "large.tar", docker_oci_files(large, ["given/up:1"]))
    with user.start(str(path)) as process:
        assert process.stderr is not None
        while b"Uploading slabs: " not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
        assert process.returncode == -signal.SIGINT

    assert b"was found nowhere" in user.run("-q", "given/up:1").stderr


def test_a_session_that_is_lost(
    new_user: Callable[[str], User], sdk_location: Location, tmp_path: Path
) -> None:
    """When the location cannot be reached for longer than the lease, that is said, and is an error."""
    person = new_user("lost")
    (address,) = (person.home / ".20ft").glob("*.address")
    with Forwarder(("127.0.0.1", sdk_location.port)) as way:
        address.write_text(f"127.0.0.1:{way.port}\n")
        with running(person, tmp_path, "-p", "0:80", "web") as (process, _):
            way.hole()
            assert process.wait(LIMIT) == 1

    assert "tf: the session with location sdk-home is over: lost for" in (tmp_path / "log").read_text()


def test_a_reader_that_leaves(user: User, containers: Callable[[], int]) -> None:
    """When nobody reads stdout any more, as in `tf ... | head`, all ends."""
    with user.start("-q", "busybox", "sh", "-c", "while :; do echo more; done") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"more\r\n"
        process.stdout.close()
        assert process.wait(LIMIT) == 128 + signal.SIGPIPE

    wait_for(lambda: containers() == 0, LIMIT, "the location to be empty")


def test_errors_are_one_line(user: User, tmp_path: Path, containers: Callable[[], int]) -> None:
    """What failed, with which object, and exit code 1; nothing is left at the location."""
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    wrong = {
        ("-m", "no-such:/mnt", "busybox"): "Could not find volume: no-such",
        ("-f", f"{tmp_path}/none:/x", "busybox"): "No such file or directory",
        ("-w", f"a.example.com::{tmp_path}/none", "busybox"): "Cannot find certificate for ssl: ",
        ("-w", "a.example.com", "busybox", "sleep", "60"): "Failed while publishing to an endpoint: ",
        ("no/such:image",): "Failed while spawning container: image 'no/such:image' was found nowhere",
        ("--location", "nowhere", "busybox"): "Failed while connecting to location: ",
        (
            "-p",
            f"{port}:80",
            "--bind",
            "127.0.0.1",
            "web",
        ): f"cannot listen on 127.0.0.1:{port}: Address already in use",
        ("--offset", "65500", "web"): "port 80 would become 65580",
        ("--json", f"{tmp_path}/no/where", "busybox"): "--json: ",
        ("busybox", "no-such-program"): "",
    }
    with taken:
        for arguments, said in wrong.items():
            done = user.run("-q", *arguments)

            text = done.stderr.decode()
            assert done.returncode != 0, arguments
            assert said in text, (arguments, text)
            assert "Traceback" not in text
            lines = [line for line in text.splitlines() if "To use the local ones" not in line]
            assert len(lines) <= 1, text
    wait_for(lambda: containers() == 0, LIMIT, "the location to be empty")


@pytest.mark.covers("tf .", "tfcache", "tfdescribe")
def test_the_image_that_was_built_last(user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.` is the newest one of the local engine, which is sent; it may be sent before, and described."""
    if PROGRAM is None:
        pytest.skip("podman is not installed")
    image = busybox_image(command=["echo", "the newest"])
    with podman(tmp_path / "storage") as engine:
        engine.load(archive(tmp_path / "newest.tar", docker_oci_files(image, ["localhost/newest:1"])))
        monkeypatch.setattr(user, "docker_host", engine.host)

        described = user.run(".", program="tfdescribe")
        cached = user.run(".", program="tfcache")
        done = user.run(".")

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
