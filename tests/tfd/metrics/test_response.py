"""Answers as bytes."""

import pytest

from tfd.metrics.response import HTML, Response, line


def test_the_length_is_that_of_the_bytes() -> None:
    """Not that of the characters."""
    data = line(200, "größer").encode()

    assert b"Content-Length: 9\r\n" in data
    assert data.endswith("\r\n\r\ngrößer\n".encode())


@pytest.mark.parametrize("status", [200, 400, 403, 404, 405, 408, 413, 414, 421, 431, 500, 503, 505])
def test_each_status_has_its_words(status: int) -> None:
    """And a refused method is told the ones that are answered (RFC 9110, 15.5.6)."""
    head = Response(status, HTML, b"").encode(head_only=True).decode()

    assert head.startswith(f"HTTP/1.1 {status} ")
    assert ("Allow: GET, HEAD" in head) == (status == 405)
    assert head.endswith("\r\n\r\n")
