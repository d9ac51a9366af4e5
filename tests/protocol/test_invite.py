"""Invites: one line, which gives the same invite again or a plain complaint."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import allowed_by
from tfd.protocol.commands import NAME
from tfd.protocol.errors import InviteError
from tfd.protocol.invite import Invite, format_invite, parse_invite

hosts = st.ip_addresses().map(str).filter(lambda host: "%" not in host) | st.from_regex(
    r"[a-z0-9]{1,20}(\.[a-z][a-z0-9]{0,10}){0,3}", fullmatch=True
)
invites = st.builds(
    Invite,
    name=allowed_by(NAME),
    host=hosts,
    port=st.integers(1, 65535),
    public=st.binary(min_size=32, max_size=32),
    token=st.binary(min_size=16, max_size=16),
    expires=st.integers(1, 10**16 - 1),
)
LINE = "me@vps.example.net:2020/" + "A" * 43 + "/" + "Q" * 22 + "/1999999999"


@given(invites)
def test_an_invite_round_trip(invite: Invite) -> None:
    """The line gives the invite again, and no shell takes it apart (brackets are an IPv6 address's)."""
    line = format_invite(invite)

    assert parse_invite(f"  {line}\n") == invite
    assert re.fullmatch(r"[A-Za-z0-9@:/._\[\]-]+", line)


@given(st.text(max_size=200) | invites.map(format_invite), st.data())
def test_other_lines_are_complained_about(line: str, data: st.DataObject) -> None:
    """Cut, doubled and random text is an InviteError, or an invite that formats to the same line."""
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, len(line)))
    changed = line[:start] + data.draw(st.text(max_size=5)) + line[end:]
    try:
        invite = parse_invite(changed)
    except InviteError as error:
        complaint = str(error)
    else:
        assert format_invite(invite) == changed.strip()
        return

    assert complaint.isprintable()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("me@", "", "copy the whole line"),
        ("/1999999999", "", "copy the whole line"),
        ("Q" * 22, "Q" * 21, "cut or mistyped"),
        ("Q" * 22, "Q" * 21 + "R", "cut or mistyped"),
        (":2020", ":0", "copy the whole line"),
        (":2020", ":70000", "port is 70000; allowed: 1 to 65535"),
        ("vps.example.net", "[vps]", "brackets"),
        ("vps.example.net", "[::zz]", "host is '::zz'"),
        ("vps.example.net", "-vps", "host is '-vps'"),
        ("vps.example.net", "::1", "copy the whole line"),
        ("me@", "-me@", "name is '-me'"),
    ],
)
def test_a_wrong_part_is_named(old: str, new: str, complaint: str) -> None:
    """The complaint says what is wrong with the line."""
    parse_invite(LINE)

    with pytest.raises(InviteError, match=re.escape(complaint)):
        parse_invite(LINE.replace(old, new, 1))


def test_a_token_is_not_shown() -> None:
    """A log line with an invite in it does not let its reader join."""
    invite = Invite("me", "::1", 2020, b"p" * 32, b"t" * 16, 1999999999)

    assert repr(invite.token) not in repr(invite)
