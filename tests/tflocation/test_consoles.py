"""What a console that is attached late takes from the engine's record, and what it has itself."""

from hypothesis import given
from hypothesis import strategies as st

from tflocation.consoles import following, overlap

texts = st.text("ab\n", max_size=60).map(str.encode)
END = b"|"


@given(texts, texts, st.integers(0, 60))
def test_what_is_in_the_record_too_comes_once(before: bytes, after: bytes, share: int) -> None:
    """A stream that begins anywhere in the record, or after it, adds what the record lacks."""
    record = before + END
    first = record[max(0, len(record) - share) :] + after

    assert record + first[overlap(record, first) :] == record + after


@given(texts, texts, texts)
def test_what_was_kept_comes_once(before: bytes, kept: bytes, after: bytes) -> None:
    """A record that holds what was kept adds what comes after it."""
    kept += END

    assert following(kept, before + kept + after) == after


@given(texts, texts, texts, st.integers(0, 60))
def test_a_record_may_begin_in_what_was_kept(before: bytes, kept: bytes, after: bytes, share: int) -> None:
    """What was kept of it does not come again."""
    kept += END
    record = kept[max(0, len(kept) - 1 - share) :] + after

    assert following(before + kept, record) == after


def test_a_record_of_something_else_is_new() -> None:
    """Nothing of it was kept."""
    assert following(b"one", b"two") == b"two"
    assert following(b"", b"two") == b"two"
