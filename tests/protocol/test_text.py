"""Text that others wrote, made fit for a log or a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.text import printable


@given(st.text())
def test_what_is_printable_stays(text: str) -> None:
    """Each character is itself where it can be printed, else a question mark; nothing is left out."""
    shown = printable(text)

    assert shown.isprintable()
    assert len(shown) == len(text)
    for before, after in zip(text, shown, strict=True):
        assert after == (before if before.isprintable() else "?")
