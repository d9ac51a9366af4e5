"""The log: one event is one line, and a line never blocks."""

import contextlib
import os
import socket
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.support.waiting import wait_for
from tfd.log import Log
from tfd.protocol import logged
from tfd.protocol.drivers.journal import WAITING_LIMIT, JournalSink, StderrSink
from tfd.protocol.drivers.loop import Loop


def read_all(descriptor: int) -> bytes:
    """Read what a pipe holds now."""
    os.set_blocking(descriptor, False)
    data = b""
    try:
        while chunk := os.read(descriptor, 1 << 16):
            data += chunk
    except BlockingIOError:
        pass
    return data


def test_an_event_is_one_line_with_its_fields() -> None:
    """LEVEL, message, and fields quoted where they have to be."""
    reading, writing = os.pipe()
    Log(StderrSink(writing)).event("warning", "lost it", location="home", reason='no "answer"\nat all')
    os.close(writing)

    assert read_all(reading) == b'WARNING lost it location=home reason="no \\"answer\\"\\nat all"\n'
    os.close(reading)


def test_events_below_the_level_are_left_out() -> None:
    """Until the level is lowered."""
    reading, writing = os.pipe()
    log = Log(StderrSink(writing), "warning")
    log.event("info", "one")
    log.set_level("debug")
    log.event("debug", "two")
    os.close(writing)

    assert read_all(reading) == b"DEBUG two\n"
    os.close(reading)


def test_events_with_a_kind_are_told_to_who_listens() -> None:
    """Whatever the log's level is; lines without one are not, for they may quote the configuration."""
    heard: list[tuple[str, str]] = []
    reading, writing = os.pipe()
    log = Log(StderrSink(writing), "error")
    log.tell(lambda kind, message: heard.append((kind.name, message)))
    log.event(logged.READY, "ready")
    log.event("error", "tfd.toml:3: a.PASSWORD: found 'secret'")
    log.tell(None)
    log.event(logged.STOPPING, "stopping")
    os.close(writing)
    os.close(reading)

    assert heard == [("ready", "ready")]


def test_what_waits_and_what_was_lost_is_counted() -> None:
    """The bytes that wait have a bound, and lines beyond it are counted for good."""
    reading, writing = os.pipe()
    log = Log(StderrSink(writing))
    for _ in range(5000):
        log.event("info", "x" * 200)
    lost = log.lost
    while log.behind:
        read_all(reading)
        log.event("info", "more")
    os.close(writing)
    os.close(reading)

    assert 0 < lost <= log.lost
    assert log.queued == 0


def test_a_reader_that_stalls_costs_no_time() -> None:
    """Lines wait up to a bound, further ones are dropped, and once it reads again it is told how many."""
    reading, writing = os.pipe()
    log = Log(StderrSink(writing))
    for number in range(5000):
        log.event("info", f"line {number} " + "x" * 100)
    lines: list[bytes] = []
    while log.behind:
        lines += read_all(reading).splitlines()
        log.event("info", "after")
    lines += read_all(reading).splitlines()

    told = [line for line in lines if line.startswith(b"INFO line ")]
    number = len(told)
    dropped = 5000 - number
    assert dropped > 0
    assert [line.split()[2] for line in told] == [str(number).encode() for number in range(number)]
    assert sum(map(len, told)) < 2 * WAITING_LIMIT
    counts = [int(line.rpartition(b"count=")[2]) for line in lines if b"log lines were dropped" in line]
    assert sum(counts) >= dropped
    assert lines[-1] == b"INFO after"
    os.close(reading)
    os.close(writing)


