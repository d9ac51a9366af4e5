"""How `tf` ends: by signals, by errors, by what it loses; and that nothing is left of it at the location."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.forwarder import Forwarder
from tests.support.images import archive, busybox_image, docker_oci_files, layer
from tests.support.product import Location
from tests.support.running_tf import page, running
from tests.support.user import LIMIT, User
from tests.support.waiting import wait_for
from tests.tfnz.conftest import PAGE

pytestmark = pytest.mark.engine


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
