"""Certificates for a name: what is taken, and what its publisher is warned of."""

import re
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tflocation.web.names import is_under

LONGEST: Final = 15_000
"""Bytes of key and chain together: what one command of HAProxy's runtime API holds (tune.bufsize)."""

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----")


class CertificateError(Exception):
    """Key and chain cannot be used; the message is one line for the publisher."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A key and its chain, PEM, the key first and then the certificates in the order that TLS sends them.

    `warnings` are lines for the publisher, `starts` and `expires` those of the first certificate.
    """

    pem: bytes
    starts: datetime
    expires: datetime
    warnings: tuple[str, ...] = ()


def check(pem: bytes, fqdn: str, now: datetime) -> Certificate:
    """Give what was sent in its proper order, without anything that is neither key nor certificate.

    An expired one, one that is not valid yet, and one for other names are warned of.

    Raises CertificateError.
    """
    blocks = [(match[1].decode("ascii"), match[0]) for match in _BLOCK.finditer(pem)]
    keys = [block for kind, block in blocks if kind.endswith("PRIVATE KEY")]
    chain = [_certificate(block) for kind, block in blocks if kind == "CERTIFICATE"]
    if len(keys) != 1 or not chain:
        raise CertificateError(
            f"found {len(keys)} private keys and {len(chain)} certificates in PEM; needed are one key, its "
            "certificate, and those of the intermediate authorities"
        )
    text, public = _key(keys[0])
    own = next((certificate for certificate in chain if _public(certificate) == public), None)
    if own is None:
        raise CertificateError("the private key is not that of the certificate")
    ordered = [own, *(certificate for certificate in chain if certificate is not own)]
    text += b"".join(certificate.public_bytes(Encoding.PEM) for certificate in ordered)
    if len(text) > LONGEST:
        raise CertificateError(f"key and chain have {len(text)} bytes; allowed: up to {LONGEST}")
    _require_usable(text)
    starts, expires = _validity(own)
    return Certificate(text, starts, expires, tuple(_warnings(own, fqdn, now)))


def _certificate(block: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(block)
    except ValueError as error:
        raise CertificateError(f"a certificate cannot be read: {error}") from None


def _key(block: bytes) -> tuple[bytes, bytes]:
    """Give the private key as PEM, and its public key as DER."""
    try:
        key = load_pem_private_key(block, None)
    except TypeError:
        raise CertificateError("the private key is encrypted; give it without a pass phrase") from None
    except Exception as error:  # UnsupportedAlgorithm is no ValueError  # noqa: BLE001
        raise CertificateError(f"the private key cannot be read: {error}") from None
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise CertificateError("the private key is of another kind than RSA, EC and Ed25519")
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )


def _public(certificate: x509.Certificate) -> bytes:
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except Exception:  # a kind of key that is not known is not ours  # noqa: BLE001
        return b""


def _require_usable(pem: bytes) -> None:
    """Have OpenSSL load it, which also knows what this system's security level refuses."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # made with the mode 0600
        file.write(pem)
        file.flush()
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file.name)
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).replace("_", " ").lower()
            raise CertificateError(f"the certificate cannot be used here: {reason}") from None


def _validity(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    # cryptography 42 warns of the old names, Debian 12's 38 has no others.
    suffix = "_utc" if hasattr(certificate, "not_valid_after_utc") else ""
    starts: datetime = getattr(certificate, f"not_valid_before{suffix}")
    expires: datetime = getattr(certificate, f"not_valid_after{suffix}")
    return starts.replace(tzinfo=UTC), expires.replace(tzinfo=UTC)


def _warnings(certificate: x509.Certificate, fqdn: str, now: datetime) -> list[str]:
    starts, expires = _validity(certificate)
    warnings = []
    if expires <= now:
        warnings.append(f"the certificate for {fqdn} expired on {expires:%Y-%m-%d %H:%M} UTC")
    if starts > now:
        warnings.append(f"the certificate for {fqdn} is not valid before {starts:%Y-%m-%d %H:%M} UTC")
    names = _names(certificate)
    if not any(_covers(name, fqdn) for name in names):
        warnings.append(f"the certificate is for {', '.join(names) or 'no name'}, and not for {fqdn}")
    return warnings


def _names(certificate: x509.Certificate) -> Sequence[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return [name.lower() for name in found.value.get_values_for_type(x509.DNSName)]


def _covers(pattern: str, fqdn: str) -> bool:
    if pattern.startswith("*."):
        return is_under(fqdn, pattern[2:]) and fqdn.count(".") == pattern.count(".")
    return pattern == fqdn


def read(path: Path, fqdn: str, now: datetime) -> Certificate | None:
    """Give the certificate of a file; None where there is none that can be used."""
    try:
        return check(path.read_bytes(), fqdn, now)
    except (OSError, CertificateError):
        return None
