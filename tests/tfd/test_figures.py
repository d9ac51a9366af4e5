"""Figures as people read them."""

from tfd.figures import amount, duration


def test_units() -> None:
    """The two largest units of a span, the largest of an amount."""
    assert [duration(0), duration(61), duration(90061)] == ["0 s", "1 min 1 s", "1 d 1 h"]
    assert [amount(0), amount(1023), amount(1536)] == ["0 B", "1023 B", "1.5 KiB"]
    assert amount(2**50) == "1024.0 TiB"
