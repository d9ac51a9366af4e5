"""One trouble that lasts is told at growing intervals."""

from tests.support.loops import Lines
from tfd.log import Log
from tfd.protocol.drivers.complaint import Complaint
from tfd.protocol.logged import LOCATION_LOST


def test_a_trouble_that_lasts_is_told_less_and_less() -> None:
    """At once, after 10 s, 1 min, 10 min, and then every hour."""
    lines = Lines()
    complaint = Complaint(Log(lines), "home")
    told = []
    for second in range(3 * 3600):
        before = len(lines.lines)
        complaint.tell(LOCATION_LOST, "lost it", "it does not answer", float(second))
        if len(lines.lines) > before:
            told.append(second)

    assert told == [0, 10, 70, 670, 4270, 7870]


def test_a_trouble_that_flaps_is_one_trouble() -> None:
    """Being well for a second does not make the next line come at once; being well for long does."""
    lines = Lines()
    complaint = Complaint(Log(lines), "home")
    for second in range(8):
        complaint.tell(LOCATION_LOST, "lost it", "it blinked", float(second))
        complaint.over(second + 0.5)
    flapping = len(lines.lines)
    complaint.tell(LOCATION_LOST, "lost it", "it blinked", 60.0)

    assert flapping == 1
    assert len(lines.lines) == 2
