"""The log: one event is one line, and a line never blocks."""

import os
import socket
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tfd.log import JournalSink, Log, StderrSink


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


def test_a_reader_that_stalls_costs_lines_and_no_time() -> None:
    """A full pipe drops lines, and the next one that fits tells how many."""
    reading, writing = os.pipe()
    log = Log(StderrSink(writing))
    for number in range(3000):
        log.event("info", f"line {number} " + "x" * 100)
    first = read_all(reading)
    log.event("info", "after")
    second = read_all(reading).splitlines()

    assert first.endswith(b"\n")
    dropped = 3000 - len(first.splitlines())
    assert dropped > 0
    assert second == [f"WARNING log lines were dropped count={dropped}".encode(), b"INFO after"]
    os.close(reading)
    os.close(writing)


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


def test_a_journal_that_is_gone_costs_lines_alone(tmp_path: Path) -> None:
    """The count is told when it is back."""
    log = Log(JournalSink(str(tmp_path / "journal")))
    log.event("info", "lost")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.settimeout(5)
        log.event("info", "heard")
        assert b"log lines were dropped count=1" in journal.recv(1 << 16)
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
