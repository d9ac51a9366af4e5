"""Leases: nothing is taken from a session that is open or not away for so long; nothing stays for ever."""

from hypothesis import given
from hypothesis import strategies as st

from tflocation.leases import Holder, Leases

LEASE = 30.0
HOLDERS: tuple[Holder, ...] = (("ann", "a"), ("ann", "b"), ("bob", "a"))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("open", "lost", "forgotten", "look")), st.sampled_from(HOLDERS), st.floats(0, 20)
    ),
    max_size=40,
)


@given(STEPS)
def test_only_those_away_too_long_lose_what_they_hold(steps: list[tuple[str, Holder, float]]) -> None:
    """A simple record of who was last there when agrees with it, whatever happens in which order."""
    leases, now = Leases(), 0.0
    sessions: dict[Holder, float | None] = {}
    seen: dict[Holder, float | None] = {}
    for what, holder, pause in steps:
        now += pause
        match what:
            case "open":
                sessions[holder] = None
            case "lost":
                if sessions.get(holder, now) is None:
                    sessions[holder] = now
            case "forgotten":
                sessions.pop(holder, None)
            case _:
                for each in HOLDERS:
                    before = seen.get(each)
                    seen[each] = sessions.get(each, now if before is None else before)
                expected = {
                    each for each in HOLDERS if (since := seen[each]) is not None and now - since >= LEASE
                }
                assert leases.due(HOLDERS, sessions, now, LEASE) == expected


def test_a_holder_never_seen_gets_a_whole_lease() -> None:
    """After a restart the service waits for those whose containers it finds."""
    leases = Leases()
    one = HOLDERS[:1]

    assert leases.due(one, {}, 100.0, LEASE) == set()
    assert leases.due(one, {}, 129.0, LEASE) == set()
    assert leases.due(one, {}, 130.0, LEASE) == set(one)


def test_the_lease_is_counted_from_the_loss() -> None:
    """How often it is looked makes no lease longer."""
    assert Leases().due(HOLDERS[:1], {HOLDERS[0]: 100.0}, 130.0, LEASE) == {HOLDERS[0]}


def test_another_accounts_session_of_the_same_id_keeps_nothing() -> None:
    """The id alone is no proof: the account belongs to it."""
    leases = Leases()
    sessions: dict[Holder, float | None] = {("bob", "a"): None}
    leases.due([("ann", "a")], sessions, 0.0, LEASE)

    assert leases.due([("ann", "a")], sessions, LEASE, LEASE) == {("ann", "a")}


def test_who_holds_nothing_is_forgotten() -> None:
    """A session that held nothing for a while begins with a whole lease when it holds again."""
    leases = Leases()
    leases.due(HOLDERS, {}, 0.0, LEASE)
    leases.due([], {}, 10.0, LEASE)

    assert leases.due(HOLDERS, {}, LEASE, LEASE) == set()
