"""`tf -ti` at a terminal: keys, window, the way out; and the progress bar."""

import os
from pathlib import Path

import pytest

from tests.support.images import archive, busybox_image, layer, oci_files
from tests.support.terminal import Terminal
from tests.support.user import User

pytestmark = pytest.mark.engine
SHELL = ("busybox", "sh", "-c", "PS1='ready> ' exec sh")


@pytest.mark.covers("tf -ti", "tfnz.cli.Interactive")
def test_a_shell(user: User) -> None:
    """Keys go to the container, Ctrl-C too; the terminal is given back, and the shell's exit code is ours."""
    with Terminal(user.command("-q", "-ti", *SHELL), user.environment) as screen:
        screen.wait_for(b"press ^] three times")
        screen.wait_for(b"ready> ")
        assert screen.raw
        screen.send(b"sh -c 'echo run''ning; sleep 1000; echo wo''ken'\r")
        screen.wait_for(b"running\r\n")
        screen.send(b"\x03")
        screen.wait_for(b"ready> ")
        screen.send(b"echo $((20 + 2))\r")
        screen.wait_for(b"22\r\n")
        screen.send(b"exit 9\r")

        assert screen.wait() == 9


@pytest.mark.covers("tf -t")
def test_the_window(user: User) -> None:
    """The terminal in the container has the size of the window, and follows it."""
    wait = b"until [ \"$(busybox stty size 2>&1)\" = '%s' ]; do sleep 0.1; done; echo size of %s''x\r"
    with Terminal(user.command("-q", "-t", *SHELL), user.environment, 101, 37) as screen:
        screen.wait_for(b"ready> ")
        screen.send(wait % (b"37 101", b"101"))
        screen.wait_for(b"size of 101x\r\n")
        screen.resize(77, 22)
        screen.send(wait % (b"22 77", b"77"))
        screen.wait_for(b"size of 77x\r\n")
        screen.send(b"exit\r")
        screen.wait()


def test_the_way_out(user: User) -> None:
    """^] three times ends the session, even if the process reads nothing; twice does not."""
    with Terminal(user.command("-ti", "busybox", "sleep", "1000"), user.environment) as screen:
        screen.wait_for(b"press ^] three times")
        screen.send(b"\x1d\x1dx")
        screen.send(b"\x1d\x1d\x1d")
        screen.wait_for(b"Disconnecting: sdk-home")

        assert screen.wait() == 0
        assert not screen.raw


def test_two_keys_are_no_way_out(user: User) -> None:
    """What is typed between them counts."""
    with Terminal(user.command("-q", "-ti", *SHELL), user.environment) as screen:
        screen.wait_for(b"ready> ")
        screen.send(b"\x1d\x1d")
        screen.send(b"\x15echo still h''ere\r")
        screen.wait_for(b"still here")


def test_progress(user: User, tmp_path: Path) -> None:
    """On a terminal a bar shows bytes, rate and time; in a pipe there is none."""
    image = busybox_image(command=["echo"], extra=[layer({"data": os.urandom(48 << 20)})], compression="")
    path = archive(tmp_path / "large.tar", oci_files({"latest": image}))

    with Terminal(user.command(f"oci-archive:{path}", "echo", "do''ne"), user.environment, 100) as screen:
        seen = screen.wait_for(b"Container is running", 120)
        screen.wait()
    piped = user.run(f"oci-archive:{path}", "echo")

    assert b"Uploading:" in seen
    assert b"B/s" in seen
    assert b"B/s" not in piped.stderr
