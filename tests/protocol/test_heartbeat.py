"""The heartbeat's clock: when to beat, and when a peer is gone."""

from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.heartbeat import MISSED, Pulse


def test_a_peer_is_gone_after_three_missed_heartbeats() -> None:
    """Silence counts from the last sign of life."""
    pulse = Pulse(2.0)
    pulse.start(10.0, beating=True)
    pulse.heard(11.0)

    assert not pulse.silent(16.9)
    assert pulse.silent(17.0)


def test_a_stopped_pulse_wants_nothing() -> None:
    """Without a transport there is neither a beat nor a silence."""
    pulse = Pulse(2.0)
    pulse.start(0.0, beating=True)
    pulse.stop()
    pulse.heard(1.0)

    assert (pulse.due(100.0), pulse.silent(100.0), pulse.deadline()) == (False, False, None)


@given(st.lists(st.floats(0.01, 3.0), max_size=50))
def test_who_ticks_at_each_deadline_beats_in_time(hearings: list[float]) -> None:
    """Beats are never further apart than the interval, and silence is noticed at its limit, not later."""
    pulse = Pulse(1.0)
    pulse.start(0.0, beating=True)
    now, last_beat, heard = 0.0, 0.0, 0.0
    arrivals = iter(hearings)
    arrival = next(arrivals, None)
    while not pulse.silent(now):
        deadline = pulse.deadline()
        assert deadline is not None
        if arrival is not None and heard + arrival < deadline:
            now = heard = heard + arrival
            pulse.heard(now)
            arrival = next(arrivals, None)
            continue
        now = deadline
        if pulse.due(now):
            assert now - last_beat <= 1.0 + 1e-9
            last_beat = now

    assert now - heard <= MISSED * 1.0 + 1e-9
