"""Who may publish under which domain: claims and their tokens, as kept in the engine's memory area. Pure."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tfd.protocol.errors import Code, CommandError
from tflocation.web.names import longest

_DOMAIN = "domain."
_TOKEN = "domaintoken."  # noqa: S105 - a key's prefix

TOKEN_LIFE: Final = 6 * 3600.0
"""Seconds for which a prepared claim waits for its TXT record."""

MAX_DOMAINS: Final = 64
"""Domains that one account may hold, and prepare, at once."""

RECORD: Final = "tf-token"
"""The label before a domain whose TXT record proves a claim."""

Changes = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Domain:
    """A claimed domain; `shared` lets every account publish under it."""

    name: str
    account: str
    shared: bool = False


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    expires: float


class Domains:
    """What the memory area says at one moment.

    Args:
        memory: its keys and values; entries that cannot be read are left out.
        everyones: domains that the administrator gives to all accounts.
        accounts: names of the accounts that live; a domain of any other is free.

    Every method that changes gives what to write. All raise CommandError.

    """

    def __init__(
        self, memory: Mapping[str, str], everyones: Iterable[str], accounts: Collection[str]
    ) -> None:
        self._everyones = frozenset(everyones)
        self._claimed: dict[str, Domain] = {}
        self._tokens: dict[str, _Token] = {}
        for key, value in memory.items():
            if key.startswith(_DOMAIN):
                domain = _read_domain(key.removeprefix(_DOMAIN), value)
                if domain is not None and domain.account in accounts:
                    self._claimed[domain.name] = domain
            elif key.startswith(_TOKEN):
                token = _read_token(value)
                if token is not None:
                    self._tokens[key] = token

    def usable(self, account: str) -> list[Domain]:
        """Give what the account may publish under, by name; the administrator's belong to the account ""."""
        mine = [d for d in self._claimed.values() if d.shared or d.account == account]
        given = [Domain(name, "", True) for name in self._everyones - self._claimed.keys()]
        return sorted(mine + given, key=lambda domain: domain.name)

    def require(self, account: str, name: str) -> None:
        """Raise denied unless the account may publish this name: its longest domain decides."""
        domain = longest(name, self._claimed.keys() | self._everyones)
        claimed = self._claimed.get(domain or "")
        if domain is None:
            raise CommandError(Code.DENIED, f"{name} is under no domain of this account; claim one first")
        if claimed is not None and not claimed.shared and claimed.account != account:
            raise CommandError(Code.DENIED, f"{name} is under {domain}, which is another account's")

    def prepare(self, account: str, name: str, token: str, now: float) -> tuple[str, Changes]:
        """Give the token that the record must show, the older one while it is good."""
        self._require_free(name)
        key = _token_key(account, name)
        held = self._tokens.get(key)
        if held is not None and held.expires > now:
            return held.text, {}
        own = [other for other in self._tokens if other.startswith(_token_key(account, ""))]
        changes: Changes = {other: None for other, old in self._tokens.items() if old.expires <= now}
        if len(set(own) - changes.keys()) >= MAX_DOMAINS:
            raise CommandError(Code.LIMIT, f"{MAX_DOMAINS} claims are prepared already; allowed: no more")
        changes[key] = json.dumps({"token": token, "expires": now + TOKEN_LIFE})
        return token, changes

    def token(self, account: str, name: str, now: float) -> str:
        """Give the token prepared for a claim; "" where the domain is the account's already."""
        claimed = self._claimed.get(name)
        if claimed is not None and claimed.account == account:
            return ""
        self._require_free(name)
        held = self._tokens.get(_token_key(account, name))
        if held is None or held.expires <= now:
            hours = int(TOKEN_LIFE / 3600)
            raise CommandError(
                Code.NOT_FOUND, f"{name} is not prepared, or was longer than {hours} h ago; prepare it first"
            )
        return held.text

    def claim(self, account: str, name: str) -> Changes:
        """Make the domain the account's."""
        self._require_free(name)
        if sum(domain.account == account for domain in self._claimed.values()) >= MAX_DOMAINS:
            raise CommandError(Code.LIMIT, f"the account holds {MAX_DOMAINS} domains; allowed: no more")
        return {_token_key(account, name): None, _DOMAIN + name: _write(Domain(name, account))}

    def share(self, account: str, name: str, shared: bool) -> Changes:
        """Let all accounts publish under it, or no longer."""
        self._require_own(account, name)
        return {_DOMAIN + name: _write(Domain(name, account, shared))}

    def release(self, account: str, name: str) -> Changes:
        """Give it up."""
        self._require_own(account, name)
        return {_DOMAIN + name: None}

    def _require_free(self, name: str) -> None:
        if name in self._claimed or name in self._everyones:
            raise CommandError(Code.EXISTS, f"{name} is claimed already")

    def _require_own(self, account: str, name: str) -> None:
        domain = self._claimed.get(name)
        if domain is None or domain.account != account:
            raise CommandError(Code.NOT_FOUND, f"{name} is no domain of this account")


def entry(name: str) -> str:
    """Give the key of the memory area that holds a domain."""
    return _DOMAIN + name


def _token_key(account: str, name: str) -> str:
    # An account's name holds no slash.
    return f"{_TOKEN}{account}/{name}"


def _write(domain: Domain) -> str:
    return json.dumps({"account": domain.account, "shared": domain.shared})


def _read_domain(name: str, value: str) -> Domain | None:
    fields = _fields(value)
    account, shared = fields.get("account"), fields.get("shared")
    if not isinstance(account, str) or not isinstance(shared, bool):
        return None
    return Domain(name, account, shared)


def _read_token(value: str) -> _Token | None:
    fields = _fields(value)
    text, expires = fields.get("token"), fields.get("expires")
    if not isinstance(text, str) or not isinstance(expires, int | float):
        return None
    return _Token(text, expires)


def _fields(value: str) -> dict[str, Any]:
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
