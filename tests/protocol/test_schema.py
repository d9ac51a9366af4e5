"""Descriptions of values: each allows what it says, and names what it does not allow."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import values
from tfd.protocol.schema import (
    Binary,
    Choice,
    Flag,
    Integer,
    ListOf,
    MapOf,
    Mismatch,
    Number,
    Parameter,
    Row,
    Table,
    Text,
    Type,
    shown,
)

WORD = Text(5, pattern=re.compile(r"[a-z]+"), says="a short word")
TABLE = Table((Parameter("port", Integer(1, 65535)), Parameter("path", WORD, required=False)))


def complaint_of(type_: Type, value: object) -> str:
    """Give the text of the mismatch, or none."""
    try:
        type_.check(value, "x")
    except Mismatch as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("type_", "value", "complaint"),
    [
        (Text(3), "four", "x is 'four'; allowed: text of 1 to 3 characters"),
        (Text(3), "a\0", r"x is 'a\x00'; allowed: text of 1 to 3 characters"),
        (WORD, "UP", "x is 'UP'; allowed: a short word"),
        (Binary(16, 16), b"short", "x is 5 bytes; allowed: 16 bytes"),
        (Binary(1, 2), "text", "x is 'text'; allowed: 1 to 2 bytes"),
        (Integer(1, 9), True, "x is true; allowed: 1 to 9"),
        (Integer(1, 9), 10, "x is 10; allowed: 1 to 9"),
        (Integer(1 << 20, 1 << 44, size=True), -5, "x is -5; allowed: 1 MiB to 16 TiB"),
        (Number(0, 60, "s"), math.nan, "x is nan; allowed: 0 to 60 s"),
        (Number(0, 60, "s"), None, "x is nil; allowed: 0 to 60 s"),
        (Number(0, 60), 10**400, f"x is {10**400}; allowed: 0 to 60"),
        (Flag(), 1, "x is 1; allowed: true or false"),
        (Choice(("tcp", "http")), "udp", "x is 'udp'; allowed: tcp or http"),
        (Choice(("tcp", "http")), ["tcp"], "x is a list of 1 entries; allowed: tcp or http"),
        (ListOf(WORD, 2), ["a", "b", "c"], "x is a list of 3 entries; allowed: a list of 0 to 2 items"),
        (ListOf(WORD, 2), ["a", 1], "x[1] is 1; allowed: a short word"),
        (Row((("from", WORD), ("to", WORD))), ["a"], "x is a list of 1 entries; allowed: a list of from, to"),
        (Row((("from", WORD), ("to", WORD))), ["a", 2], "x.to is 2; allowed: a short word"),
        (MapOf(WORD, Flag(), 1), {"A": True}, "a key of x is 'A'; allowed: a short word"),
        (MapOf(WORD, Flag(), 1), {"a": 0}, "x['a'] is 0; allowed: true or false"),
        (MapOf(WORD, Flag(), 1), [], "x is a list of 0 entries; allowed: a map of up to 1 entries"),
        (TABLE, {}, "x.port is missing; allowed: 1 to 65535"),
        (TABLE, {"prot": 1}, "x.prot is not a parameter; allowed: port, path"),
        (TABLE, {"port": 0}, "x.port is 0; allowed: 1 to 65535"),
        (TABLE, "text", "x is 'text'; allowed: a map"),
    ],
)
def test_a_mismatch_says_where_what_and_what_is_allowed(type_: Type, value: object, complaint: str) -> None:
    """One sentence names the place, what was found and what is allowed."""
    assert complaint_of(type_, value) == complaint


def test_nil_is_as_good_as_absent() -> None:
    """A parameter that is not required may be given as nil, and is left out then."""
    assert TABLE.check({"port": 1, "path": None}, "") == {"port": 1}


@given(values)
def test_no_value_breaks_a_description(value: object) -> None:
    """Every description gives a value or raises Mismatch, whatever it gets."""
    types = (
        Text(3),
        WORD,
        Binary(1, 2),
        Integer(0, 5),
        Number(0, 1),
        Flag(),
        Choice(("a",)),
        ListOf(WORD, 2),
    )
    for type_ in (*types, MapOf(WORD, Flag(), 2), Row((("a", WORD),)), TABLE):
        assert complaint_of(type_, value).isprintable()
        assert len(complaint_of(type_, value)) < 400


@given(st.text(alphabet=st.characters(), max_size=500))
def test_shown_texts_are_short_and_printable(text: str) -> None:
    """What a peer wrote cannot fill or forge a message to people."""
    for quote in (True, False):
        assert shown(text, quote=quote).isprintable()
        assert len(shown(text, quote=quote)) <= 63 * 10
