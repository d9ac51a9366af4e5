"""The reader of HTTP requests, with right, cut, strange and hostile ones."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfd.metrics.request import MAX_HEAD, MAX_TARGET, Refusal, Request, RequestReader

PATHS = st.text("abcxyz/._-%", max_size=30).map(lambda text: "/" + text)
FIELDS = st.dictionaries(
    st.text("abcdefgh-", min_size=1, max_size=10).map(lambda name: "x-" + name),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    max_size=5,
)


def read(data: bytes) -> Request | Refusal | None:
    """Give what a reader makes of bytes that come at once."""
    return RequestReader().receive(data)


@given(
    method=st.sampled_from(["GET", "HEAD"]),
    path=PATHS,
    query=st.sampled_from(["", "?", "?a=b&c"]),
    fields=FIELDS,
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
def test_a_right_request_is_understood_however_it_is_cut(
    method: str, path: str, query: str, fields: dict[str, str], cuts: list[int]
) -> None:
    """The pieces give what the whole gives, and nothing before the last byte."""
    lines = [f"{method} {path}{query} HTTP/1.1", "Host: box:9164"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    data = "\r\n".join([*lines, "", ""]).encode()
    reader = RequestReader()
    answers = []
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in pairwise(edges):
        answers.append(reader.receive(data[start:end]))

    assert answers[:-1] == [None] * (len(answers) - 1)
    assert answers[-1] == Request(method, path, "box:9164")


@given(st.lists(st.binary(max_size=2000), max_size=20))
@example([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"x"])
@example([b"GET " + b"/" * 20_000])
@example([b"\r\n" * 9000])
def test_no_bytes_break_it(pieces: list[bytes]) -> None:
    """It raises nothing, keeps to its last word, and decides within the bytes that it takes."""
    reader = RequestReader()
    last: Request | Refusal | None = None
    for piece in pieces:
        answer = reader.receive(piece)
        assert last is None or answer == last
        last = answer
    if last is None:
        assert reader.receive(b"x" * (MAX_HEAD + 1)) is not None


@given(st.binary(max_size=60).map(lambda junk: b"GET /" + junk + b" HTTP/1.1\r\nHost: a\r\n\r\n"))
def test_what_is_understood_is_printable(data: bytes) -> None:
    """Nothing that could break a line or a page comes out."""
    answer = read(data)

    assert isinstance(answer, Refusal) or (answer is not None and answer.path.isprintable())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nx: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: a\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/11\r\nHost: a\r\n\r\n", 400),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
        (b"GET /" + b"a" * MAX_TARGET + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"a" * 7000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"a" * MAX_HEAD, 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", 400),
    ],
)
def test_a_wrong_request_is_refused(data: bytes, status: int) -> None:
    """With the status code that tells its sender what was wrong."""
    answer = read(data)

    assert isinstance(answer, Refusal)
    assert answer.status == status


@pytest.mark.parametrize(
    ("data", "request_"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", Request("GET", "/", "")),
        (b"\r\n\r\nHEAD /a?b HTTP/1.1\r\nhost:\t[::1]:80 \r\n\r\nGET", Request("HEAD", "/a", "[::1]:80")),
        (b"GET http://box:1/a?b HTTP/1.1\r\nHost: other\r\n\r\n", Request("GET", "/a", "box:1")),
        (b"GET HTTP://box HTTP/1.1\r\nHost: other\r\n\r\n", Request("GET", "/", "box")),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Request("GET", "/", "a")),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", Request("GET", "/", "")),
    ],
)
def test_an_unusual_request_is_understood(data: bytes, request_: Request) -> None:
    """What the standard allows, though browsers do not send it."""
    assert read(data) == request_
