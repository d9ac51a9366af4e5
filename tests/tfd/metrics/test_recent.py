"""The last events: a bounded number of bounded lines."""

from tfd.metrics.recent import KEPT, LONGEST, RecentEvents
from tfd.protocol.logged import DEFECT, Kind


def test_what_happened_last_is_kept_within_bounds() -> None:
    """The newest first, one line each, no line for debugging."""
    events = RecentEvents()
    for number in range(3 * KEPT):
        events.put(DEFECT, f"{number} {'x' * 10_000}\nsecond line")
        events.put(Kind("noise", "0", "debug"), "debugging")
    kept = events.newest_first()

    assert [event.message.split()[0] for event in kept] == [
        str(3 * KEPT - 1 - index) for index in range(KEPT)
    ]
    assert max(len(event.message) for event in kept) <= LONGEST
    assert not any("\n" in event.message for event in kept)
