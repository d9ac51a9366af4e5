"""The service's log."""

import asyncio
import io
import logging
import socket
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.drivers.journal import JournalSink
from tflocation.logs import JournalHandler, LineFormatter, RateLimited, one_line


def record(level: int, message: str, **fields: object) -> logging.LogRecord:
    """Give a log record."""
    made = logging.LogRecord("tflocation.x", level, "file", 1, message, (), None)
    made.fields = fields
    return made


@given(st.text())
def test_no_text_makes_a_second_line(text: str) -> None:
    """What a peer sends cannot look like a line of ours."""
    line = LineFormatter().format(record(logging.INFO, text, name=text))
    assert len(line.splitlines()) == 1
    assert one_line(text).isprintable()


def test_fields_are_readable_and_for_machines(tmp_path: Path) -> None:
    """Standard error has name=value, the journal TFD_NAME."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.settimeout(5)
        handler = JournalHandler(JournalSink(str(tmp_path / "journal")))
        handler.emit(record(logging.WARNING, "a thing happened", container="tf-1"))
        entry = journal.recv(1 << 16)
        handler.close()

    assert entry.splitlines() == [
        b"MESSAGE=a thing happened container=tf-1",
        b"PRIORITY=4",
        b"SYSLOG_IDENTIFIER=tflocation",
        b"TFD_CONTAINER=tf-1",
    ]


async def test_a_journal_that_is_away_holds_up_nothing(tmp_path: Path) -> None:
    """What it did not take waits, and the loop sends it once it is back."""
    handler = JournalHandler(JournalSink(str(tmp_path / "journal")))
    handler.outbox.attend(asyncio.get_running_loop().call_later)
    handler.emit(record(logging.INFO, "waiting"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.setblocking(False)
        journal.bind(str(tmp_path / "journal"))
        async with asyncio.timeout(10):
            entry = await asyncio.get_running_loop().sock_recv(journal, 1 << 16)
        handler.close()

    assert entry.startswith(b"MESSAGE=waiting\n")


def test_what_strangers_cause_is_one_line_in_a_while() -> None:
    """Each kind has its own allowance, and the next line says how many were left out."""
    output = io.StringIO()
    log = logging.getLogger("test-limited")
    handler = logging.StreamHandler(output)
    handler.setFormatter(LineFormatter())
    log.handlers, log.propagate = [handler], False
    now = [0.0]
    limited = RateLimited(log, lambda: now[0])
    for _ in range(1000):
        limited.warning("a", "again")
    limited.warning("b", "other")
    now[0] = 10.0
    limited.warning("a", "again")
    assert output.getvalue().splitlines() == ["WARNING again", "WARNING other", "WARNING again left_out=999"]
