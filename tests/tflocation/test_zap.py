"""The ZAP handler's decision."""

from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.keys import z85_encode
from tflocation.zap import answer

KEY = bytes(range(32))
REQUEST = [b"1.0", b"id", b"domain", b"10.0.0.1", b"", b"CURVE", KEY]


def test_a_known_key_gets_its_text_as_user_id() -> None:
    """The user id of the connection is the key in z85."""
    asked = []

    def admit(key: str, address: str) -> bool:
        asked.append((key, address))
        return True

    text = z85_encode(KEY)
    assert answer(REQUEST, admit) == [b"1.0", b"id", b"200", b"OK", text.encode(), b""]
    assert asked == [(text, "10.0.0.1")]


def test_an_unknown_key_is_refused() -> None:
    """It gets no user id."""
    reply = answer(REQUEST, lambda *_: False)
    assert (reply[2], reply[4]) == (b"400", b"")


@given(st.lists(st.binary(max_size=40), max_size=9))
def test_anything_else_is_refused(frames: list[bytes]) -> None:
    """NULL, PLAIN and malformed requests never get in."""
    assert frames == REQUEST or answer(frames, lambda *_: True)[2] == b"400"
    for mechanism in (b"NULL", b"PLAIN", b"GSSAPI"):
        assert answer([*REQUEST[:5], mechanism, KEY], lambda *_: True)[2] == b"400"
