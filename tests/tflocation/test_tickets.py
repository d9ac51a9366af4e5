"""Tickets: good once, for a short time, for one account."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.errors import CommandError
from tflocation.tickets import Grant, PipeTarget, PortTarget, Refusal, Tickets

CIPHER = "chacha20poly1305"


def mint(tickets: Tickets, account: str = "ann", container: str = "web", now: float = 0.0) -> Grant:
    """A ticket for port 80."""
    return tickets.mint(account, container, PortTarget("10.0.0.2", 80), now, CIPHER)


def test_a_ticket_is_good_once() -> None:
    """The second presentation is told apart from an unknown ticket."""
    tickets = Tickets()
    grant = mint(tickets)

    assert tickets.redeem(grant.id, 1.0) == grant
    assert tickets.redeem(grant.id, 1.0) is Refusal.USED
    assert tickets.redeem(bytes(16), 1.0) is Refusal.UNKNOWN


def test_of_many_used_tickets_the_last_are_remembered() -> None:
    """However many are used in their time, memory is bounded; the older ones are refused as unknown."""
    tickets = Tickets(remembered=3)
    used = [mint(tickets) for _ in range(5)]
    for grant in used:
        assert tickets.redeem(grant.id, 1.0) == grant

    unknown, known = [Refusal.UNKNOWN] * 2, [Refusal.USED] * 3
    assert [tickets.redeem(grant.id, 1.0) for grant in used] == unknown + known


def test_a_ticket_is_good_for_a_short_time() -> None:
    """After its lifetime it is expired, and was thereby presented."""
    tickets = Tickets(lifetime=10.0)
    grant = mint(tickets)

    assert tickets.redeem(grant.id, 10.0) is Refusal.EXPIRED
    assert tickets.redeem(grant.id, 10.0) is Refusal.UNKNOWN


def test_revoked_accounts_and_forgotten_containers_lose_theirs() -> None:
    """Only the tickets that are meant are withdrawn."""
    tickets = Tickets()
    ann, bob, other = mint(tickets), mint(tickets, "bob"), mint(tickets, "bob", "other")

    assert tickets.revoke("ann") == 1
    assert tickets.forget("other") == 1
    assert tickets.redeem(ann.id, 1.0) is Refusal.UNKNOWN
    assert tickets.redeem(other.id, 1.0) is Refusal.UNKNOWN
    assert tickets.redeem(bob.id, 1.0) == bob


def test_an_account_holds_so_many_and_no_more() -> None:
    """The limit counts unused tickets, for each account alone, and time gives them back."""
    tickets = Tickets(most=2, lifetime=10.0)
    first = mint(tickets)
    mint(tickets)
    with pytest.raises(CommandError, match="unused tickets") as caught:
        mint(tickets)
    assert caught.value.code == "limit"
    mint(tickets, "bob")
    tickets.redeem(first.id, 1.0)
    mint(tickets, now=1.0)
    mint(tickets, now=20.0)

    assert len(tickets) == 1


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["mint", "redeem", "again", "revoke"]), st.floats(0, 20)), max_size=40
    )
)
def test_no_ticket_is_ever_taken_twice(steps: list[tuple[str, float]]) -> None:
    """Whatever happens in whatever order, each ticket opens at most one channel, in its time, unrevoked."""
    tickets = Tickets(lifetime=30.0)
    now = 0.0
    live: dict[bytes, float] = {}
    gone: set[bytes] = set()
    for action, passed in steps:
        now += passed
        if action == "mint":
            live[mint(tickets, now=now).id] = now
        elif action == "revoke":
            tickets.revoke("ann")
            gone |= set(live)
            live = {}
        elif action == "redeem" and live:
            ticket, born = live.popitem()
            gone.add(ticket)
            assert isinstance(tickets.redeem(ticket, now), Grant) == (now < born + 30.0)
        elif action == "again":
            for ticket in gone:
                assert isinstance(tickets.redeem(ticket, now), Refusal)


def test_what_is_unused_is_good_in_the_next_process_and_what_was_used_is_not() -> None:
    """Each ticket keeps its end, its account's share, and stays good once."""
    before, after = Tickets(lifetime=10.0, most=2), Tickets(lifetime=10.0, most=2)
    late, early = mint(before, now=5.0), mint(before, "bob", now=6.0)
    used = mint(before, now=6.0)
    before.redeem(used.id, 7.0)
    assert before.unused(7.0) == [late, early]
    assert before.unused(15.5) == [early]
    for grant in (late, early):
        after.take_over(grant)
    mint(after)
    with pytest.raises(CommandError):
        mint(after)

    assert after.redeem(early.id, 7.0) == early
    assert after.redeem(early.id, 7.0) is Refusal.USED
    assert after.redeem(used.id, 7.0) is Refusal.UNKNOWN
    assert after.redeem(late.id, 15.0) is Refusal.EXPIRED


def test_tickets_are_withdrawn_by_a_condition() -> None:
    """Those of pipes stay: their ends tell for themselves whether they are over."""
    tickets = Tickets()
    web, other = mint(tickets), mint(tickets, container="other")
    pipe = tickets.mint("ann", "web", PipeTarget(bytes(16)), 0.0, CIPHER)
    assert tickets.withdraw(lambda grant: grant.container == "web") == 1

    assert tickets.redeem(web.id, 1.0) is Refusal.UNKNOWN
    assert tickets.redeem(other.id, 1.0) == other
    assert tickets.redeem(pipe.id, 1.0) == pipe
