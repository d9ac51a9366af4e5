"""Names of hosts and domains: their one spelling, and which domain a name lies under. Pure."""

import re
from collections.abc import Iterable

LONGEST = 253
"""Characters of a name without its last dot (RFC 1035, 2.3.4)."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def normalise(text: str) -> str:
    """Give a name as it is kept and compared: lower case, A-labels (RFC 5890), no dot at its end.

    Raises ValueError naming what is wrong.
    """
    name = text.removesuffix(".").lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError(f"{text!r} has no spelling as a host name") from None
    labels = name.split(".")
    if len(name) > LONGEST or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(
            f"{text[:80]!r} is not a host name: allowed are labels of 1 to 63 letters, digits and inner "
            f"dashes, joined by dots, {LONGEST} characters at most"
        )
    if labels[-1].isdigit():
        raise ValueError(f"{text!r} is an address: allowed is a host name")
    return name


def is_under(name: str, domain: str) -> bool:
    """Whether the name is the domain or lies below it; both normalised."""
    return name == domain or name.endswith("." + domain)


def longest(name: str, domains: Iterable[str]) -> str | None:
    """Give the longest of the domains that the name is or lies under; None where there is none."""
    return max((domain for domain in domains if is_under(name, domain)), key=len, default=None)
