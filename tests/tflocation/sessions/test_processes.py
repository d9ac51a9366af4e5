"""Processes in containers, over pipes whose channels are cut, on a real engine."""

import hashlib
import itertools
import os
import struct
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.forwarder import Forwarder
from tests.support.piping import ChannelEnded, PipeClient
from tests.support.waiting import wait_for
from tests.tflocation.sessions.conftest import Holder
from tfd.protocol.errors import CommandError
from tfd.protocol.pipe import Kind

pytestmark = [pytest.mark.engine, pytest.mark.root]

LIMIT = 30.0
MIB = 1 << 20


def test_output_input_and_exit_code(ann: Holder, container: dict[str, Any]) -> None:
    """Standard output and error are told apart, input ends, and the exit code is the process's."""
    pipe = ann.pipe("process.start", id=container["id"], line="cat; echo error >&2; exit 7")
    pipe.send(Kind.DATA, b"a line\n")
    pipe.send(Kind.END)

    assert pipe.finish() == {"code": 7}
    assert pipe.output() == b"a line\n"
    assert pipe.output(Kind.ERROR_DATA) == b"error\n"


def test_words_environment_and_directory(ann: Holder, container: dict[str, Any]) -> None:
    """Words are not looked at by any shell; the image's environment holds, and what is given beside it."""
    pipe = ann.pipe(
        "process.start",
        id=container["id"],
        args=["sh", "-c", 'echo "$1:$GREETING:$OWN:$(pwd)"', "sh", "it's $HOME; *"],
        environment={"OWN": "ä"},
        cwd="/tmp",
    )

    assert pipe.finish() == {"code": 0}
    assert pipe.output().decode() == "it's $HOME; *:hello:ä:/tmp\n"


def test_a_program_that_is_missing(ann: Holder, container: dict[str, Any]) -> None:
    """It ends as in a shell."""
    pipe = ann.pipe("process.start", id=container["id"], args=["nowhere"])

    assert pipe.finish() == {"code": 127}


def test_a_login_shell_on_a_terminal(ann: Holder, container: dict[str, Any]) -> None:
    """It has the size that it was given, then another one, and no environment but the terminal's name."""
    parameters = {"shell": True, "terminal": {"columns": 91, "rows": 31, "name": "vt220"}}
    pipe = ann.pipe("process.start", id=container["id"], **parameters)
    pipe.send(Kind.DATA, b"stty size; echo $TERM+$GREETING+\n")
    pipe.until(lambda: b"31 91" in pipe.output() and b"vt220++" in pipe.output(), "the first size")
    pipe.send(Kind.WINDOW, struct.pack(">HH", 120, 40))
    # The size travels beside the input, as the engine has it.
    wait_for(lambda: _size_told(pipe), LIMIT, "the second size")
    pipe.send(Kind.DATA, b"exit 5\n")

    assert pipe.finish() == {"code": 5}


def _size_told(pipe: PipeClient) -> bool:
    pipe.send(Kind.DATA, b"stty size\n")
    pipe.step(0.3)
    return b"40 120" in pipe.output()


def test_signals(ann: Holder, container: dict[str, Any]) -> None:
    """A handler runs; without one the exit code tells the signal."""
    script = "trap 'echo caught' USR1; echo up; while :; do sleep 0.1; done"
    pipe = ann.pipe("process.start", id=container["id"], line=script)
    pipe.until(lambda: b"up" in pipe.output(), "the process to run")
    pipe.send(Kind.SIGNAL, bytes([10]))
    pipe.until(lambda: b"caught" in pipe.output(), "the handler to run")
    pipe.send(Kind.SIGNAL, bytes([15]))

    assert pipe.finish() == {"code": 128 + 15}


@pytest.mark.slow
def test_much_output_for_a_slow_reader(ann: Holder, container: dict[str, Any]) -> None:
    """64 MiB arrive in order while the reader pauses; the writer waits, and the session goes on meanwhile."""
    seed = os.urandom(16).hex()
    script = f"yes {seed} | head -c {64 * MIB} | tee /tmp/sent | cat; sha256sum /tmp/sent >&2; rm /tmp/sent"
    pipe = ann.pipe("process.start", id=container["id"], line=script)
    digest, size = hashlib.sha256(), 0
    while pipe.last is None:
        for piece in pipe.step():
            if piece.kind is Kind.DATA:
                digest.update(piece.payload)
                size += len(piece.payload)
        if len(pipe.received) > 400:
            ann.call("container.get", id=container["id"])
            pipe.received = [piece for piece in pipe.received if piece.kind is not Kind.DATA]

    assert size == 64 * MIB
    assert pipe.output(Kind.ERROR_DATA).split()[0].decode() == digest.hexdigest()


def test_a_pipe_goes_on_over_other_channels(ann: Holder, container: dict[str, Any]) -> None:
    """The channel is cut again and again; what the process reads and writes is whole and in order."""
    data = os.urandom(4 * MIB)
    pipe = ann.pipe("process.start", id=container["id"], line="cat; exit 9")
    rest = memoryview(data)
    steps = itertools.count(1)
    while pipe.last is None:
        if rest and (size := min(pipe.pipe.room(), len(rest), 1 << 16)):
            pipe.pipe.send(Kind.DATA, bytes(rest[:size]))
            rest = rest[size:]
            if not rest:
                pipe.pipe.send(Kind.END)
            pipe.flush()
        pipe.step(0.01)
        if next(steps) % 17 == 0 and pipe.last is None:
            pipe.reattach()

    assert pipe.said() == {"code": 9}
    assert next(steps) > 2 * 17
    assert pipe.output() == data


