"""`tfd join`: a new account at the location that an invite comes from."""

import os
import sys
from typing import Any, Final

import zmq

from tfd import __version__
from tfd.locations.accounts import Account, account_path, make_directory, save_account, state_directory
from tfd.log import Log
from tfd.protocol.address import Address
from tfd.protocol.channel import available_ciphers
from tfd.protocol.commands import NAME
from tfd.protocol.drivers.journal import Entry
from tfd.protocol.drivers.link import Failure, Link
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.drivers.transport import Keys
from tfd.protocol.errors import InviteError, KeyFileError, TfdError
from tfd.protocol.events import Welcome
from tfd.protocol.invite import Invite, parse_invite
from tfd.protocol.keys import generate
from tfd.protocol.schema import Mismatch
from tfd.status import StatusError, ask

LIMIT: Final = 10.0
"""Seconds for all of it."""


class JoinError(TfdError):
    """The location was not joined; nothing is stored."""


def run(line: str, name: str | None) -> int:
    """Join, tell a running daemon, and say what was done; give the exit code."""
    state = state_directory()
    try:
        if name is not None:
            NAME.check(name, "--name")
        account = join(parse_invite(line), name, state)
    except (InviteError, Mismatch) as error:
        print(f"tfd: {error}", file=sys.stderr)
        return 2
    except (JoinError, KeyFileError) as error:
        print(f"tfd: {error}", file=sys.stderr)
        return 1
    path = account_path(account.name, state)
    print(f"joined location {account.name} as {account.account}; stored in {path}")
    try:
        ask("accounts")
    except StatusError:
        print("tfd is not running here; it will know the location when it starts")
    return 0


def join(invite: Invite, name: str | None, state: str | os.PathLike[str]) -> Account:
    """Make a key pair, prove the invite's token with it, and store the account.

    Raises JoinError, or KeyFileError where the account cannot be stored (before the token is used).
    """
    make_directory(state)
    if name is not None:
        _require_new(name, state)
    pair = generate()
    keys = Keys(invite.public, pair.public, pair.secret)
    joiner = _Joiner(invite, keys, name, state)
    account = joiner.run()
    save_account(account, state)
    return account


def _require_new(name: str, state: str | os.PathLike[str]) -> None:
    path = account_path(name, state)
    if os.path.exists(path):
        raise JoinError(f"location {name} is joined already ({path}): choose another name with --name")


class _Joiner:
    """The conversation of one join; owner of its link."""

    def __init__(self, invite: Invite, keys: Keys, name: str | None, state: str | os.PathLike[str]) -> None:
        self._invite = invite
        self._keys = keys
        self._name = name
        self._state = state
        self._result: Account | JoinError | None = None
        self._log = Log(_Nowhere())
        self._loop = Loop(self._log)

    def run(self) -> Account:
        """Talk until the account is had or refused. Raises JoinError."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._link = Link(
            self._loop,
            context,
            self._log,
            name=self._name or self._invite.host,
            keys=self._keys,
            addresses=(Address(host=self._invite.host, port=self._invite.port),),
            ciphers=available_ciphers(),
            program=f"tfd {__version__}",
            heartbeat=2.0,
            owner=self,
        )
        self._loop.call_later(LIMIT, self._give_up)
        try:
            self._loop.run()
        finally:
            self._link.close()
            self._loop.close()
            context.destroy(0)
        if isinstance(self._result, Account):
            return self._result
        raise self._result or JoinError("not joined: stopped")

    def link_opened(self, welcome: Welcome) -> None:
        self._name = self._name or welcome.location
        try:
            NAME.check(self._name, "the location's name")
            _require_new(self._name, self._state)
        except (Mismatch, JoinError) as error:
            self._end(JoinError(str(error)))
            return
        self._link.request("join", {"token": self._invite.token}, LIMIT, self._joined)

    def link_lost(self, reason: str) -> None:
        """Let the link try again within the limit; the same key may prove the same token again."""

    def link_refused(self, reason: str) -> None:
        self._end(JoinError(f"not joined: {reason}; the invite has expired or was used: ask for a new one"))

    def link_event(self, name: str, body: dict[str, Any]) -> None:
        """Nothing that a location tells matters to a join."""

    def _joined(self, answer: dict[str, Any] | Failure) -> None:
        if isinstance(answer, Failure):
            self._end(JoinError(f"not joined: {answer.message}"))
            return
        assert self._name is not None
        address = Address(host=self._invite.host, port=self._invite.port)
        account = str(answer.get("account") or self._invite.name)
        self._end(Account(self._name, account, (address,), self._keys))

    def _give_up(self) -> None:
        self._end(JoinError(f"not joined: {self._link.reason or 'the location does not answer'}"))

    def _end(self, result: Account | JoinError) -> None:
        if self._result is None:
            self._result = result
        self._loop.stop()


class _Nowhere:
    """A log's sink for a command that says itself what happened."""

    takes_output = False

    def encode(self, entry: Entry) -> bytes:  # noqa: ARG002
        return b""

    def send(self, data: bytes) -> bool:  # noqa: ARG002
        return True

    def close(self) -> None:
        pass
