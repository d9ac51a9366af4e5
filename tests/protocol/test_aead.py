"""Sealing and opening: the values of the standards, and whatever was changed on the way."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol import libcrypto, libsodium
from tfd.protocol.aead import CIPHERS, KEY_SIZE, LONG, TAG_SIZE, Cipher, ForgedError
from tfd.protocol.errors import UsageError
from tfd.protocol.libsodium import Functions

KEY = bytes(range(KEY_SIZE))
EVERY = pytest.mark.parametrize("cipher", CIPHERS.values(), ids=CIPHERS.keys())


STANDARDS = {
    # RFC 8439, A.5: key, nonce, header, sealed text with its tag, the text's first words
    "chacha20poly1305": (
        "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
        "000000000102030405060708",
        "f33388860000000000004e91",
        (
            "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0"
            "bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
            "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e9"
            "9040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
            "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130"
            "305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38"
        ),
        b"Internet-Drafts are draft documents valid for a maximum of six months".hex(),
    ),
    # McGrew and Viega, The Galois/Counter Mode of Operation, appendix B, test case 16
    "aes256gcm": (
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        (
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
            "c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
        ),
        (
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
            "b16aedf5aa0de657ba637b39"
        ),
    ),
}


@pytest.mark.parametrize("name", CIPHERS)
def test_a_cipher_is_that_of_its_standard(name: str) -> None:
    """The standard's key, nonce, header and sealed text give its text."""
    key, nonce, header, sealed, text = map(bytes.fromhex, STANDARDS[name])

    frame = memoryview(header + sealed)
    opened = CIPHERS[name].open(frame, len(header), int.from_bytes(nonce, "little"), key)

    assert opened.startswith(text)


@EVERY
@given(header=st.binary(max_size=8), payload=st.binary(max_size=300), count=st.integers(0, 2**64 - 1))
def test_what_was_sealed_opens(cipher: Cipher, header: bytes, payload: bytes, count: int) -> None:
    """The header stays as it is, the tag is added, and the payload comes back, wherever the frame lies."""
    frame = cipher.seal(header, payload, count, KEY)
    among_others = memoryview(b"before" + frame + b"after")[6:-5]

    assert frame.startswith(header)
    assert len(frame) == len(header) + len(payload) + TAG_SIZE
    assert cipher.open(among_others, len(header), count, KEY) == payload


@EVERY
@given(at=st.integers(0, 26), bit=st.integers(0, 7))
def test_a_changed_bit_is_noticed(cipher: Cipher, at: int, bit: int) -> None:
    """Of the header, of the payload or of the tag."""
    frame = bytearray(cipher.seal(b"head", b"payload", 1, KEY))
    frame[at] ^= 1 << bit

    with pytest.raises(ForgedError):
        cipher.open(memoryview(frame), 4, 1, KEY)


@EVERY
def test_another_key_or_count_does_not_open(cipher: Cipher) -> None:
    """Both are part of the seal."""
    frame = memoryview(cipher.seal(b"head", b"payload", 1, KEY))

    with pytest.raises(ForgedError):
        cipher.open(frame, 4, 2, KEY)
    with pytest.raises(ForgedError):
        cipher.open(frame, 4, 1, bytes(KEY_SIZE))


@EVERY
@given(frame=st.binary(max_size=4 + TAG_SIZE - 1))
def test_what_is_shorter_than_a_tag_is_forged(cipher: Cipher, frame: bytes) -> None:
    """Nothing is read that is not there."""
    with pytest.raises(ForgedError):
        cipher.open(memoryview(frame), 4, 0, KEY)


@EVERY
@pytest.mark.parametrize("key", [b"", KEY[:-1], KEY + b"\0"])
def test_a_key_of_another_length_is_the_callers_mistake(cipher: Cipher, key: bytes) -> None:
    """The library would read beyond it."""
    with pytest.raises(UsageError):
        cipher.seal(b"head", b"payload", 0, key)
    with pytest.raises(UsageError):
        cipher.open(memoryview(bytes(40)), 4, 0, key)


def aes(find_long: Callable[[], Functions | None] | None = None) -> Cipher:
    """Give AES-256-GCM by libsodium, with others for long frames where they are to be found."""
    functions = libsodium.linked_aes256gcm() or libsodium.declared_aes256gcm()
    assert functions is not None
    return Cipher(functions, find_long)


@pytest.mark.skipif("aes256gcm" not in CIPHERS, reason="no AES here")
@given(
    header=st.binary(max_size=13),
    size=st.integers(LONG - 40, LONG + 40) | st.sampled_from([2 * LONG, 64 * 1024]),
    count=st.integers(0, 2**64 - 1),
    seed=st.binary(min_size=1, max_size=40),
)
def test_long_frames_are_the_same_by_either_library(
    header: bytes, size: int, count: int, seed: bytes
) -> None:
    """Each opens what the other sealed."""
    of_libsodium, of_both = aes(), aes(libcrypto.aes256gcm)
    payload = (seed * size)[:size]

    frame = of_both.seal(header, payload, count, KEY)

    assert frame == of_libsodium.seal(header, payload, count, KEY)
    assert of_both.open(memoryview(frame), len(header), count, KEY) == payload


@EVERY
@given(at=st.floats(0, 1), bit=st.integers(0, 7), size=st.integers(LONG, 2 * LONG))
def test_a_changed_bit_of_a_long_frame_is_noticed(cipher: Cipher, at: float, bit: int, size: int) -> None:
    """Of the header, of the payload or of the tag."""
    frame = bytearray(cipher.seal(b"head", bytes(size), 1, KEY))
    frame[round(at * (len(frame) - 1))] ^= 1 << bit

    with pytest.raises(ForgedError):
        cipher.open(memoryview(frame), 4, 1, KEY)


@EVERY
def test_threads_may_seal_and_open_at_once(cipher: Cipher) -> None:
    """The SDK does, and the libraries' functions let other threads run."""

    def run(number: int) -> bool:
        payload = bytes([number]) * (2 * LONG)
        frames = [cipher.seal(b"head", payload, count, KEY) for count in range(50)]
        opened = [cipher.open(memoryview(frame), 4, count, KEY) for count, frame in enumerate(frames)]
        return all(each == payload for each in opened)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(run, range(8)))


@pytest.mark.skipif("aes256gcm" not in CIPHERS, reason="no AES here")
def test_without_openssl_long_frames_go_the_short_ones_way() -> None:
    """It is no more than faster."""
    cipher = aes(lambda: None)

    frame = cipher.seal(b"head", bytes(LONG), 1, KEY)

    assert cipher.open(memoryview(frame), 4, 1, KEY) == bytes(LONG)