def test_a_path_that_falls_silent(ann: Holder, container: dict[str, Any]) -> None:
    """Bytes that a dead path swallowed in both directions are sent again over another channel."""
    grant = ann.call("process.start", id=container["id"], line="while read -r l; do echo got $l; done")
    with Forwarder(("127.0.0.1", grant["ticket"]["port"])) as path:
        pipe = ann.attach(grant, path.port)
        pipe.send(Kind.DATA, b"one\n")
        pipe.until(lambda: b"got one" in pipe.output(), "the first answer")
        path.hole()
        pipe.send(Kind.DATA, b"two\n")
        pipe.step(0.3)
        path.heal()
        pipe.reattach()
        pipe.send(Kind.DATA, b"three\n")
        pipe.send(Kind.END)

        assert pipe.finish() == {"code": 0}
        assert pipe.output() == b"got one\ngot two\ngot three\n"


def test_closing_a_pipe_ends_its_process(ann: Holder, container: dict[str, Any]) -> None:
    """Once the command is answered the process is gone, whatever it ignores; closing again does nothing."""
    pipe = ann.pipe("process.start", id=container["id"], line="trap '' HUP TERM; echo up; sleep 4321")
    pipe.until(lambda: b"up" in pipe.output(), "the process to run")
    for _ in range(2):
        ann.call("pipe.close", pipe=pipe.id)

    with pytest.raises(ChannelEnded):
        pipe.finish()
    assert b"sleep 4321" not in ann.run(container, "ps | grep '[s]leep'")[1]


def test_an_abandoned_process_ends_with_the_lease(ann: Holder, container: dict[str, Any]) -> None:
    """Nobody is attached any more, so the process is told to hang up."""
    pipe = ann.pipe("process.start", id=container["id"], line="echo up; sleep 8765")
    pipe.until(lambda: b"up" in pipe.output(), "the process to run")
    pipe.drop()

    wait_for(
        lambda: b"sleep 8765" not in ann.run(container, "ps | grep '[s]leep'")[1], LIMIT, "the process to end"
    )


def test_what_cannot_be_started(ann: Holder, container: dict[str, Any]) -> None:
    """Neither nothing nor two things at once, nor anything in a container that is not there."""
    for parameters in ({}, {"line": "true", "args": ["true"]}, {"shell": True, "line": "true"}):
        with pytest.raises(CommandError) as caught:
            ann.call("process.start", id=container["id"], **parameters)
        assert caught.value.code == "bad-parameter"
    with pytest.raises(CommandError) as caught:
        ann.call("process.start", id="tf-nowhere", line="true")
    assert caught.value.code == "not-found"


def test_another_account_reaches_nothing(
    ann: Holder, container: dict[str, Any], join: Callable[[], Holder]
) -> None:
    """Every command on another's container or pipe is answered as for one that does not exist."""
    bob = join()
    pipe = ann.pipe("process.start", id=container["id"], line="cat")
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("process.start", {"line": "true"}),
        ("file.put", {"path": "/x"}),
        ("file.fetch", {"path": "/etc/passwd"}),
        ("sftp.open", {}),
        ("container.console", {}),
        ("container.log", {}),
        ("container.wake", {}),
        ("container.reboot", {}),
        ("port.wait", {"port": 80, "timeout": 1}),
    ]
    for command, parameters in attempts:
        for missing in (container["id"], "tf-nowhere"):
            with pytest.raises(CommandError) as caught:
                bob.call(command, id=missing, **parameters)
            assert (caught.value.code, caught.value.message) == (
                "not-found",
                f"there is no container {missing}",
            )
    with pytest.raises(CommandError) as caught:
        bob.call("pipe.attach", pipe=pipe.id)
    assert caught.value.code == "not-found"
    bob.call("pipe.close", pipe=pipe.id)
    pipe.send(Kind.DATA, b"still here")
    pipe.send(Kind.END)
    assert pipe.finish() == {"code": 0}
    assert pipe.output() == b"still here"


def test_a_port_is_awaited(ann: Holder, container: dict[str, Any]) -> None:
    """It is told once something listens, and within the limit that nothing does."""
    with pytest.raises(CommandError) as caught:
        ann.call("port.wait", id=container["id"], port=81, timeout=1)
    assert caught.value.code == "time-out"
    server = ann.pipe("process.start", id=container["id"], line="sleep 1; exec httpd -f -p 80")

    assert ann.call("port.wait", id=container["id"], port=80, timeout=20) == {}
    ann.call("pipe.close", pipe=server.id)


def test_a_container_that_ends_takes_its_processes_along(ann: Holder) -> None:
    """Their pipes end by themselves, and are told so."""
    container = ann.create()
    pipe = ann.pipe("process.start", id=container["id"], line="echo up; sleep 1000")
    pipe.until(lambda: b"up" in pipe.output(), "the process to run")
    ann.call("container.destroy", id=container["id"])

    pipe.finish()
    assert pipe.last is not None
    assert pipe.last.kind in (Kind.EXIT, Kind.FAIL)
