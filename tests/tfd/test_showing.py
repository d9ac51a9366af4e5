"""`tfd status --watch` on a terminal and in a pipe, with a daemon that goes and comes."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.product import Daemon
from tests.support.terminal import Terminal
from tests.support.waiting import wait_for

LIMIT = 30.0
CONFIG = '[container.web]\nimage = "nginx"\n'
WATCH = [sys.executable, "-m", "tfd", "status", "--watch"]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Give a running daemon that has joined nothing."""
    made = Daemon(tmp_path / "tfd")
    made.configure(CONFIG)
    made.start()
    wait_for(made.status, LIMIT, "the daemon")
    yield made
    made.stop()


def test_a_terminal_is_drawn_anew_until_ctrl_c(daemon: Daemon) -> None:
    """The daemon's absence is shown and waited for; no line is wider than the window; code 0."""
    with Terminal(WATCH, daemon.environment, columns=70, rows=12) as terminal:
        terminal.wait_for(b"\x1b[H")
        frame = terminal.wait_for(b"\x1b[J").decode()
        daemon.stop()
        terminal.wait_for(b"no tfd runs here")
        daemon.start()
        terminal.wait_for(b"no location joined yet")
        terminal.send(b"\x03")
        code = terminal.wait()
    lines = frame.replace("\x1b[K", "").replace("\x1b[J", "").split("\r\n")

    assert code == 0
    assert any("no location joined yet" in line for line in lines)
    assert max(map(len, lines)) <= 70
    assert len(lines) <= 12


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_pipe_gets_no_control_characters(daemon: Daemon, arguments: list[str]) -> None:
    """One document after the other; SIGINT ends it with code 0."""
    with subprocess.Popen(
        [*WATCH, *arguments],
        env=daemon.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # Ends what is read below, so that nothing waits without a limit.
        limit = threading.Timer(LIMIT, process.kill)
        limit.start()
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            seen: list[str] = []
            while sum(line.startswith(("CONTAINER", "{")) for line in seen) < 2:
                seen.append(process.stdout.readline())
                assert seen[-1], "it ended early"
            process.send_signal(signal.SIGINT)
            rest, complaint = process.stdout.read(), process.stderr.read()
            code = process.wait(LIMIT)
        finally:
            limit.cancel()
            process.kill()

    assert (code, complaint) == (0, "")
    assert all(character.isprintable() or character == "\n" for character in "".join(seen) + rest)
    if arguments:
        assert all(json.loads(line)["ready"] in (True, False) for line in seen)


def test_a_pipe_hears_of_an_absent_daemon_once(tmp_path: Path) -> None:
    """One line on standard error, however long it is watched for."""
    (tmp_path / "run").mkdir()
    daemon = Daemon(tmp_path)
    with subprocess.Popen(
        WATCH, env=daemon.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        limit = threading.Timer(LIMIT, process.kill)
        limit.start()
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            first = process.stderr.readline()
            daemon.configure(CONFIG)
            daemon.start()
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
        finally:
            limit.cancel()
            process.kill()
            daemon.stop()

    assert b"no tfd runs here" in first
    assert rest == b""
