"""The fuzz of the control messages runs, and reaches what it is for."""

from tests.fuzz.control import run


def test_a_short_fuzz_finds_no_crash_and_reaches_both_ends() -> None:
    """A few thousand messages raise nothing, and make each end give most of its events."""
    seen = run(20_000, seed=1)

    assert {"Called", "Attached", "Replied", "Failed", "Event", "StreamCredit", "StreamData"} <= set(seen)
