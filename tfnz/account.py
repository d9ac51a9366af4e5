"""The user's accounts: files in `~/.20ft`, one set for each location.

`NAME` holds the secret key and `NAME.pub` the public one, `NAME.spub` the location's public key, each as the
base64 text of 32 bytes. `NAME.address`, where there is one, has lines of `host:port` to dial; otherwise the
name is resolved. `default_location` holds the name that is used where none is given.
"""

import base64
import binascii
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tfd.protocol.address import Address
from tfd.protocol.errors import InviteError, KeyFileError
from tfd.protocol.keys import KEY_SIZE, KeyPair, generate, pair_of, read_private, write_private

if TYPE_CHECKING:
    from pathlib import Path

PORT: Final = 2020
"""TCP port of a location where its address names none."""

_LIMIT: Final = 4096


@dataclass(frozen=True, slots=True)
class Account:
    """What is needed to reach one location; keys have 32 bytes."""

    name: str
    pair: KeyPair = field(repr=False)
    location: bytes
    addresses: tuple[Address, ...]


class KeyView:
    """The account's public key, as programs written for 20ft ask for it."""

    def __init__(self, public: bytes) -> None:
        self._public = public

    @property
    def public(self) -> bytes:
        """Base64 of the 32 bytes."""
        return base64.b64encode(self._public)

    def public_binary(self) -> bytes:
        """Give the 32 bytes."""
        return self._public


def directory() -> "Path":
    """Give the directory of the user who runs this: `~/.20ft`."""
    from pathlib import Path

    return Path(_path(""))


def locations() -> list[str]:
    """Give the names of the locations that the user has keys for. Raises FileNotFoundError, OSError."""
    names = set(os.listdir(_path("")))  # noqa: PTH208 - names are wanted, not paths
    return sorted(name for name in names if f"{name}.pub" in names)


def has_default() -> bool:
    """Tell whether there is a default location."""
    return os.path.isfile(_path("default_location"))  # noqa: PTH113 - see _path


def default_location() -> str:
    """Give the name of the default location. Raises RuntimeError where there is none."""
    path = _path("default_location")
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - see _path
            name = file.read(_LIMIT).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RuntimeError(
            f"{path}: cannot be read ({_reason(error)}), so it is not known which location is meant; "
            "for a first account run: tf init INVITE"
        ) from error
    if not name:
        raise RuntimeError(f"{path}: empty; choose a location with: tflocations select NAME")
    return name


def select(name: str) -> None:
    """Make a location the default. Raises RuntimeError where it has no keys or the file is not writable."""
    if not (directory() / f"{name}.pub").exists():
        raise RuntimeError(f"there are no keys for a location {name} in {directory()}; see: tflocations list")
    _write("default_location", name + "\n")


def load(name: str) -> Account:
    """Read the keys for a location.

    Raises RuntimeError: a file is missing, damaged, or others may read the secret; the message names the
    command that mends it.
    """
    _check_name(name)
    path = _path(name)
    secret = _key(path, _read_secret(path))
    public = _key(f"{path}.pub", _read(f"{path}.pub"))
    location = _key(f"{path}.spub", _read(f"{path}.spub"))
    pair = pair_of(secret)
    if pair.public != public:
        raise RuntimeError(
            f"{path}.pub: does not belong to the secret key beside it; restore both from a backup"
        )
    return Account(name, pair, location, _addresses(f"{path}.address", name))


def parse_address(text: str) -> Address:
    """Give the address of `host`, `host:port`, `[IPv6]:port` or a bare IPv6. Raises ValueError."""
    text = text.strip()
    host, port = text, str(PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, port = text.split(":")
    if not host or any(character.isspace() for character in host) or not port.isdecimal():
        raise ValueError(f"{text!r} is not an address; allowed: HOST or HOST:PORT")
    if not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r}: the port is {port}; allowed: 1 to 65535")
    return Address(host=host, port=int(port))


