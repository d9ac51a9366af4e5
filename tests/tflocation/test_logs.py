"""The service's log."""

import io
import logging
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

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


def test_fields_are_readable_and_for_machines() -> None:
    """Standard error has name=value, the journal TFD_NAME."""
    sent: list[tuple[str, dict[str, Any]]] = []
    handler = JournalHandler(lambda message, **fields: sent.append((message, fields)))
    handler.emit(record(logging.WARNING, "a thing happened", container="tf-1"))
    assert sent == [
        (
            "a thing happened container=tf-1",
            {"PRIORITY": 4, "SYSLOG_IDENTIFIER": "tflocation", "TFD_CONTAINER": "tf-1"},
        )
    ]


def test_what_strangers_cause_is_one_line_in_a_while() -> None:
    """Each kind has its own allowance, and the next line says how many were left out."""
    output = io.StringIO()
    log = logging.getLogger("test-limited")
    handler = logging.StreamHandler(output)
    handler.setFormatter(LineFormatter())
    log.handlers, log.propagate = [handler], False
    now = [0.0]
    limited = RateLimited(log, 10.0, lambda: now[0])
    for _ in range(1000):
        limited.warning("a", "again")
    limited.warning("b", "other")
    now[0] = 10.0
    limited.warning("a", "again")
    assert output.getvalue().splitlines() == ["WARNING again", "WARNING other", "WARNING again left_out=999"]
