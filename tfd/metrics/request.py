"""One HTTP/1.1 request, out of bytes that anybody may have sent (RFC 9110, RFC 9112).

Only what is asked here exists: GET and HEAD, without a body, one request on a connection.
"""

from typing import Final

from tfd.protocol.dataclass import dataclass

MAX_TARGET: Final = 1024
"""Bytes of a request line's target."""

MAX_HEAD: Final = 8192
"""Bytes of a request line and all header fields."""

_METHODS: Final = frozenset({b"GET", b"HEAD"})
_TOKEN: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_VISIBLE: Final = frozenset(range(0x21, 0x7F))
_ENDS: Final = frozenset(b"\r\n\0")


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was understood. `path` is as sent, without query; `host` is "" where none was sent."""

    method: str
    path: str
    host: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was not: the status code of the answer, and why in one line."""

    status: int
    reason: str


class RequestReader:
    """Collects the bytes of one request until it is complete or cannot become one."""

    def __init__(self) -> None:
        self._head = b""
        self._result: Request | Refusal | None = None

    def receive(self, data: bytes) -> Request | Refusal | None:
        """Take more bytes; None while some are still missing. Whatever follows the request is ignored."""
        if self._result is None:
            # RFC 9112, 2.2: an empty line before the request line is ignored.
            self._head = (self._head + data)[: MAX_HEAD + 1].lstrip(b"\r\n")
            self._result = self._look()
        return self._result

    def _look(self) -> Request | Refusal | None:
        head, end, _ = self._head.partition(b"\r\n\r\n")
        if end:
            line, *fields = head.split(b"\r\n")
            return _understood(line, fields)
        first, line_end, _ = head.partition(b"\n")
        if line_end and not first.endswith(b"\r"):
            return Refusal(400, "a line ends in LF alone, where CR LF has to be")
        if len(head) > MAX_HEAD:
            return Refusal(431, f"request line and header fields have more than {MAX_HEAD} bytes")
        if len(first) > MAX_TARGET + 32:
            return Refusal(414, f"the target has more than {MAX_TARGET} bytes")
        return None


def _understood(line: bytes, fields: list[bytes]) -> Request | Refusal:
    parsed = _request_line(line)
    if isinstance(parsed, Refusal):
        return parsed
    method, target, is_1_1 = parsed
    names: dict[bytes, bytes] = {}
    for field in fields:
        name, colon, value = field.partition(b":")
        # A space before the colon, a folded line and a bare CR or LF are no part of a field (RFC 9112, 5).
        if not colon or not name or not _TOKEN.issuperset(name) or not _ENDS.isdisjoint(value):
            return Refusal(400, "a header field is none")
        name = name.lower()
        if name in names and name in (b"host", b"content-length", b"transfer-encoding"):
            return Refusal(400, f"the field {name.decode()} stands there twice")
        names[name] = value.strip(b" \t")
    if is_1_1 and b"host" not in names:
        return Refusal(400, "the field host is missing")
    if b"transfer-encoding" in names or names.get(b"content-length", b"0").strip(b"0"):
        return Refusal(413, "no body is taken")
    return _at(method, target, names.get(b"host", b""))


def _request_line(line: bytes) -> tuple[bytes, bytes, bool] | Refusal:
    """Give method, target, and whether the version is 1.1 or a later 1."""
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[0] or not _TOKEN.issuperset(parts[0]):
        return Refusal(400, "the request line is none")
    method, target, version = parts
    major, dot, minor = version.removeprefix(b"HTTP/").partition(b".")
    if not (version.startswith(b"HTTP/") and dot and len(major) == len(minor) == 1 and version[5:].isascii()):
        return Refusal(400, "the request line has no version")
    if not (major + minor).isdigit():
        return Refusal(400, "the request line has no version")
    if major != b"1":
        return Refusal(505, "only HTTP/1.1 is spoken here")
    if len(target) > MAX_TARGET:
        return Refusal(414, f"the target has more than {MAX_TARGET} bytes")
    if not target or not _VISIBLE.issuperset(target):
        return Refusal(400, "the target is none")
    if method not in _METHODS:
        return Refusal(405, "only GET and HEAD are answered")
    return method, target, minor != b"0"


def _at(method: bytes, target: bytes, host: bytes) -> Request | Refusal:
    if target[:7].lower() == b"http://":
        # The absolute form: its authority counts, not the field (RFC 9112, 3.2.2).
        host, slash, rest = target[7:].partition(b"/")
        target = slash + rest or b"/"
    if not target.startswith(b"/"):
        return Refusal(400, "the target is no path")
    if host and not _VISIBLE.issuperset(host):
        return Refusal(400, "the field host is none")
    path, _, _ = target.partition(b"?")
    return Request(method.decode("ascii"), path.decode("ascii"), host.decode("ascii"))
