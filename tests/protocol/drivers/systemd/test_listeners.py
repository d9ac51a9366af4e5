"""Names under which listening sockets are kept."""

from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.drivers.systemd.listeners import SocketName, store_name

NAMES: st.SearchStrategy[SocketName] = st.one_of(
    st.tuples(st.ip_addresses(v=4).map(str), st.integers(0, 65535)),
    st.tuples(st.ip_addresses(v=6).map(str), st.integers(0, 65535), st.just(0), st.integers(0, 9)),
    st.binary(min_size=1, max_size=107).map(lambda path: b"/" + path),
    st.text("é/:#%", min_size=1, max_size=60),
)
MARKS = st.from_regex(r"([0-9]{1,20}-[0-9]{1,20})?", fullmatch=True)


@given(name=NAMES, mark=MARKS)
def test_every_address_has_a_name_that_systemd_takes(name: SocketName, mark: str) -> None:
    """Printable ASCII without a colon, 255 characters at most, and the mark at its end."""
    stored = store_name(name, mark)

    assert len(stored) <= 255
    assert all(" " <= character <= "~" and character != ":" for character in stored)
    assert stored.rpartition("#")[2] == mark


@given(one=NAMES, other=NAMES)
def test_different_addresses_have_different_names(one: SocketName, other: SocketName) -> None:
    """So that giving one up gives no other up."""
    assert (store_name(one) == store_name(other)) == (one == other)


def test_names_can_be_read() -> None:
    """`systemd-analyze fdstore` shows them to people."""
    assert store_name(("127.0.0.1", 80)) == "listener=127.0.0.1 80#"
    assert store_name(("::1", 80, 0, 0)) == "listener=%3a%3a1 80 0 0#"
    assert store_name("/run/web.sock", "1-2") == "listener=/run/web.sock#1-2"
