"""Domains: who may claim and publish, as the engine's memory area tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.errors import CommandError
from tflocation.web.domains import MAX_DOMAINS, TOKEN_LIFE, Changes, Domain, Domains

ACCOUNTS = ("alice", "bob")


class Book:
    """A memory area in which domains are claimed."""

    def __init__(self, everyones: tuple[str, ...] = ()) -> None:
        self.memory: dict[str, str] = {}
        self.everyones = everyones
        self.accounts = set(ACCOUNTS)

    @property
    def domains(self) -> Domains:
        """What it says now."""
        return Domains(self.memory, self.everyones, self.accounts)

    def write(self, changes: Changes) -> None:
        """Take changes."""
        for key, value in changes.items():
            if value is None:
                self.memory.pop(key, None)
            else:
                self.memory[key] = value

    def claim(self, account: str, name: str) -> None:
        """Prepare and claim."""
        token, changes = self.domains.prepare(account, name, "t", 0.0)
        self.write(changes)
        assert self.domains.token(account, name, 1.0) == token
        self.write(self.domains.claim(account, name))

    def code(self, account: str, name: str) -> str:
        """Give the code with which publishing a name is refused; "" where it is not."""
        try:
            self.domains.require(account, name)
        except CommandError as error:
            return error.code
        return ""


def test_a_claimed_domain_is_its_accounts() -> None:
    """It may publish the domain itself and what is below; others may not."""
    book = Book()
    assert book.code("alice", "www.a.example") == "denied"
    book.claim("alice", "a.example")
    assert [book.code("alice", name) for name in ("a.example", "www.a.example")] == ["", ""]
    assert book.code("bob", "www.a.example") == "denied"
    assert book.code("alice", "xa.example") == "denied"
    assert book.domains.usable("alice") == [Domain("a.example", "alice")]
    assert book.domains.usable("bob") == []


def test_a_shared_domain_is_everyones_until_taken_back() -> None:
    """Who shares it decides alone."""
    book = Book()
    book.claim("alice", "a.example")
    with pytest.raises(CommandError, match="no domain of this account"):
        book.domains.share("bob", "a.example", True)
    book.write(book.domains.share("alice", "a.example", True))
    assert book.code("bob", "www.a.example") == ""
    book.write(book.domains.share("alice", "a.example", False))
    assert book.code("bob", "www.a.example") == "denied"


def test_the_longest_domain_decides() -> None:
    """A part that was given to another account is not the outer domain's any more."""
    book = Book(everyones=("example",))
    book.claim("alice", "a.example")
    book.claim("bob", "b.a.example")
    assert book.code("alice", "x.b.a.example") == "denied"
    assert book.code("bob", "x.b.a.example") == ""
    assert book.code("bob", "other.example") == ""
    assert [domain.name for domain in book.domains.usable("bob")] == ["b.a.example", "example"]


def test_a_claim_is_for_one() -> None:
    """A domain that is claimed, or the administrator's, can be neither prepared nor claimed."""
    book = Book(everyones=("given.example",))
    book.claim("alice", "a.example")
    for name in ("a.example", "given.example"):
        with pytest.raises(CommandError, match="claimed already"):
            book.domains.prepare("bob", name, "t", 0.0)
        with pytest.raises(CommandError, match="claimed already"):
            book.domains.claim("bob", name)
    assert book.domains.token("alice", "a.example", 2.0) == ""


def test_a_token_is_good_for_a_while() -> None:
    """It stays the same while it is good; after that the domain is prepared anew."""
    book = Book()
    book.write(book.domains.prepare("alice", "a.example", "first", 0.0)[1])
    assert book.domains.prepare("alice", "a.example", "second", 1.0) == ("first", {})
    with pytest.raises(CommandError, match="not prepared"):
        book.domains.token("bob", "a.example", 1.0)
    with pytest.raises(CommandError, match="longer than 6 h ago"):
        book.domains.token("alice", "a.example", TOKEN_LIFE)
    assert book.domains.prepare("alice", "a.example", "second", TOKEN_LIFE)[0] == "second"


def test_a_released_domain_is_free() -> None:
    """Another account may claim it then."""
    book = Book()
    book.claim("alice", "a.example")
    book.write(book.domains.release("alice", "a.example"))
    book.claim("bob", "a.example")
    assert book.code("bob", "a.example") == ""


def test_a_revoked_accounts_domains_are_free() -> None:
    """They are neither shared nor anybody's."""
    book = Book()
    book.claim("alice", "a.example")
    book.write(book.domains.share("alice", "a.example", True))
    book.accounts = {"bob"}
    assert book.code("bob", "a.example") == "denied"
    book.claim("bob", "a.example")


def test_an_account_prepares_so_many() -> None:
    """Claims that ran out make room."""
    book = Book()
    for number in range(MAX_DOMAINS):
        book.write(book.domains.prepare("alice", f"n{number}.example", "t", 0.0)[1])
    with pytest.raises(CommandError, match="prepared already"):
        book.domains.prepare("alice", "more.example", "t", 1.0)
    book.write(book.domains.prepare("bob", "more.example", "t", 1.0)[1])
    book.write(book.domains.prepare("alice", "more.example", "t", TOKEN_LIFE)[1])
    assert len([key for key in book.memory if "/n" in key]) == 0


@given(st.dictionaries(st.sampled_from(["domain.a", "domaintoken.alice/a", "other"]), st.text()))
def test_entries_that_cannot_be_read_are_left_out(memory: dict[str, str]) -> None:
    """A damaged memory area names no domain."""
    assert Domains(memory, (), ACCOUNTS).usable("alice") == []


@pytest.mark.parametrize("value", ["[]", "{}", '{"account": 3, "shared": true}', '{"account": "alice"}'])
def test_entries_of_another_shape_are_left_out(value: str) -> None:
    """The same where they are JSON, but not ours."""
    assert Domains({"domain.a": value}, (), ACCOUNTS).usable("alice") == []
