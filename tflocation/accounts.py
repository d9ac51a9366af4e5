"""Accounts and invites: kept in the engine's memory area, so every member of a cluster knows the same.

`Book` is one reading of that area and decides without I/O; `Accounts` reads and writes it. Of an invite's
token only a hash is kept, of an account only the public key.
"""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Protocol, TypeVar

from tfd.protocol.commands import Role
from tfd.protocol.errors import Code, CommandError, InviteError
from tfd.protocol.invite import Invite as InviteLine
from tfd.protocol.invite import format_invite
from tflocation.engines.interface import Conflict, NotFound
from tflocation.values import NAME, Address

TOKEN_BYTES = 16
MAX_ACCOUNTS = 4096
MAX_INVITES = 256
MAX_REVOKED = 256
"""Revoked keys that are remembered, so that their holders are told so instead of finding silence."""

ATTEMPTS = 8
"""Tries of one change against other writers of the memory area."""

_ACCOUNT = "account."
_INVITE = "invite."

Changes = dict[str, str | None]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Account:
    """One key pair that the location knows; `key` is the public key in z85, `created` in unix seconds."""

    name: str
    key: str
    role: Role
    created: float
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Invite:
    """Permission for one unknown key to become the account `name`; `expires` in unix seconds."""

    digest: str
    name: str
    role: Role
    expires: float


def token_digest(token: bytes) -> str:
    """Give the hash under which an invite is kept: BLAKE2b-256 of its token, in hexadecimal."""
    return blake2b(token, digest_size=32, person=b"tfd invite").hexdigest()


@dataclass(frozen=True, slots=True)
class Book:
    """What the memory area says at one moment. Entries that cannot be read are left out."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    invites: Mapping[str, Invite] = field(default_factory=dict)
    keys: Mapping[str, Account] = field(default_factory=dict)
    raw: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, memory: Mapping[str, str]) -> "Book":
        """Read the memory area's keys and values; keys of others are ignored."""
        accounts, invites = {}, {}
        raw = {key: value for key, value in memory.items() if key.startswith((_ACCOUNT, _INVITE))}
        for key, value in raw.items():
            account = _read_account(key, value)
            invite = _read_invite(key, value)
            if account is not None:
                accounts[account.name] = account
            if invite is not None:
                invites[invite.digest] = invite
        keys = {account.key: account for account in sorted(accounts.values(), key=lambda a: not a.revoked)}
        return cls(accounts, invites, keys, raw)

    def account_of(self, key: str) -> Account | None:
        """Give the account, revoked or not, of this z85 public key."""
        return self.keys.get(key)

    def has_open_invite(self, now: float) -> bool:
        """Whether an unknown key could join at `now` (unix seconds)."""
        return any(invite.expires > now for invite in self.invites.values())

    def invite(self, invite: Invite, now: float) -> Changes:
        """Give what to write so that `invite` holds; an older invite of the same name is replaced.

        Raises CommandError: bad-parameter (name), exists (such an account lives), limit.
        """
        if not NAME.fullmatch(invite.name):
            raise CommandError(
                Code.BAD_PARAMETER,
                f"account name {invite.name!r}: allowed are 1 to 63 letters, digits, '.', '-' and '_'",
            )
        existing = self.accounts.get(invite.name)
        if existing is not None and not existing.revoked:
            raise CommandError(Code.EXISTS, f"the account {invite.name} exists; revoke it first")
        changes = self._without_expired(now)
        for other in self.invites.values():
            if other.name == invite.name:
                changes[_INVITE + other.digest] = None
        if len(self.invites) - len(changes) >= MAX_INVITES or len(self.accounts) >= MAX_ACCOUNTS:
            raise CommandError(
                Code.LIMIT, f"there are {len(self.invites)} invites and {len(self.accounts)} accounts already"
            )
        changes[_INVITE + invite.digest] = json.dumps(
            {"name": invite.name, "role": invite.role.name.lower(), "expires": invite.expires}
        )
        return changes

    def join(self, key: str, token: bytes, now: float) -> tuple[Account, Changes]:
        """Give the account that `key` becomes by `token`, and what to write for it: the token is used up.

        A key that is an account already stays that account. Raises CommandError denied.
        """
        present = self.account_of(key)
        if present is not None and not present.revoked:
            return present, {}
        invite = self.invites.get(token_digest(token))
        if invite is None or invite.expires <= now:
            raise CommandError(
                Code.DENIED, "the invite is not known, was used already, or has expired; ask for a new one"
            )
        account = Account(invite.name, key, invite.role, now)
        changes = self._without_expired(now)
        changes[_INVITE + invite.digest] = None
        if present is not None:
            changes[_ACCOUNT + present.name] = None
        changes[_ACCOUNT + account.name] = _write_account(account)
        return account, changes

    def revoke(self, name: str, now: float) -> Changes:
        """Give what to write so that the account `name` is revoked and its invites are void.

        Raises CommandError not-found.
        """
        changes = self._without_expired(now)
        found = False
        for invite in self.invites.values():
            if invite.name == name:
                changes[_INVITE + invite.digest] = None
                found = True
        account = self.accounts.get(name)
        if account is not None and not account.revoked:
            found = True
            revoked = Account(name, account.key, account.role, now, revoked=True)
            changes[_ACCOUNT + name] = _write_account(revoked)
            changes |= self._without_oldest_revoked()
        if not found:
            raise CommandError(Code.NOT_FOUND, f"there is no account {name}")
        return changes

    def _without_expired(self, now: float) -> Changes:
        return {_INVITE + invite.digest: None for invite in self.invites.values() if invite.expires <= now}

    def _without_oldest_revoked(self) -> Changes:
        revoked = sorted((a for a in self.accounts.values() if a.revoked), key=lambda a: a.created)
        return {
            _ACCOUNT + account.name: None for account in revoked[: max(0, len(revoked) - MAX_REVOKED + 1)]
        }


