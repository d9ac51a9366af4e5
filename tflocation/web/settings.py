"""The table [web] of tflocation.toml."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tflocation import values
from tflocation.values import Address, Invalid, Key, Parser
from tflocation.web.names import normalise

HTTP_PORT = 80
HTTPS_PORT = 443
DNS_PORT = 53
HTTP = Address("", HTTP_PORT)
HTTPS = Address("", HTTPS_PORT)


@dataclass(frozen=True, slots=True)
class WebSettings:
    """How the location serves names; each field is a key of the table of the same name.

    Attributes:
        http: where plain requests come in; None for nowhere.
        https: where TLS comes in; None for nowhere.
        domains: domains under which every account may publish.
        resolver: the name server asked for the proof of a claim; None for the machine's own.
        acme_directory: URL of an ACME server's directory (RFC 8555, 7.1.1) whose certificates are used.
        acme_email: the contact that it gets, if any.
        acme_ca: PEM file of the authority that signed the ACME server's own certificate, where it is private.

    """

    http: Address | None = HTTP
    https: Address | None = HTTPS
    domains: tuple[str, ...] = ()
    resolver: Address | None = None
    acme_directory: str | None = None
    acme_email: str | None = None
    acme_ca: Path | None = None


def contradiction(settings: WebSettings) -> str:
    """Give what of the table does not go together; "" where all does."""
    if settings.http is None and settings.https is None:
        return "http and https are both off: allowed is at least one of them"
    if settings.acme_directory is None:
        return ""
    if settings.acme_email is None:
        return "acme_directory is set without acme_email: an ACME account is named by its address"
    if settings.http is None or settings.https is None:
        return "acme_directory is set with http or https off: the proof comes in over the one, for the other"
    return ""


def _listen(port: int) -> Parser:
    def parse(value: object) -> Address | None:
        return None if value == "off" else values.address(port)(value)

    return parse


def _domains(value: object) -> tuple[str, ...]:
    try:
        return tuple(normalise(text) for text in values.texts(value))
    except ValueError as error:
        raise Invalid(f"a list of domain names ({error})") from error


def _server(value: object) -> Address:
    found = values.address(DNS_PORT)(value)
    if not found.host or found.port == 0:
        raise Invalid('the "address:port" of a name server')
    return found


def _url(value: object) -> str:
    text = values.text(value)
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise Invalid(
            'the URL of an ACME directory, such as "https://acme-v02.api.letsencrypt.org/directory"'
        )
    return text


def _email(value: object) -> str:
    text = values.text(value)
    if re.fullmatch(r"[^@\s]+@[^@\s]+", text) is None:
        raise Invalid("an e-mail address")
    return text


WEB_KEYS: Mapping[str, Key] = {
    "http": Key(
        _listen(HTTP_PORT),
        'Where plain requests come in: "host:port", "*" for all addresses, or "off".',
        '"*:80"',
    ),
    "https": Key(_listen(HTTPS_PORT), "Where TLS comes in, likewise.", '"*:443"'),
    "domains": Key(
        _domains,
        "Domains under which every account may publish. Accounts claim others by a TXT record, with "
        "tfdomains(1).",
        "[]",
        example='["home.example.net"]',
    ),
    "resolver": Key(
        _server,
        "The name server that is asked for those records.",
        absent="this machine's own",
        example='"9.9.9.9:53"',
    ),
    "acme_directory": Key(
        _url,
        "The directory of an ACME server that gives certificates for published names without one of their "
        "own; lego(1) fetches and renews them.",
        absent="none",
        example='"https://acme-v02.api.letsencrypt.org/directory"',
    ),
    "acme_email": Key(
        _email,
        "The address that names the account at the ACME server; needed with acme_directory.",
        absent="none",
        example='"admin@example.net"',
    ),
    "acme_ca": Key(
        values.path,
        "The authority that signed the ACME server's own certificate, in PEM, where that is a private one.",
        absent="none",
        example='"/etc/tflocation/acme-ca.pem"',
    ),
}
