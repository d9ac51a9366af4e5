"""Accounts and invites, as the engine's memory area keeps them."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.memory_engine import MemoryEngine
from tfd.protocol.commands import Role
from tfd.protocol.errors import Code, CommandError
from tfd.protocol.invite import parse_invite
from tflocation.accounts import Accounts, Book, token_digest
from tflocation.engines.interface import Conflict
from tflocation.values import Address

KEY, OTHER = "k" * 40, "o" * 40


def at(engine: MemoryEngine, now: float) -> Accounts:
    """Give accounts whose clock stands at `now`."""
    return Accounts(engine, clock=lambda: now)


def test_only_a_hash_of_the_token_is_kept() -> None:
    """Who reads the engine's memory cannot join."""
    engine = MemoryEngine()
    accounts = at(engine, 1000)
    token, end = asyncio.run(accounts.invite("alice", Role.USER, 60))

    memory = asyncio.run(engine.load_memory())

    assert end == 1060
    assert list(memory) == [f"invite.{token_digest(token)}"]
    assert token.hex() not in json.dumps(memory)


def test_an_invite_becomes_an_account_once() -> None:
    """The token is used up by the first key; that key may repeat itself."""
    engine = MemoryEngine()
    accounts = at(engine, 1000)
    token, _ = asyncio.run(accounts.invite("alice", Role.ADMIN, 60))

    account = asyncio.run(accounts.join(KEY, token))

    assert (account.name, account.role) == ("alice", Role.ADMIN)
    assert asyncio.run(accounts.join(KEY, token)) == account
    with pytest.raises(CommandError, match="used already"):
        asyncio.run(accounts.join(OTHER, token))
    assert not accounts.admits(OTHER)


def test_an_invite_ends_by_the_locations_clock() -> None:
    """At its end an invite opens nothing, and the next change clears it away."""
    engine = MemoryEngine()
    token, end = asyncio.run(at(engine, 1000).invite("alice", Role.USER, 60))
    late = at(engine, end)
    asyncio.run(late.refresh())
    assert not late.admits(KEY)
    with pytest.raises(CommandError) as caught:
        asyncio.run(late.join(KEY, token))
    assert caught.value.code == Code.DENIED

    asyncio.run(late.invite("bob", Role.USER, 60))

    assert [invite.name for invite in late.book.invites.values()] == ["bob"]


def test_two_keys_cannot_use_one_token_at_the_same_time() -> None:
    """Both read the invite as open; the one that writes second is refused."""
    engine = MemoryEngine()

    async def race() -> list[object]:
        token, _ = await at(engine, 1000).invite("alice", Role.USER, 60)
        tries = (at(engine, 1000).join(key, token) for key in (KEY, OTHER))
        return await asyncio.gather(*tries, return_exceptions=True)

    results = asyncio.run(race())

    assert sum(isinstance(result, CommandError) for result in results) == 1
    assert len(Book.read(asyncio.run(engine.load_memory())).accounts) == 1


def test_a_new_invite_of_a_name_replaces_the_old_one() -> None:
    """Who lost an invite gets another; the lost one is void."""
    accounts = at(MemoryEngine(), 1000)
    old, _ = asyncio.run(accounts.invite("alice", Role.USER, 60))
    new, _ = asyncio.run(accounts.invite("alice", Role.USER, 60))
    with pytest.raises(CommandError):
        asyncio.run(accounts.join(KEY, old))
    assert asyncio.run(accounts.join(KEY, new)).name == "alice"
    with pytest.raises(CommandError) as caught:
        asyncio.run(accounts.invite("alice", Role.USER, 60))
    assert caught.value.code == Code.EXISTS


def test_a_revoked_account_is_remembered_and_can_be_invited_anew() -> None:
    """Its key is known as revoked; the name may be given to another key, or the same one."""
    accounts = at(MemoryEngine(), 1000)
    token, _ = asyncio.run(accounts.invite("alice", Role.USER, 60))
    asyncio.run(accounts.join(KEY, token))

    asyncio.run(accounts.revoke("alice"))

    revoked = accounts.book.account_of(KEY)
    assert revoked is not None
    assert revoked.revoked
    with pytest.raises(CommandError) as caught:
        asyncio.run(accounts.revoke("alice"))
    assert caught.value.code == Code.NOT_FOUND
    token, _ = asyncio.run(accounts.invite("alice", Role.USER, 60))
    assert not asyncio.run(accounts.join(KEY, token)).revoked
    assert [account.revoked for account in accounts.book.accounts.values()] == [False]


def test_revoking_an_invited_name_voids_the_invite() -> None:
    """An invite sent to the wrong person can be taken back."""
    accounts = at(MemoryEngine(), 1000)
    token, _ = asyncio.run(accounts.invite("alice", Role.USER, 60))
    asyncio.run(accounts.revoke("alice"))
    with pytest.raises(CommandError):
        asyncio.run(accounts.join(KEY, token))


def test_the_line_of_an_invite_says_all() -> None:
    """The printed line has the address, the location's key, the token and its end."""
    accounts = at(MemoryEngine(), 1000)
    line = asyncio.run(accounts.invite_line("alice", Role.USER, 60, Address("fd00::1", 2020), bytes(32)))
    invite = parse_invite(line)
    assert (invite.name, invite.host, invite.port, invite.expires) == ("alice", "fd00::1", 2020, 1060)
    assert asyncio.run(accounts.join(KEY, invite.token)).name == "alice"


def test_a_name_that_is_none_is_refused() -> None:
    """Nothing that is no account name reaches the engine's keys."""
    for name in ("", "a/b", "a\n", "x" * 64, "-a", "é"):
        with pytest.raises(CommandError) as caught:
            asyncio.run(at(MemoryEngine(), 0).invite(name, Role.USER, 60))
        assert caught.value.code == Code.BAD_PARAMETER


def test_endless_conflicts_end_with_busy() -> None:
    """Other writers cannot keep a change going for ever."""

    class Contested(MemoryEngine):
        async def save_memory(self, *_arguments: object, **_expected: object) -> None:
            raise Conflict("always")

    with pytest.raises(CommandError) as caught:
        asyncio.run(at(Contested(), 0).invite("alice", Role.USER, 60))
    assert caught.value.code == Code.BUSY


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["key", "role"]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["account.a", "invite.b", "x"]), JSON.map(json.dumps) | st.text()))
def test_nothing_in_the_memory_area_raises(memory: dict[str, str]) -> None:
    """Entries that others wrote wrongly are left out."""
    book = Book.read(memory)
    assert set(book.raw) <= {"account.a", "invite.b"}
    book.has_open_invite(0)
