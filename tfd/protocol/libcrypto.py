"""AES-256-GCM of OpenSSL 3 (EVP_EncryptInit(3ssl)), which Python's own library is linked to on Debian.

It takes 4 MB of memory, 0.7 of them no file's: it is loaded for long frames only.
"""

from typing import Any, Final

from nacl._sodium import ffi

from tfd.protocol.clibrary import ADDRESS, BYTES, INT, INT_RESULT, NOTHING, TEXT, Library
from tfd.protocol.libsodium import Functions

NAME: Final = "libcrypto.so.3"

_TAG_SIZE: Final = 16
_DONE: Final = 1
_SET_TAG: Final = 0x11  # EVP_CTRL_AEAD_SET_TAG of openssl/evp.h
_GET_TAG: Final = 0x10
_NONE: Final = ffi.NULL
_LENGTH: Final = ffi.typeof("int *")


def aes256gcm() -> Functions | None:
    """Give the cipher, None where there is no OpenSSL 3."""
    try:
        cipher = AesGcm()
    except (OSError, AttributeError):
        return None
    return Functions(cipher.encrypt, cipher.decrypt)


class AesGcm:
    """The cipher, called as libsodium's is. Raises OSError and AttributeError where there is no OpenSSL 3.

    A context lives for one call: calls let other threads run meanwhile.
    """

    def __init__(self) -> None:
        library = Library(NAME)
        fetch = library.function("EVP_CIPHER_fetch", ADDRESS, ADDRESS, TEXT, TEXT)
        self._new = library.function("EVP_CIPHER_CTX_new", ADDRESS)
        self._free = library.function("EVP_CIPHER_CTX_free", NOTHING, ADDRESS)
        self._control = library.function("EVP_CIPHER_CTX_ctrl", INT, ADDRESS, INT, INT, BYTES)
        begin = (INT, ADDRESS, ADDRESS, BYTES, BYTES, ADDRESS)
        update = (INT, ADDRESS, BYTES, INT_RESULT, BYTES, INT)
        finish = (INT, ADDRESS, BYTES, INT_RESULT)
        self._begin_sealing = library.function("EVP_EncryptInit_ex2", *begin)
        self._seal = library.function("EVP_EncryptUpdate", *update)
        self._end_sealing = library.function("EVP_EncryptFinal_ex", *finish)
        self._begin_opening = library.function("EVP_DecryptInit_ex2", *begin)
        self._open = library.function("EVP_DecryptUpdate", *update)
        self._end_opening = library.function("EVP_DecryptFinal_ex", *finish)
        self._cipher = fetch(_NONE, b"AES-256-GCM", _NONE)
        if self._cipher == _NONE:
            raise OSError(f"{NAME} has no AES-256-GCM")

    def encrypt(
        self,
        sealed: Any,
        _sealed_size: Any,
        text: Any,
        size: int,
        header: Any,
        header_size: int,
        _secret: Any,
        nonce: bytes,
        key: bytes,
    ) -> int:
        """See crypto_aead_aes256gcm_encrypt of libsodium. Raises MemoryError."""
        length, context = ffi.new(_LENGTH), self._context()
        try:
            done = (
                self._begin_sealing(context, self._cipher, key, nonce, _NONE) == _DONE
                and self._seal(context, _NONE, length, header, header_size) == _DONE
                and self._seal(context, sealed, length, text, size) == _DONE
                and self._end_sealing(context, sealed + size, length) == _DONE
                and self._control(context, _GET_TAG, _TAG_SIZE, sealed + size) == _DONE
            )
            if not done:
                raise MemoryError(f"{NAME} could not encrypt {size} bytes")
        finally:
            self._free(context)
        return 0

    def decrypt(
        self,
        text: Any,
        _text_size: Any,
        _secret: Any,
        sealed: Any,
        sealed_size: int,
        header: Any,
        header_size: int,
        nonce: bytes,
        key: bytes,
    ) -> int:
        """See crypto_aead_aes256gcm_decrypt of libsodium: -1 for what is forged. Raises MemoryError."""
        length, context = ffi.new(_LENGTH), self._context()
        size = sealed_size - _TAG_SIZE
        try:
            opened = (
                self._begin_opening(context, self._cipher, key, nonce, _NONE) == _DONE
                and self._open(context, _NONE, length, header, header_size) == _DONE
                and self._open(context, text, length, sealed, size) == _DONE
                and self._control(context, _SET_TAG, _TAG_SIZE, sealed + size) == _DONE
                and self._end_opening(context, text + size, length) == _DONE
            )
        finally:
            self._free(context)
        return 0 if opened else -1

    def _context(self) -> Any:
        context = self._new()
        if context == _NONE:
            raise MemoryError(f"{NAME} has no memory for a cipher's context")
        return context
