"""Curve25519 key pairs, their text forms, and files that only their owner can read.

Text forms: z85 (ZeroMQ RFC 32) is what CURVE uses; base64url without padding (RFC 4648) is safe in
shells, file names and addresses.
"""

import base64
import binascii
import os
import re
import stat
from typing import TYPE_CHECKING

from tfd.protocol.dataclass import dataclass, field
from tfd.protocol.errors import KeyFileError, ProtocolError

if TYPE_CHECKING:
    # Imported by those who have paths: pathlib costs a megabyte of memory.
    from pathlib import Path

KEY_SIZE = 32
"""Bytes of a public or secret key."""
MAX_FILE = 64 * 1024

_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_Z85_VALUES = {character: value for value, character in enumerate(_Z85)}
_BASE64 = re.compile(r"[A-Za-z0-9_-]*")
_LABEL = "curve25519"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A Curve25519 key pair, 32 bytes each; the secret is not shown."""

    public: bytes
    secret: bytes = field(repr=False)


def generate() -> KeyPair:
    """Make a new key pair."""
    return pair_of(os.urandom(KEY_SIZE))


def pair_of(secret: bytes) -> KeyPair:
    """Give the pair of a secret key."""
    from nacl.bindings import crypto_scalarmult_base

    return KeyPair(crypto_scalarmult_base(secret), secret)


def z85_encode(data: bytes) -> str:
    """Give the z85 text of a byte string whose length is a multiple of 4; else ProtocolError."""
    if len(data) % 4:
        raise ProtocolError(f"z85 takes multiples of 4 bytes, not {len(data)}")
    text = []
    for start in range(0, len(data), 4):
        number = int.from_bytes(data[start : start + 4], "big")
        text += [_Z85[number // 85**power % 85] for power in (4, 3, 2, 1, 0)]
    return "".join(text)


def z85_decode(text: str) -> bytes:
    """Give the bytes of a z85 text. Raises ProtocolError for every other text."""
    if len(text) % 5:
        raise ProtocolError(f"z85 text has multiples of 5 characters, not {len(text)}")
    data = b""
    for start in range(0, len(text), 5):
        number = 0
        for character in text[start : start + 5]:
            value = _Z85_VALUES.get(character)
            if value is None:
                raise ProtocolError(f"{character!a} is not a character of z85")
            number = number * 85 + value
        if number >> 32:
            raise ProtocolError("five characters of the z85 text are over 32 bits")
        data += number.to_bytes(4, "big")
    return data


def base64url_encode(data: bytes) -> str:
    """Give the base64url text of a byte string, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def base64url_decode(text: str, size: int) -> bytes:
    """Give the `size` bytes of a base64url text without padding; ProtocolError for every other text."""
    if _BASE64.fullmatch(text) is None:
        raise ProtocolError("the text is not base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ProtocolError("the text is not base64url") from error
    # One byte string has one text: the bits that padding would leave over are zero.
    if len(data) != size or base64url_encode(data) != text:
        raise ProtocolError(f"the text is not base64url of {size} bytes")
    return data


def load(path: "Path") -> KeyPair:
    """Read a key pair. Raises KeyFileError: no such file, others can read it, or it is damaged."""
    content = read_private(path)
    words = content.decode("ascii", "replace").split()
    try:
        if len(words) != 3 or words[0] != _LABEL:
            raise ProtocolError("no such words")
        public, secret = (base64url_decode(word, KEY_SIZE) for word in words[1:])
    except ProtocolError:
        raise KeyFileError(
            f"{path}: not a key file; restore it from a backup, or remove it and join anew"
        ) from None
    pair = pair_of(secret)
    if pair.public != public:
        raise KeyFileError(f"{path}: damaged: its two keys are not a pair; restore it from a backup")
    return pair


def create(path: "Path", pair: KeyPair) -> None:
    """Write a key pair to a new file. Raises KeyFileError when there is one already, or on a failed write."""
    words = (_LABEL, base64url_encode(pair.public), base64url_encode(pair.secret))
    _write(path, " ".join(words).encode("ascii") + b"\n", replace=False)


def load_or_create(path: "Path") -> KeyPair:
    """Read a key pair, or write a new one where there is no file. Raises KeyFileError."""
    if not os.path.lexists(path):
        try:
            create(path, generate())
        except KeyFileError:
            # Another process may have been first; what it wrote is as good, and load tells what is not.
            if not os.path.lexists(path):
                raise
    return load(path)


def read_private(path: "Path | str", limit: int = MAX_FILE) -> bytes:
    """Read a file of up to `limit` bytes that its owner alone can read.

    Raises KeyFileError when it cannot be read, its owner is neither root nor we, group or others have
    any access, it is not a regular file, or it is longer.
    """
    try:
        # O_NONBLOCK: the open of a named pipe without a writer would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path}: cannot be read: {_reason(error)}") from error
    try:
        _check_private(path, os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {_reason(error)}") from error
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise KeyFileError(f"{path}: longer than {limit} bytes")
    return content


def write_private(path: "Path", content: bytes) -> None:
    """Write a file that its owner alone can read, in place of what was there, whole or not at all.

    Raises KeyFileError; nothing is changed then.
    """
    _write(path, content, replace=True)


def _check_private(path: "Path | str", status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(f"{path}: not a regular file")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(status.st_mode)
        raise KeyFileError(f"{path}: its mode is {mode:04o}, so others have access; run: chmod 600 {path}")
    if status.st_uid not in (0, os.geteuid()):
        text = f"it belongs to user {status.st_uid}, who can change it; chown it to the user that runs this"
        raise KeyFileError(f"{path}: {text}")


def _write(path: "Path", content: bytes, *, replace: bool) -> None:
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            if replace:
                temporary.replace(path)
            else:
                os.link(temporary, path)  # unlike a rename, it fails where there is a file
        finally:
            temporary.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path}: cannot be written: {_reason(error)}") from error


def _sync_directory(directory: "Path") -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
