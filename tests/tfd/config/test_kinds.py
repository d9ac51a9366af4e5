"""Kinds of values at their edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tfd.config.documents import JUNK
from tfd.config.addresses import AddressOf, parse
from tfd.config.kinds import Kind
from tfd.config.problems import Place, Report
from tfd.config.table import TOP, Key
from tfd.protocol.address import Address


def read(kind: Kind, value: object) -> object | None:
    """Read a value by itself; None when it is wrong."""
    report = Report("tfd.toml", "/nowhere", lambda _key: None)
    found = kind.read(value, Place(report))
    assert (found is None) == bool(report.problems) or found == ()
    return found


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(1, 65535))
def test_addresses(host: object, port: int) -> None:
    """Every IPv4 and IPv6 address is read, and written as it is read."""
    text = f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    address = parse(text)

    assert address is not None
    assert port == address.port
    assert address == parse(str(address))


@given(st.text("0123456789abcdef:.[]%-_*/ unix"))
def test_any_address(text: str) -> None:
    """Any text is an address that is written as it is read, or None."""
    address = parse(text)

    assert address is None or address == parse(str(address))


def test_unix_address() -> None:
    """A Unix socket can be bound and not be a location's address."""
    assert Address(path="/run/web") == read(AddressOf(listening=True), "unix:/run/web")
    assert read(AddressOf(listening=False), "unix:/run/web") is None


@pytest.mark.parametrize(
    "key", [key for section in TOP.values() for key in section.keys], ids=lambda key: key.name
)
@given(value=JUNK)
def test_junk(key: Key, value: object) -> None:
    """Any value is read by any key, or reported."""
    report = Report("tfd.toml", "/nowhere", lambda _key: None)

    assert key.kind.read(value, Place(report)) is not None or report.problems
