"""Processes and files whose path to the location is cut and healed within the lease: nobody notices."""

import hashlib
import os
import threading

import pytest

from tests.support.path_cut import path_cut
from tests.support.product import Location as Service
from tests.support.waiting import wait_for
from tfnz.container import Container
from tfnz.process import Process

pytestmark = [pytest.mark.engine, pytest.mark.root]

LIMIT = 60.0
CUT = 2.5
LINES = 6000


def numbers(data: bytes) -> list[int]:
    """Give the numbers that were printed."""
    return [int(line) for line in data.split()]


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "silent"])
def test_a_process_prints_through_a_cut(box: Container, sdk_location: Service, reset: bool) -> None:
    """What a process prints while the path is cut comes afterwards, nothing lost or doubled."""
    printed: list[bytes] = []
    codes: list[int] = []
    ended = threading.Event()

    def end(_process: Process, code: int) -> None:
        codes.append(code)
        ended.set()

    step = "echo $n; n=$((n+1)); [ $((n % 100)) = 0 ] && sleep 0.1"
    line = f"n=0; while [ $n -lt {LINES} ]; do {step}; done; exit 3"
    box.spawn_process(line, lambda _, data: printed.append(data), end)
    wait_for(lambda: printed, LIMIT, "the first lines")
    with path_cut({sdk_location.port, sdk_location.channel_port}, reset=reset):
        threading.Event().wait(CUT)
    assert ended.wait(LIMIT)

    assert numbers(b"".join(printed)) == list(range(LINES))
    assert codes == [3]


def test_input_through_a_cut(box: Container, sdk_location: Service) -> None:
    """What is given to a process while the path is cut arrives afterwards, nothing lost or doubled."""
    with box.spawn_process("sha256sum") as process:
        digest = hashlib.sha256()
        for step in range(30):
            data = os.urandom(20_000)
            digest.update(data)
            process.stdin(data)
            if step == 10:
                with path_cut({sdk_location.port, sdk_location.channel_port}, reset=True):
                    for _ in range(5):
                        process.stdin(data)
                        digest.update(data)
                        threading.Event().wait(CUT / 5)
        process.end_stdin()

        assert process.wait_until_complete(LIMIT).split()[0].decode() == digest.hexdigest()


def test_files_through_a_cut(box: Container, sdk_location: Service) -> None:
    """A file that is being put or fetched when the path is cut is put and fetched whole."""
    size = 48 << 20
    data = os.urandom(1 << 20) * (size >> 20)
    result: list[bytes] = []
    for work in (lambda: box.put("/cut", data), lambda: result.append(box.fetch("/cut"))):
        thread = threading.Thread(target=work)
        thread.start()
        with path_cut({sdk_location.channel_port}, reset=True):
            threading.Event().wait(0.5)
        thread.join(LIMIT)
        assert not thread.is_alive()

    assert hashlib.sha256(result[0]).digest() == hashlib.sha256(data).digest()


def test_a_shell_after_a_cut(box: Container, sdk_location: Service) -> None:
    """An idle shell is the same one after a cut."""
    with box.spawn_shell() as shell:
        assert b"42" in (shell.stdin(b"x=42; echo $x\n", return_reply=True) or b"")
        with path_cut({sdk_location.port, sdk_location.channel_port}, reset=True):
            shell.stdin(b"\n")
            threading.Event().wait(CUT)
        output: list[bytes] = []
        shell.data_callback = lambda _, data: output.append(data)
        shell.stdin(b"echo still $x\n")
        wait_for(lambda: b"still 42" in b"".join(output), LIMIT, "the answer")