def _write_account(account: Account) -> str:
    value: dict[str, object] = {
        "key": account.key,
        "role": account.role.name.lower(),
        "created": account.created,
    }
    if account.revoked:
        value["revoked"] = True
    return json.dumps(value)


def _read_account(key: str, value: str) -> Account | None:
    if not key.startswith(_ACCOUNT):
        return None
    fields = _fields(value)
    role = _role(fields.get("role"))
    public, created = fields.get("key"), fields.get("created")
    if role is None or not isinstance(public, str) or not isinstance(created, int | float):
        return None
    return Account(key.removeprefix(_ACCOUNT), public, role, created, fields.get("revoked") is True)


def _read_invite(key: str, value: str) -> Invite | None:
    if not key.startswith(_INVITE):
        return None
    fields = _fields(value)
    role = _role(fields.get("role"))
    name, expires = fields.get("name"), fields.get("expires")
    if role is None or not isinstance(name, str) or not isinstance(expires, int | float):
        return None
    return Invite(key.removeprefix(_INVITE), name, role, expires)


def _fields(value: str) -> dict[str, object]:
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _role(value: object) -> Role | None:
    return {"user": Role.USER, "admin": Role.ADMIN}.get(value) if isinstance(value, str) else None


class Memory(Protocol):
    """The part of the engine that accounts are kept in; see `Engine`."""

    async def load_memory(self) -> dict[str, str]:
        """Read all keys and values."""

    async def save_memory(
        self, changes: Mapping[str, str | None], *, expect: Mapping[str, str | None] | None = None
    ) -> None:
        """Write all changes at once if every expected value still holds. Raises Conflict."""


class Accounts:
    """The accounts of this location. All methods that write raise CommandError and EngineError."""

    def __init__(self, memory: Memory, clock: Callable[[], float] = time.time) -> None:
        self._memory = memory
        self._clock = clock
        self.book = Book()

    def now(self) -> float:
        """Give the location's own clock, unix seconds: the only one that decides about expiry."""
        return self._clock()

    def admits(self, key: str) -> bool:
        """Whether the holder of this z85 public key may open a session, if only to join or to be told no."""
        return self.book.account_of(key) is not None or self.book.has_open_invite(self.now())

    async def refresh(self) -> None:
        """Read the memory area anew into `book`."""
        try:
            memory = await self._memory.load_memory()
        except NotFound:
            # A new engine has no place for it yet; the first write makes one.
            memory = {}
        self.take(memory)

    def take(self, memory: Mapping[str, str]) -> None:
        """Read a memory area into `book`."""
        self.book = Book.read(memory)

    async def invite(self, name: str, role: Role, expires: float) -> tuple[bytes, float]:
        """Make an invite that is good for `expires` seconds; gives its token and the unix time of its end."""
        token = secrets.token_bytes(TOKEN_BYTES)
        end = float(int(self.now() + expires))
        invite = Invite(token_digest(token), name, role, end)
        await self._change(lambda book: (None, book.invite(invite, self.now())))
        return token, end

    async def invite_line(
        self, name: str, role: Role, expires: float, address: Address, public_key: bytes
    ) -> str:
        """Make an invite and give the line for `tfd join`; `address` is where clients reach the location."""
        try:
            draft = InviteLine(name, address.host, address.port, public_key, bytes(TOKEN_BYTES), 1)
        except InviteError as error:
            raise CommandError(Code.BAD_PARAMETER, str(error)) from error
        token, end = await self.invite(name, role, expires)
        return format_invite(replace(draft, token=token, expires=int(end)))

    async def join(self, key: str, token: bytes) -> Account:
        """Make the holder of `key` an account, using up the token."""
        return await self._change(lambda book: book.join(key, token, self.now()))

    async def revoke(self, name: str) -> None:
        """Revoke the account and its unused invites."""
        await self._change(lambda book: (None, book.revoke(name, self.now())))

    async def _change(self, decide: Callable[[Book], tuple[T, Changes]]) -> T:
        """Decide from a fresh reading and write, again from the start where another writer was faster."""
        for _ in range(ATTEMPTS):
            await self.refresh()
            result, changes = decide(self.book)
            if not changes:
                return result
            expect = {key: self.book.raw.get(key) for key in changes}
            try:
                await self._memory.save_memory(changes, expect=expect)
            except Conflict:
                continue
            await self.refresh()
            return result
        raise CommandError(Code.BUSY, "the accounts are being changed by others all the time; try again")
