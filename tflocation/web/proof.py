"""The proof of a claim: the TXT record beside a domain, looked up in the DNS."""

from typing import Final

import dns.asyncresolver
import dns.exception
import dns.resolver

from tfd.protocol.errors import Code, CommandError
from tflocation.values import Address
from tflocation.web.domains import RECORD

LIMIT: Final = 10.0
"""Seconds for the look-up, all tries together."""


async def require(domain: str, token: str, server: Address | None) -> None:
    """Raise CommandError denied unless the domain has exactly one such record, which is the token.

    `server` is asked instead of the machine's own name servers. Raises CommandError time-out, unavailable.
    """
    name = f"{RECORD}.{domain}"
    found = await _look_up(name, server)
    if not found:
        raise CommandError(Code.DENIED, f"there is no TXT record {name}; add it, and wait until it is seen")
    if len(found) > 1:
        raise CommandError(Code.DENIED, f"there are {len(found)} TXT records {name}; allowed: one")
    if found[0] != token.encode():
        raise CommandError(Code.DENIED, f"the TXT record {name} does not show the token of this claim")


async def _look_up(name: str, server: Address | None) -> list[bytes]:
    try:
        resolver = dns.asyncresolver.Resolver(configure=server is None)
        if server is not None:
            resolver.nameservers = [server.host]
            resolver.port = server.port
        answer = await resolver.resolve(name + ".", "TXT", lifetime=LIMIT, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.Timeout as error:
        text = f"no name server told the TXT record {name} in {LIMIT:g} s"
        raise CommandError(Code.TIME_OUT, text) from error
    except (dns.exception.DNSException, OSError, ValueError) as error:
        raise CommandError(Code.UNAVAILABLE, f"the TXT record {name} cannot be looked up: {error}") from error
    return [b"".join(record.strings) for record in answer]
