"""PROXY protocol headers, byte for byte as haproxy's proxy-protocol.txt has them."""

import socket

from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.drivers.relaying.proxy_protocol import ProxyProtocol, header

V1, V2 = ProxyProtocol.V1, ProxyProtocol.V2
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
ADDRESSES_4 = st.tuples(st.ip_addresses(v=4).map(str), st.integers(0, 65535))
ADDRESSES_6 = st.tuples(st.ip_addresses(v=6).map(str), st.integers(0, 65535), st.just(0), st.just(0))


def test_version_1_over_ipv4() -> None:
    """The example of section 2.1."""
    expected = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"

    assert header(V1, ("192.168.0.1", 56324), ("192.168.0.11", 443)) == expected


def test_version_1_over_ipv6() -> None:
    """A scope is not part of the address."""
    expected = b"PROXY TCP6 fe80::1 2001:db8::2 1 2\r\n"

    assert header(V1, ("fe80::1%eth0", 1, 0, 2), ("2001:db8::2", 2, 0, 0)) == expected


def test_version_1_over_a_unix_socket() -> None:
    """What version 1 has no words for is UNKNOWN."""
    assert header(V1, "", "/run/web.sock") == b"PROXY UNKNOWN\r\n"


def test_version_2_over_ipv4() -> None:
    """Signature, version 2 and PROXY, TCP over IPv4, 12 bytes, addresses, ports."""
    expected = SIGNATURE + bytes.fromhex("2111000c c0a80001 c0a8000b dc04 01bb")

    assert header(V2, ("192.168.0.1", 56324), ("192.168.0.11", 443)) == expected


def test_version_2_over_ipv6() -> None:
    """TCP over IPv6 has 36 bytes."""
    expected = SIGNATURE + bytes.fromhex("21210024") + bytes(15) + b"\1" + bytes(15) + b"\1\0\1\0\2"

    assert header(V2, ("::1", 1, 0, 0), ("::1", 2, 0, 0)) == expected


def test_version_2_over_a_unix_socket() -> None:
    """Two paths of 108 bytes, padded with zeros; a client without a name has an empty one."""
    expected = SIGNATURE + bytes.fromhex("213100d8") + bytes(108) + b"/run/web.sock".ljust(108, b"\0")

    assert header(V2, "", "/run/web.sock") == expected


def test_mapped_addresses_are_ipv4() -> None:
    """A client that a socket for both families took is told as IPv4."""
    source, destination = ("::ffff:192.0.2.1", 1, 0, 0), ("::ffff:192.0.2.2", 2, 0, 0)

    assert header(V1, source, destination) == b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"


def test_off_is_nothing() -> None:
    """Without the protocol the container gets the client's bytes alone."""
    assert header(ProxyProtocol.OFF, ("192.0.2.1", 1), ("192.0.2.2", 2)) == b""


@given(source=ADDRESSES_4 | ADDRESSES_6, destination=ADDRESSES_4 | ADDRESSES_6)
def test_every_header_is_well_formed(source: tuple[str, int], destination: tuple[str, int]) -> None:
    """Lengths, limits and families agree, whatever the addresses are."""
    line = header(V1, source, destination)
    words = line[:-2].split(b" ")
    assert line.endswith(b"\r\n")
    assert len(line) <= 107
    family = {b"TCP4": socket.AF_INET, b"TCP6": socket.AF_INET6}[words[1]]
    binary = header(V2, source, destination)
    assert binary[:13] == SIGNATURE + b"\x21"
    assert len(binary) == 16 + int.from_bytes(binary[14:16], "big")
    size = {0x11: 4, 0x21: 16}[binary[13]]
    assert (size == 4) == (family == socket.AF_INET)
    assert binary[16 : 16 + size] == socket.inet_pton(family, words[2].decode())
    assert int(words[4]) == source[1]
    assert int(words[5]) == destination[1]