def test_a_journal_that_does_not_read_gets_all_once_it_does(tmp_path: Path) -> None:
    """The loop sends what waited, in order, while nothing else is logged, and it never waited itself."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.setblocking(False)
        log = Log(JournalSink(str(tmp_path / "journal")))
        loop = Loop(log)
        log.attend(loop)
        for number in range(1000):
            log.event("info", f"line {number}")
        assert log.behind
        entries: list[bytes] = []

        def take() -> bool:
            loop.turn(0.01)
            with contextlib.suppress(BlockingIOError):
                while True:
                    entries.append(journal.recv(1 << 16))
            return not log.behind

        wait_for(take, 30, "the queue to be empty")
        take()
        log.close()
        loop.close()

    assert [entry.split(b"\n")[0] for entry in entries] == [
        f"MESSAGE=line {number}".encode() for number in range(1000)
    ]


def test_the_last_lines_are_given_a_moment(tmp_path: Path) -> None:
    """What waits when the log is closed is sent if the journal comes back within the limit."""
    address = str(tmp_path / "journal")
    log = Log(JournalSink(address))
    log.event(logged.STOPPING, "stopping")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(address)
        log.close()

        assert f"MESSAGE_ID={logged.STOPPING.id}\n".encode() in journal.recv(1 << 16)


def test_what_strangers_cause_is_limited() -> None:
    """The second of the same kind is left out, another kind is not."""
    reading, writing = os.pipe()
    log = Log(StderrSink(writing))
    for _ in range(5):
        log.limited("knock", "warning", "a stranger knocked")
    log.limited("shout", "warning", "a stranger shouted")
    os.close(writing)

    assert read_all(reading).splitlines() == [b"WARNING a stranger knocked", b"WARNING a stranger shouted"]
    os.close(reading)


def test_the_journal_gets_fields_of_their_own(tmp_path: Path) -> None:
    """MESSAGE, PRIORITY and TFD_ fields, one of them in the form for several lines."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.settimeout(5)
        sink = JournalSink(str(tmp_path / "journal"))
        Log(sink).event("error", "it failed", container="web", reason="a\nb")
        entry = journal.recv(1 << 16)
        sink.close()

    assert b"PRIORITY=3\n" in entry
    assert b"SYSLOG_IDENTIFIER=tfd\n" in entry
    assert b"TFD_CONTAINER=web\n" in entry
    assert b"TFD_REASON\n\x03\0\0\0\0\0\0\0a\nb\n" in entry


def test_a_kind_has_its_id_and_level_in_the_journal(tmp_path: Path) -> None:
    """MESSAGE is the sentence alone, since the fields are beside it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.settimeout(5)
        log = Log(JournalSink(str(tmp_path / "journal")))
        log.event(logged.LOCATION_LOST, "lost location home", location="home", reason="it blinked")
        log.limited("key", logged.LISTENER_FULL, "full", listener="127.0.0.1:80")
        lost, full = journal.recv(1 << 16), journal.recv(1 << 16)
        log.close()

    assert lost.splitlines() == [
        b"MESSAGE=lost location home",
        b"PRIORITY=4",
        b"SYSLOG_IDENTIFIER=tfd",
        b"MESSAGE_ID=" + logged.LOCATION_LOST.id.encode(),
        b"TFD_LOCATION=home",
        b"TFD_REASON=it blinked",
    ]
    assert b"MESSAGE_ID=" + logged.LISTENER_FULL.id.encode() in full.splitlines()


def test_a_journal_that_is_gone_loses_nothing_for_a_while(tmp_path: Path) -> None:
    """What waited is sent before the next line once it is back."""
    log = Log(JournalSink(str(tmp_path / "journal")))
    log.event("info", "waiting")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.settimeout(5)
        log.event("info", "heard")
        assert b"MESSAGE=waiting\n" in journal.recv(1 << 16)
        assert b"MESSAGE=heard\n" in journal.recv(1 << 16)
    log.close()


@given(message=st.text(), value=st.text())
def test_any_text_is_one_line(message: str, value: str) -> None:
    """Whatever a peer put into a reason, the log has one line more."""
    reading, writing = os.pipe()
    Log(StderrSink(writing)).event("info", message, value=value)
    os.close(writing)
    data = read_all(reading)
    os.close(reading)

    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    assert len(data) <= 4096
