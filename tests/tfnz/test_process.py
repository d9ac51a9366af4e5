"""Processes in containers: output, input, ends, terminals."""

import hashlib
import os
import threading

import pytest

from tests.support.waiting import wait_for
from tfnz.container import Container
from tfnz.process import Process

pytestmark = [pytest.mark.engine, pytest.mark.root]

LIMIT = 30.0
CALLS = int(os.environ.get("TFD_TEST_CALLS", "50"))
"""Processes in a row; `bench/sdk.py` times a thousand."""

MIB = 1 << 20


class Heard:
    """What the callbacks of one process were told, in order."""

    def __init__(self) -> None:
        self.output: list[bytes] = []
        self.errors: list[bytes] = []
        self.codes: list[int] = []
        self.ended = threading.Event()

    def data(self, _process: Process, data: bytes) -> None:
        """Take output."""
        self.output.append(data)

    def error(self, _process: Process, data: bytes) -> None:
        """Take output to standard error."""
        self.errors.append(data)

    def end(self, _process: Process, code: int) -> None:
        """Take the end."""
        self.codes.append(code)
        self.ended.set()

    def wait(self) -> None:
        """Wait for the end."""
        assert self.ended.wait(LIMIT)


@pytest.mark.covers("Container.run_process")
def test_run_process_gives_output_errors_and_exit_code(box: Container) -> None:
    """A process that is run tells its output, its errors, and its exit code."""
    assert box.run_process("echo out; echo err >&2; exit 3") == (b"out\n", b"err\n", 3)


@pytest.mark.parametrize(("line", "code"), [("true", 0), ("exit 200", 200), ("kill -9 $$", -9)])
def test_return_codes(box: Container, line: str, code: int) -> None:
    """A return code is the exit status, negative for a signal."""
    assert box.run_process(line)[2] == code


def test_run_process_has_no_input_and_the_root_directory(box: Container) -> None:
    """Its input is at its end, it runs in / as root, without a terminal."""
    assert box.run_process("cat; pwd; id -u; tty") == (b"/\n0\nnot a tty\n", b"", 1)


def test_run_process_calls_back_at_the_end_in_this_thread(box: Container) -> None:
    """Its callbacks get the container and all output, once, in the caller's thread, if there is some."""
    told: list[tuple[object, bytes, threading.Thread]] = []

    def heard(container: object, data: bytes) -> None:
        told.append((container, data, threading.current_thread()))

    box.run_process("echo a; sleep 0.2; echo b", data_callback=heard, stderr_callback=heard)

    assert told == [(box, b"a\nb\n", threading.current_thread())]


@pytest.mark.parametrize("command", [["ls", "/"], "", "a\0b", 7])
def test_a_command_is_a_line(box: Container, command: object) -> None:
    """What is no line for the shell is a ValueError."""
    with pytest.raises(ValueError, match="line for the shell"):
        box.run_process(command)  # type: ignore[arg-type]


def test_a_process_that_takes_too_long_is_destroyed(box: Container) -> None:
    """After its time-out a process is ended; the error does not show a command that is not to be logged."""
    with pytest.raises(ValueError, match="1 s") as raised:
        box.run_process("exec sleep 12345", nolog=True, timeout=1.0)

    assert "sleep" not in str(raised.value)
    wait_for(lambda: b"12345" not in box.run_process("ps | grep -v grep")[0], LIMIT, "its end")


@pytest.mark.covers("Container.spawn_process", "Process.stderr_callback", "Process.data_callback")
def test_a_spawned_process_calls_back(box: Container) -> None:
    """Output comes as it is written, errors apart, and the end after all of it."""
    heard = Heard()
    process = box.spawn_process("echo one; echo two >&2; exit 5", heard.data, heard.end, heard.error)
    heard.wait()

    assert (b"".join(heard.output), b"".join(heard.errors), heard.codes) == (b"one\n", b"two\n", [5])
    assert process.dead
    with pytest.raises(ValueError, match="dead already"):
        process.stdin(b"more")


@pytest.mark.covers("Process.termination_callback")
def test_callbacks_with_one_argument(box: Container) -> None:
    """A callback that takes the process alone is given that."""
    told: list[Process] = []
    ended = threading.Event()

    def end(process: Process) -> None:
        told.append(process)
        ended.set()

    process = box.spawn_process("true", termination_callback=end)

    assert ended.wait(LIMIT)
    assert told == [process]


