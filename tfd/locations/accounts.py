"""Accounts of this daemon at locations: one private file each, written by `tfd join`.

A file is `locations/NAME.json` in the state directory, mode 0600, in a directory of mode 0700. The
private key in it never leaves this machine.
"""

import json
import os
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from tfd.protocol.address import Address
from tfd.protocol.dataclass import dataclass
from tfd.protocol.drivers.transport import Keys
from tfd.protocol.errors import KeyFileError, ProtocolError, TfdError
from tfd.protocol.keys import (
    KEY_SIZE,
    base64url_decode,
    base64url_encode,
    pair_of,
    read_private,
    write_private,
)

AnyPath: TypeAlias = str | os.PathLike[str]

SCHEMA: Final = 1

_DIRECTORY: Final = "locations"
_SUFFIX: Final = ".json"


class AccountError(TfdError):
    """An account cannot be read or stored; the message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """What this daemon needs to reach one location. `name` is the location's name here."""

    name: str
    account: str
    addresses: tuple[Address, ...]
    keys: Keys


def state_directory() -> str:
    """Give the state directory: $STATE_DIRECTORY (systemd.exec(5)), else /var/lib/tfd."""
    return os.environ.get("STATE_DIRECTORY", "/var/lib/tfd").partition(":")[0] or "."


def account_path(name: str, state: AnyPath) -> str:
    """Give the path of a location's account file."""
    return os.path.join(state, _DIRECTORY, name + _SUFFIX)


def load_accounts(state: AnyPath) -> tuple[dict[str, Account], list[str]]:
    """Read all accounts; give them by name, and one line for each file that cannot be used."""
    accounts: dict[str, Account] = {}
    problems: list[str] = []
    directory = os.path.join(state, _DIRECTORY)
    try:
        files = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        files = []
    except OSError as error:
        return {}, [f"{directory}: cannot be read: {error.strerror}"]
    for name in (file.removesuffix(_SUFFIX) for file in files if file.endswith(_SUFFIX)):
        try:
            accounts[name] = load_account(account_path(name, state))
        except (AccountError, KeyFileError) as error:
            problems.append(str(error))
    return accounts, problems


def load_account(path: AnyPath) -> Account:
    """Read one account file. Raises KeyFileError (others may read it, ...) or AccountError (damaged)."""
    content = read_private(os.fspath(path))
    try:
        return _parse(os.path.basename(path).removesuffix(_SUFFIX), json.loads(content))
    except (ValueError, KeyError, TypeError, RecursionError, ProtocolError) as error:
        raise AccountError(
            f"{path}: not an account file ({type(error).__name__}: {error}); remove it and join again"
        ) from None


def save_account(account: Account, state: AnyPath) -> None:
    """Store a new account. Raises KeyFileError where it cannot be written."""
    from pathlib import Path

    path = Path(account_path(account.name, state))
    document = {
        "schema": SCHEMA,
        "account": account.account,
        "addresses": [str(address) for address in account.addresses],
        "location": base64url_encode(account.keys.location),
        "private": base64url_encode(account.keys.private),
    }
    make_directory(state)
    write_private(path, json.dumps(document, indent=1).encode() + b"\n")
    owner = os.stat(state)
    if os.geteuid() == 0 and owner.st_uid:
        # `tfd join` is run by root; the daemon that must read the file may be run by another user.
        os.chown(path, owner.st_uid, owner.st_gid)


def make_directory(state: AnyPath) -> None:
    """Make the directory of the account files, for the owner of the state directory alone.

    Raises KeyFileError.
    """
    directory = os.path.join(state, _DIRECTORY)
    try:
        os.makedirs(state, mode=0o700, exist_ok=True)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        owner = os.stat(state)
        if os.geteuid() == 0 and owner.st_uid:
            os.chown(directory, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise KeyFileError(f"{directory}: cannot be made: {error.strerror}") from error


def _parse(name: str, document: Mapping[str, Any]) -> Account:
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema is {document['schema']!r}, this version reads {SCHEMA}")
    pair = pair_of(base64url_decode(document["private"], KEY_SIZE))
    location = base64url_decode(document["location"], KEY_SIZE)
    addresses = tuple(_address(text) for text in document["addresses"])
    if not addresses:
        raise ValueError("it has no address")
    return Account(name, str(document["account"]), addresses, Keys(location, pair.public, pair.secret))


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} is not host:port")
    return Address(host=host.strip("[]"), port=int(port))
