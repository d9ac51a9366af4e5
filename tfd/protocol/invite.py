"""Invites: all that a new account needs to join a location, in one line.

`NAME@HOST:PORT/PUBLIC/TOKEN/EXPIRES`, an IPv6 address in brackets; PUBLIC and TOKEN are base64url, EXPIRES
is in Unix seconds. No shell changes such a line but for the brackets, which some take for a pattern.
"""

import re

from tfd.protocol.commands import NAME
from tfd.protocol.dataclass import dataclass, field
from tfd.protocol.errors import InviteError, ProtocolError
from tfd.protocol.keys import KEY_SIZE, base64url_decode, base64url_encode
from tfd.protocol.schema import Mismatch

TOKEN_SIZE = 16
"""Bytes; too many to guess within an invite's life."""
MAX_LINE = 1024

_LINE = re.compile(
    r"(?P<name>[^@/]+)@(?P<host>\[[^\]]+\]|[^:\[\]/@]+):(?P<port>[1-9][0-9]{0,4})"
    r"/(?P<public>[^/]+)/(?P<token>[^/]+)/(?P<expires>[1-9][0-9]{0,15})"
)
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_SHAPE = "NAME@HOST:PORT/PUBLIC/TOKEN/EXPIRES"


@dataclass(frozen=True, slots=True)
class Invite:
    """An invite of account `name` to the location at `host`:`port`.

    `public` is the location's key (32 bytes), `token` the one-time secret (16 bytes), `expires` the end of
    its life by the location's clock (Unix seconds). `host` bears no brackets. Raises InviteError when a
    part is not allowed.
    """

    name: str
    host: str
    port: int
    public: bytes
    token: bytes = field(repr=False)
    expires: int

    def __post_init__(self) -> None:
        try:
            NAME.check(self.name, "name")
        except Mismatch as error:
            raise InviteError(f"the invite's {error}") from None
        if not _is_host(self.host):
            raise InviteError(
                f"the invite's host is {self.host[:80]!a}; allowed: a host's name or IP address"
            )
        if not 1 <= self.port <= 65535:
            raise InviteError(f"the invite's port is {self.port}; allowed: 1 to 65535")
        if len(self.public) != KEY_SIZE or len(self.token) != TOKEN_SIZE:
            raise InviteError(f"the invite's key and token are not of {KEY_SIZE} and {TOKEN_SIZE} bytes")
        if not 1 <= self.expires < 10**16:
            raise InviteError(f"the invite's expiry is {self.expires}; allowed: Unix seconds")


def format_invite(invite: Invite) -> str:
    """Give the line of an invite."""
    host = f"[{invite.host}]" if ":" in invite.host else invite.host
    parts = (base64url_encode(invite.public), base64url_encode(invite.token), str(invite.expires))
    return f"{invite.name}@{host}:{invite.port}/{'/'.join(parts)}"


def parse_invite(line: str) -> Invite:
    """Give the invite of a line; blanks around it are dropped. Raises InviteError for every other text."""
    line = line.strip()
    match = _LINE.fullmatch(line) if len(line) <= MAX_LINE else None
    if match is None:
        raise InviteError(f"this is not an invite: copy the whole line, {_SHAPE}")
    host = match["host"]
    if host.startswith("[") != (":" in host):
        raise InviteError("the invite's host has brackets without being an IPv6 address")
    try:
        public = base64url_decode(match["public"], KEY_SIZE)
        token = base64url_decode(match["token"], TOKEN_SIZE)
    except ProtocolError as error:
        raise InviteError(f"the invite is cut or mistyped ({error}): copy the whole line, {_SHAPE}") from None
    return Invite(match["name"], host.strip("[]"), int(match["port"]), public, token, int(match["expires"]))


def _is_host(host: str) -> bool:
    if ":" not in host:
        return len(host) <= 253 and _HOST.fullmatch(host) is not None
    import ipaddress

    try:
        return "%" not in host and ipaddress.IPv6Address(host) is not None
    except ValueError:
        return False