@pytest.mark.covers("Process.stdin", "Process.wait_until_complete")
def test_input_and_its_end(box: Container) -> None:
    """Input of any size reaches the process, and so does its end."""
    data = bytes(range(256)) * (4 * MIB // 256)
    with box.spawn_process("sha256sum") as process:
        process.stdin(data)
        process.end_stdin()

        assert process.wait_until_complete(LIMIT).split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_much_output_with_a_slow_callback(box: Container) -> None:
    """64 MiB arrive whole and in order though the callback takes its time, which slows the process alone."""
    digest = hashlib.sha256()
    seen = 0
    most = 0
    ended = threading.Event()

    def take(_process: Process, data: bytes) -> None:
        nonlocal seen, most
        digest.update(data)
        seen += len(data)
        most = max(most, len(data))
        if seen < 8 * MIB:
            threading.Event().wait(0.01)

    box.spawn_process("dd if=/dev/zero bs=1M count=64 2>/dev/null", take, lambda _: ended.set())
    # The location goes on serving others meanwhile.
    assert box.run_process("echo quick")[0] == b"quick\n"

    assert ended.wait(2 * LIMIT)
    assert (seen, digest.digest()) == (64 * MIB, hashlib.sha256(bytes(64 * MIB)).digest())
    assert most <= 64 * 1024


@pytest.mark.covers("Container.destroy_process", "Container.processes", "Container.all_processes")
def test_destroying_a_process(box: Container) -> None:
    """A destroyed process ends with its children; the callback gets 0 in this thread, once."""
    told: list[tuple[int, threading.Thread]] = []
    process = box.spawn_process(
        "sleep 54321 & sleep 54321",
        termination_callback=lambda _, code: told.append((code, threading.current_thread())),
    )
    assert process in box.all_processes()
    box.destroy_process(process)

    assert told == [(0, threading.current_thread())]
    assert process not in box.all_processes()
    wait_for(lambda: b"54321" not in box.run_process("ps | grep -v grep")[0], LIMIT, "both to end")
    with pytest.raises(ValueError, match="no process"):
        box.destroy_process(process)


def test_empty_input_destroys(box: Container) -> None:
    """Empty bytes as input destroy the process, as they did in 20ft."""
    process = box.spawn_process("cat")
    process.stdin(b"")

    assert process.dead


def test_signals(box: Container) -> None:
    """A signal reaches the process, which may mind it."""
    heard = Heard()
    process = box.spawn_process(
        "trap 'echo got; exit 9' USR1; echo up; while :; do sleep 0.1; done", heard.data, heard.end
    )
    wait_for(lambda: heard.output, LIMIT, "its trap")
    process.signal(10)
    heard.wait()

    assert (b"".join(heard.output), heard.codes) == (b"up\ngot\n", [9])


@pytest.mark.covers("Container.spawn_shell")
def test_a_shell_answers_without_echo(box: Container) -> None:
    """A login shell has a terminal; what is sent is not given back, and a reply can be waited for."""
    with box.spawn_shell() as shell:
        first = shell.stdin(b"echo $((40 + 2))\n", return_reply=True)
        assert first is not None
        assert first.startswith(b"42\r\n")


def test_a_shell_with_echo(box: Container) -> None:
    """With echo the terminal gives back what is sent, and a reply can be had without it."""
    heard = Heard()
    shell = box.spawn_shell(heard.data, heard.end, echo=True)
    wait_for(lambda: heard.output, LIMIT, "the prompt")
    reply = shell.stdin(b"echo $((40 + 2))\n", return_reply=True, drop_echo=True)

    assert reply is not None
    assert reply.startswith(b"42\r\n")
    shell.stdin(b"exit 4\n")
    heard.wait()
    assert heard.codes == [4]


def test_a_reply_without_a_terminal(box: Container) -> None:
    """Where nothing is given back, dropping it loses nothing (a program of 20ft's documents does that)."""
    process = box.spawn_process("sh")

    assert process.stdin(b"echo answer\n", return_reply=True, drop_echo=True) == b"answer\n"
    box.destroy_process(process)


def test_the_window_of_a_terminal(box: Container) -> None:
    """A terminal learns its window's size, and tells its process of changes."""
    heard = Heard()
    with box.spawn_shell(heard.data) as shell:
        shell.stdin(b"set +m; trap 'stty size' WINCH; stty size; while :; do sleep 0.1; done\n")
        wait_for(lambda: b"24 80\r\n" in b"".join(heard.output), LIMIT, "the first size")
        shell.resize(132, 50)
        wait_for(lambda: b"50 132\r\n" in b"".join(heard.output), LIMIT, "the second size")


def test_binary_output(box: Container) -> None:
    """Bytes that are no text arrive as they are."""
    everything = "".join(f"\\{byte:03o}" for byte in range(256))

    assert box.run_process(f"printf '{everything}'")[0] == bytes(range(256))


def test_waiting_inside_a_callback(box: Container) -> None:
    """A callback may itself run processes and wait for them."""
    told: list[bytes] = []
    ended = threading.Event()

    def take(_process: Process, data: bytes) -> None:
        told.append(data + box.run_process("echo inner")[0])
        inner = box.spawn_process("echo spawned")
        told.append(inner.wait_until_complete(LIMIT))
        ended.set()

    box.spawn_process("echo outer", take)

    assert ended.wait(LIMIT)
    assert told == [b"outer\ninner\n", b"spawned\n"]


@pytest.mark.covers("tfnz.process.Process", "Process.destroy")
@pytest.mark.covers("Process.uuid", "Process.parent", "Process.node", "Process.conn", "Process.dead")
def test_what_a_process_knows(box: Container) -> None:
    """A process knows its container, node and connection."""
    process = box.spawn_process("sleep 100")

    assert (process.parent(), process.node(), process.conn()) == (box, box.node(), box.conn())
    assert len(process.uuid) == 22
    assert repr(process) == f"<Process '{process.uuid.decode()}'>"
    assert not process.dead
    process.destroy()
    assert process.dead


def test_many_processes_in_a_row(box: Container) -> None:
    """Processes run one after another as often as asked, each with its own output, and none is left."""
    for number in range(CALLS):
        assert box.run_process(f"echo {number}")[0] == b"%d\n" % number

    assert box.all_processes() == []
    assert box.run_process("ps | grep -c '[e]cho'")[0] == b"0\n"
