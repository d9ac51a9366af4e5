"""What an HTTP request is answered with, and its bytes (RFC 9112)."""

from typing import Final

from tfd.protocol.dataclass import dataclass

TEXT: Final = "text/plain; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}

_POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. `policy` is what its document may do beyond nothing (Content Security Policy Level 3)."""

    status: int
    content_type: str
    body: bytes
    policy: str = ""

    def encode(self, *, head_only: bool = False) -> bytes:
        """Give all bytes of the answer; for HEAD those up to its body."""
        lines = [
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            f"Content-Security-Policy: {_POLICY}{self.policy}",
            "X-Content-Type-Options: nosniff",
            "X-Frame-Options: DENY",
            "Referrer-Policy: no-referrer",
            "Cross-Origin-Resource-Policy: same-origin",
            "Connection: close",
        ]
        if self.status == 405:
            lines.append("Allow: GET, HEAD")
        head = "\r\n".join([*lines, "", ""]).encode("ascii")
        return head if head_only else head + self.body


def line(status: int, text: str) -> Response:
    """Give an answer of one line of text."""
    return Response(status, TEXT, f"{text}\n".encode())