def store(name: str, pair: KeyPair, location: bytes, addresses: tuple[Address, ...]) -> None:
    """Write a new account; it becomes the default where there is none.

    Raises RuntimeError where there is one for that location already, or a file cannot be written.
    """
    _check_name(name)
    require_new(name)
    place = directory()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RuntimeError(f"{place}: cannot be made: {_reason(error)}") from error
    # The two that make it an account come last, so that nothing half written is seen as one.
    _write(f"{name}.address", "".join(f"{address}\n" for address in addresses))
    _write(f"{name}.spub", _text(location))
    _write(name, _text(pair.secret))
    _write(f"{name}.pub", _text(pair.public))
    if not has_default():
        _write("default_location", name + "\n")


def require_new(name: str) -> None:
    """Raise RuntimeError where there are keys for a location of that name already."""
    path = _path(name)
    if os.path.lexists(path):
        raise RuntimeError(f"{path}: there is an account for location {name} already; move it away first")


def join(invite: str, *, name: str | None = None) -> str:
    """Accept an invite: make keys, prove the invite's token to the location, and store the account.

    Args:
        invite: the whole line.
        name: what the location is called here; its own name if not given.

    Returns:
        The location's name here.

    Raises:
        ValueError: it is no invite, or the location refuses it.
        RuntimeError: there is an account of that name already, or it cannot be stored.
        TimeoutError: the location does not answer.

    """
    from tfd.protocol.invite import parse_invite
    from tfnz.joining import prove

    try:
        accepted = parse_invite(invite)
    except InviteError as error:
        raise ValueError(str(error)) from None
    if name is not None:
        _check_name(name)
        require_new(name)
    address = Address(host=accepted.host, port=accepted.port)
    pair = generate()

    def acceptable(theirs: str) -> str:
        chosen = name or theirs
        _check_name(chosen)
        require_new(chosen)
        return chosen

    account = Account(name or accepted.host, pair, accepted.public, (address,))
    chosen = prove(account, accepted.token, acceptable)
    store(chosen, pair, accepted.public, (address,))
    return chosen


def _path(name: str) -> str:
    # By os.path: importing pathlib costs a megabyte of memory, which a small program is to be spared.
    return os.path.join(os.path.expanduser("~"), ".20ft", name).rstrip("/")  # noqa: PTH111, PTH118


def _addresses(path: str, name: str) -> tuple[Address, ...]:
    if not os.path.lexists(path):
        return (parse_address(name),)
    lines = [line for line in _read(path).decode("utf-8", "replace").split("\n") if line.strip()]
    try:
        return tuple(parse_address(line) for line in lines) or (parse_address(name),)
    except ValueError as error:
        raise RuntimeError(f"{path}: {error}") from None


def _check_name(name: str) -> None:
    # The name becomes the name of a file.
    if not name or name.startswith(".") or "/" in name or not name.isprintable() or len(name) > 200:
        raise RuntimeError(f"{name!r} is not the name of a location")


def _read_secret(path: str) -> bytes:
    try:
        return read_private(path, _LIMIT)
    except KeyFileError as error:
        try:
            owner = os.lstat(path).st_uid
        except FileNotFoundError:
            raise RuntimeError(_missing(path)) from None
        except OSError:
            owner = -1
        if owner not in (0, os.geteuid()) or not os.access(path, os.R_OK):
            raise RuntimeError(f"{path}: belongs to another user{_chown(path)}") from None
        raise RuntimeError(str(error)) from None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - see _path
            return file.read(_LIMIT)
    except FileNotFoundError:
        raise RuntimeError(_missing(path)) from None
    except OSError as error:
        advice = _chown(path) if isinstance(error, PermissionError) else ""
        raise RuntimeError(f"{path}: cannot be read: {_reason(error)}{advice}") from error


def _chown(path: str) -> str:
    return f"; run: sudo chown -R {os.geteuid()} {os.path.dirname(path)}"  # noqa: PTH120 - see _path


def _key(path: str, content: bytes) -> bytes:
    try:
        key = base64.b64decode(content.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_SIZE:
        raise RuntimeError(f"{path}: not a key ({KEY_SIZE} bytes as base64); restore it from a backup")
    return key


def _missing(path: str) -> str:
    return (
        f"{path}: there is no such file; copy ~/.20ft from where the account was made, "
        "or make an account with: tf init INVITE"
    )


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode("ascii") + "\n"


def _write(name: str, text: str) -> None:
    try:
        write_private(directory() / name, text.encode())
    except KeyFileError as error:
        raise RuntimeError(str(error)) from None


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
