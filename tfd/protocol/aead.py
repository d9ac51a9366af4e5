"""Authenticated encryption (AEAD, RFC 5116) for frames: a header, then what is sealed with it.

The libraries' functions are called as they are in C, and not through `nacl.bindings`, whose Python code
takes five times as long as the cipher for a short frame. So the lengths that C trusts are checked here.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from nacl._sodium import ffi

from tfd.protocol import libcrypto, libsodium
from tfd.protocol.errors import UsageError
from tfd.protocol.libsodium import Functions

KEY_SIZE: Final = 32
TAG_SIZE: Final = 16
_NONCE_SIZE: Final = 12

_BYTES: Final = ffi.typeof("unsigned char[]")
_NONE: Final = ffi.NULL

LONG: Final = 8 * 1024
"""Bytes of a payload from which on another library's function may be faster than libsodium's."""


class ForgedError(Exception):
    """A frame is not what was sealed with this key, header and count."""


class Cipher:
    """One AEAD. The count of a frame is its nonce: never seal two under one key and count.

    ChaCha20-Poly1305 (RFC 8439) and AES-256-GCM (RFC 5288) have keys, nonces and tags of the same sizes;
    AEGIS-256 has not: its tag is 32.

    Args:
        functions: libsodium's.
        find_long: finds others, for payloads of at least LONG bytes, at the first of them.

    """

    __slots__ = ("_find_long", "_long", "_short")

    def __init__(self, functions: Functions, find_long: Callable[[], Functions | None] | None = None) -> None:
        self._short = self._long = functions
        self._find_long = find_long

    def seal(self, header: bytes, payload: bytes, count: int, key: bytes) -> bytes:
        """Give the header and the payload sealed with it, TAG_SIZE bytes more. Raises UsageError."""
        if len(key) != KEY_SIZE:
            raise UsageError(f"a key has {KEY_SIZE} bytes, this one {len(key)}")
        size, length = len(header), len(payload)
        frame = ffi.new(_BYTES, size + length + TAG_SIZE)
        frame[0:size] = header
        nonce = count.to_bytes(_NONCE_SIZE, "little")
        encrypt = (self._short if length < LONG else self._for_long()).encrypt
        encrypt(frame + size, _NONE, payload, length, header, size, _NONE, nonce, key)
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
        decrypt = (self._short if length < LONG else self._for_long()).decrypt
        if decrypt(payload, _NONE, _NONE, header + size, length + TAG_SIZE, header, size, nonce, key):
            raise ForgedError
        opened: bytes = ffi.buffer(payload)[:]
        return opened

    def _for_long(self) -> Functions:
        find = self._find_long
        if find is not None:
            self._long, self._find_long = find() or self._short, None
        return self._long


def _find() -> Mapping[str, Cipher]:
    """Give what there is here, fastest first.

    64 KiB: AES 16 us by libsodium 1.0.20, 19 by OpenSSL, 38 by libsodium 1.0.18; ChaCha20 46.
    """
    ciphers = {}
    if aes := libsodium.declared_aes256gcm():
        ciphers["aes256gcm"] = Cipher(aes)
    elif aes := libsodium.linked_aes256gcm():
        ciphers["aes256gcm"] = Cipher(aes, libcrypto.aes256gcm)
    ciphers["chacha20poly1305"] = Cipher(libsodium.chacha20poly1305())
    return MappingProxyType(ciphers)


CIPHERS: Final = _find()
"""By the names that control messages have for them; see `tfd.protocol.channel.available_ciphers`."""
