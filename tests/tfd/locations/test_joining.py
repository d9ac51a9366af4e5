"""`tfd join` against a location that has no engine behind it."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.location_peer import LocationPeer
from tests.support.product import Daemon, free_port
from tfd.locations.accounts import Account, AccountError, load_account, load_accounts, save_account
from tfd.protocol.address import Address
from tfd.protocol.drivers.transport import Keys
from tfd.protocol.errors import KeyFileError
from tfd.protocol.keys import generate, z85_encode


@pytest.fixture
def tfd(tmp_path: Path) -> Daemon:
    """Give the program with directories of its own."""
    return Daemon(tmp_path / "tfd")


@pytest.fixture
def peer() -> Iterator[LocationPeer]:
    """Give a running location."""
    with LocationPeer() as made:
        yield made


def account_file(tfd: Daemon, name: str = "peer") -> Path:
    """Give the path where an account is stored."""
    return tfd.directory / "state/locations" / f"{name}.json"


def test_a_good_invite_stores_an_account_for_its_owner_alone(tfd: Daemon, peer: LocationPeer) -> None:
    """The file is 0600 in a directory of 0700, and its public key is the one that the location knows."""
    done = tfd.command("join", peer.invite("box"))
    path = account_file(tfd)
    account = load_account(path)

    assert done.returncode == 0, done.stderr
    assert "joined location peer as box" in done.stdout
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert peer.accounts == {z85_encode(account.keys.public): "box"}
    assert account.addresses == (Address(host="127.0.0.1", port=peer.port),)


def test_a_name_of_ones_own_choice(tfd: Daemon, peer: LocationPeer) -> None:
    """With --name the location is known by that here."""
    done = tfd.command("join", peer.invite(), "--name", "attic")

    assert done.returncode == 0, done.stderr
    assert account_file(tfd, "attic").exists()


def test_an_invite_works_once(tfd: Daemon, peer: LocationPeer) -> None:
    """The second use is refused in one line, and the first account stays."""
    invite = peer.invite()
    # While another invite is open, unknown keys are let in, and the token itself is judged.
    peer.invite("other")
    assert tfd.command("join", invite).returncode == 0
    before = account_file(tfd).read_bytes()
    done = tfd.command("join", invite, "--name", "again")

    assert done.returncode == 1
    assert "used" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert account_file(tfd).read_bytes() == before
    assert not account_file(tfd, "again").exists()


def test_an_expired_invite_is_refused(tfd: Daemon, peer: LocationPeer) -> None:
    """The line says that it has expired or was used."""
    done = tfd.command("join", peer.invite(expires_in=-10))

    assert done.returncode == 1
    assert "expired" in done.stderr
    assert not account_file(tfd).exists()


def test_a_location_that_is_joined_already_is_not_overwritten(tfd: Daemon, peer: LocationPeer) -> None:
    """The token is not used up by the attempt."""
    assert tfd.command("join", peer.invite()).returncode == 0
    second = peer.invite()
    done = tfd.command("join", second)

    assert done.returncode == 1
    assert "--name" in done.stderr
    assert tfd.command("join", second, "--name", "other").returncode == 0


def test_an_unreachable_location(tfd: Daemon, peer: LocationPeer) -> None:
    """One line names the address."""
    port = free_port()
    done = tfd.command("join", peer.invite(port=port))

    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_another_location_s_key(tfd: Daemon, peer: LocationPeer) -> None:
    """A server that has not the key of the invite gets neither key nor token."""
    with LocationPeer("thief") as thief:
        done = tfd.command("join", peer.invite(port=thief.port))

        assert done.returncode == 1
        assert "key" in done.stderr
        assert thief.calls == []


def test_a_line_that_is_no_invite(tfd: Daemon) -> None:
    """It is a wrong command line."""
    done = tfd.command("join", "box@host")

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def stored(tmp_path: Path) -> Path:
    """Store an account and give its path."""
    pair = generate()
    keys = Keys(generate().public, pair.public, pair.secret)
    save_account(Account("home", "box", (Address(host="fd00::1", port=2020),), keys), tmp_path)
    return tmp_path / "locations/home.json"


def test_an_account_is_read_as_it_was_stored(tmp_path: Path) -> None:
    """Keys and addresses are the same, an IPv6 address among them."""
    account = load_account(stored(tmp_path))

    assert account.addresses == (Address(host="fd00::1", port=2020),)
    assert load_accounts(tmp_path) == ({"home": account}, [])


def test_an_account_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The message names the file and the command that mends it."""
    path = stored(tmp_path)
    path.chmod(0o640)

    with pytest.raises(KeyFileError, match="chmod 600"):
        load_account(path)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "null", "{}", '{"schema": 2}', "{" * 5000, '{"schema": 1, "private": 7}', "\xff", "NaN"],
)
def test_a_damaged_account_is_a_problem_and_no_crash(tmp_path: Path, content: str) -> None:
    """The others are read, and one line names the file."""
    path = stored(tmp_path)
    damaged = path.with_name("damaged.json")
    damaged.write_text(content)
    damaged.chmod(0o600)
    accounts, problems = load_accounts(tmp_path)

    assert list(accounts) == ["home"]
    assert len(problems) == 1
    assert str(damaged) in problems[0]
    with pytest.raises(AccountError):
        load_account(damaged)


def test_the_private_key_is_not_in_the_text_of_an_account(tmp_path: Path) -> None:
    """Neither repr nor str shows it."""
    account = load_account(stored(tmp_path))

    assert repr(account.keys.private) not in repr(account)
