"""Authenticated encryption (AEAD, RFC 5116) by libsodium, for frames: a header, then what is sealed with it.

libsodium's functions are called as PyNaCl declares them, and not through `nacl.bindings`, whose Python code
takes five times as long as the cipher for a short frame. So the lengths that C trusts are checked here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import nacl.bindings  # noqa: F401 - its import initialises libsodium (sodium_init)
from nacl._sodium import ffi, lib

from tfd.protocol.errors import UsageError

KEY_SIZE: Final = 32
TAG_SIZE: Final = 16
_NONCE_SIZE: Final = 12

_BYTES: Final = ffi.typeof("unsigned char[]")
_NONE: Final = ffi.NULL

# ChaCha20-Poly1305 (RFC 8439) and AES-256-GCM (RFC 5288) have these sizes; AEGIS-256 has not: its tag is 32.
_PREFIXES: Final = MappingProxyType(
    {
        "aes256gcm": "crypto_aead_aes256gcm_",
        "chacha20poly1305": "crypto_aead_chacha20poly1305_ietf_",
    }
)


class ForgedError(Exception):
    """A frame is not what was sealed with this key, header and count."""


class Cipher:
    """One AEAD of libsodium. The count of a frame is its nonce: never seal two under one key and count.

    Args:
        name: "chacha20poly1305" or "aes256gcm".

    """

    __slots__ = ("_decrypt", "_encrypt")

    def __init__(self, name: str) -> None:
        self._encrypt = getattr(lib, _PREFIXES[name] + "encrypt")
        self._decrypt = getattr(lib, _PREFIXES[name] + "decrypt")

    def seal(self, header: bytes, payload: bytes, count: int, key: bytes) -> bytes:
        """Give the header and the payload sealed with it, TAG_SIZE bytes more. Raises UsageError."""
        if len(key) != KEY_SIZE:
            raise UsageError(f"a key has {KEY_SIZE} bytes, this one {len(key)}")
        size, length = len(header), len(payload)
        frame = ffi.new(_BYTES, size + length + TAG_SIZE)
        frame[0:size] = header
        nonce = count.to_bytes(_NONCE_SIZE, "little")
        self._encrypt(frame + size, _NONE, payload, length, header, size, _NONE, nonce, key)
        sealed: bytes = ffi.buffer(frame)[:]
        return sealed

    def open(self, frame: memoryview, size: int, count: int, key: bytes) -> bytes:
        """Give the payload of a frame whose header has `size` bytes. Raises ForgedError, and UsageError."""
        if len(key) != KEY_SIZE:
            raise UsageError(f"a key has {KEY_SIZE} bytes, this one {len(key)}")
        length = len(frame) - size - TAG_SIZE
        if length < 0:
            raise ForgedError
        header = ffi.from_buffer(_BYTES, frame)
        payload = ffi.new(_BYTES, length)
        nonce = count.to_bytes(_NONCE_SIZE, "little")
        if self._decrypt(payload, _NONE, _NONE, header + size, length + TAG_SIZE, header, size, nonce, key):
            raise ForgedError
        opened: bytes = ffi.buffer(payload)[:]
        return opened


def _find() -> Mapping[str, Cipher]:
    """Give what there is here, fastest first (64 KiB: 16 and 45 us)."""
    names = ["chacha20poly1305"]
    # PyNaCl has it since 1.6, and libsodium only where the processor does AES by itself.
    is_available = getattr(lib, "crypto_aead_aes256gcm_is_available", None)
    if is_available is not None and is_available():
        names.insert(0, "aes256gcm")
    return MappingProxyType({name: Cipher(name) for name in names})


CIPHERS: Final = _find()
"""By the names that control messages have for them; see `tfd.protocol.channel.available_ciphers`."""
