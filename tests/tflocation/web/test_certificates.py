"""Certificates: which are taken, which are refused with what line, and what is warned of."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.support.authority import Authority
from tflocation.web.certificates import LONGEST, CertificateError, check

DAY = timedelta(days=1)
NAME = "www.a.example"


@pytest.fixture(scope="module")
def authority() -> Authority:
    """A certificate authority."""
    return Authority()


def refusal(pem: bytes) -> str:
    """Give the line with which it is refused."""
    with pytest.raises(CertificateError) as caught:
        check(pem, NAME, datetime.now(UTC))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_key_and_chain_are_put_in_order(authority: Authority) -> None:
    """Whatever order and text they come in, the key's certificate is the first."""
    certificate, key = authority.issue(NAME)
    taken = check(b"Bag\n\n" + authority.certificate + b"\n" + certificate + key, NAME, datetime.now(UTC))
    assert taken.pem == key + certificate + authority.certificate
    assert taken.warnings == ()
    assert taken.expires > datetime.now(UTC)


def test_a_key_of_another_certificate_is_refused(authority: Authority) -> None:
    """They have to belong together."""
    certificate, _ = authority.issue(NAME)
    _, key = authority.issue(NAME)
    assert refusal(certificate + key) == "the private key is not that of the certificate"


def test_what_is_missing_is_told(authority: Authority) -> None:
    """A file given twice, or the wrong one, is no pair."""
    certificate, key = authority.issue(NAME)
    assert refusal(certificate).startswith("found 0 private keys and 1 certificates")
    assert refusal(key + key).startswith("found 2 private keys and 0 certificates")
    assert refusal(b"").startswith("found 0 private keys and 0 certificates")


def test_an_encrypted_key_is_refused(authority: Authority) -> None:
    """Nobody is there to type its pass phrase."""
    certificate, key = authority.issue(NAME)
    locked = load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    assert "encrypted" in refusal(certificate + locked)


def test_a_weak_key_is_refused() -> None:
    """What this system's OpenSSL will not use, HAProxy could not either."""
    key = generate_private_key(65537, 1024)  # noqa: S505 - that is what is tested
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + DAY)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert "key too small" in refusal(certificate + text)


def test_a_chain_too_long_for_a_command_is_refused(authority: Authority) -> None:
    """The limit is told."""
    certificate, key = authority.issue(NAME)
    assert f"up to {LONGEST}" in refusal(key + certificate + 40 * authority.certificate)


@pytest.mark.parametrize(
    ("names", "starts", "warning"),
    [
        ((NAME,), -9 * DAY, "expired on"),
        ((NAME,), DAY, "is not valid before"),
        (("b.example", "c.example"), -DAY, "is for b.example, c.example, and not for www.a.example"),
        (("*.example",), -DAY, "is for *.example, and not for www.a.example"),
        (("*.a.example",), -DAY, ""),
    ],
)
def test_what_browsers_will_refuse_is_warned_of(
    authority: Authority, names: tuple[str, ...], starts: timedelta, warning: str
) -> None:
    """It is taken all the same: the publisher may know better."""
    certificate, key = authority.issue(*names, starts=starts)
    warnings = check(certificate + key, NAME, datetime.now(UTC)).warnings
    assert [warning in text for text in warnings] == ([True] if warning else [])


@given(st.binary(max_size=200), st.sampled_from([b"PRIVATE KEY", b"CERTIFICATE", b"EC PRIVATE KEY"]))
def test_what_is_no_pem_is_refused_with_a_line(content: bytes, kind: bytes) -> None:
    """Nothing but CertificateError comes of any bytes."""
    refusal(content)
    refusal(b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (kind, content, kind))
    block = b"-----BEGIN %b-----\n%b\n-----END %b-----\n"
    refusal(
        block % (b"PRIVATE KEY", content, b"PRIVATE KEY") + block % (b"CERTIFICATE", content, b"CERTIFICATE")
    )
