"""AEAD functions of the libsodium that PyNaCl brings or is linked to."""

from collections.abc import Callable
from typing import Final

import nacl.bindings  # noqa: F401 - its import initialises libsodium (sodium_init)
from nacl import _sodium
from nacl._sodium import lib

from tfd.protocol.clibrary import BYTES, INT, SIZE, SIZE_RESULT, Library
from tfd.protocol.dataclass import dataclass

_AES: Final = "crypto_aead_aes256gcm_"


@dataclass(frozen=True, slots=True)
class Functions:
    """Two functions that are called as `crypto_aead_aes256gcm_encrypt` and `_decrypt` are."""

    encrypt: Callable[..., int]
    decrypt: Callable[..., int]


def chacha20poly1305() -> Functions:
    """Give ChaCha20-Poly1305 (RFC 8439)."""
    return Functions(
        encrypt=lib.crypto_aead_chacha20poly1305_ietf_encrypt,
        decrypt=lib.crypto_aead_chacha20poly1305_ietf_decrypt,
    )


def declared_aes256gcm() -> Functions | None:
    """Give AES-256-GCM as PyNaCl declares it since 1.6; None where it does not or without AES in hardware."""
    is_available = getattr(lib, _AES + "is_available", None)
    if is_available is None or not is_available():
        return None
    return Functions(lib.crypto_aead_aes256gcm_encrypt, lib.crypto_aead_aes256gcm_decrypt)


def linked_aes256gcm() -> Functions | None:
    """Give AES-256-GCM of the shared library that PyNaCl is linked to, as Debian's is; None without it."""
    encrypt = (INT, BYTES, SIZE_RESULT, BYTES, SIZE, BYTES, SIZE, BYTES, BYTES, BYTES)
    decrypt = (INT, BYTES, SIZE_RESULT, BYTES, BYTES, SIZE, BYTES, SIZE, BYTES, BYTES)
    try:
        library = Library(_sodium.__file__)
        if not library.function(_AES + "is_available", INT)():
            return None
        return Functions(
            library.function(_AES + "encrypt", *encrypt), library.function(_AES + "decrypt", *decrypt)
        )
    except (OSError, AttributeError):
        return None
