"""A certificate authority of the tests, and certificates that it signs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

DAY = timedelta(days=1)


class Authority:
    """Signs certificates; `certificate` is its own, PEM."""

    def __init__(self) -> None:
        self._key = generate_private_key(SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
        self._serial = 1
        self.certificate = self._sign(self._name, self._key, self._now() - DAY, self._now() + 2 * DAY, ())

    def issue(self, *names: str, starts: timedelta = -DAY, life: timedelta = 2 * DAY) -> tuple[bytes, bytes]:
        """Give certificate and key, PEM, for these names; it begins `starts` from now."""
        key = generate_private_key(SECP256R1())
        begins = self._now() + starts
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0][:64])])
        return self._sign(subject, key, begins, begins + life, names), private(key)

    def files(self, directory: Path, *names: str) -> tuple[Path, Path]:
        """Write certificate and key for these names, and give the files."""
        certificate, key = self.issue(*names)
        paths = directory / f"{names[0]}.crt", directory / f"{names[0]}.key"
        paths[0].write_bytes(certificate)
        paths[1].write_bytes(key)
        return paths

    def _sign(
        self,
        subject: x509.Name,
        key: EllipticCurvePrivateKey,
        starts: datetime,
        ends: datetime,
        names: tuple[str, ...],
    ) -> bytes:
        self._serial += 1
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(self._serial)
            .not_valid_before(starts)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        )
        if names:
            shown = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(shown, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    @staticmethod
    def _now() -> datetime:
        return datetime.now(UTC).replace(microsecond=0)


def private(key: EllipticCurvePrivateKey) -> bytes:
    """Give a key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
