"""The subnet that a location takes where none is set."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflocation.engines.lxd.settings import SUBNET_BITS, free_subnet

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"

NETWORKS = st.builds(
    lambda number, prefix: IPv4Network((number, prefix), strict=False),
    st.integers(10 << 24, (11 << 24) - 1),
    st.integers(9, 32),
)


def routes(networks: list[IPv4Network]) -> str:
    """Write /proc/net/route, with a default route first."""
    lines = ["eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"]
    for network in networks:
        destination, mask = (x.packed[::-1].hex().upper() for x in (network.network_address, network.netmask))
        lines.append(f"eth0\t{destination}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0\n")
    return HEAD + "".join(lines)


@given(st.from_regex(r"[a-z0-9]{1,11}", fullmatch=True), st.lists(NETWORKS, max_size=4))
def test_overlaps_no_route(bridge: str, taken: list[IPv4Network]) -> None:
    """The subnet is private, free, and the same one at the next start."""
    networks = [network for network in taken if network.prefixlen > 9]

    subnet = free_subnet(bridge, routes(networks))

    assert subnet.prefixlen == SUBNET_BITS
    assert subnet.subnet_of(IPv4Network("10.0.0.0/8"))
    assert not any(subnet.overlaps(network) for network in networks)
    assert subnet == free_subnet(bridge, routes(networks))


def test_no_room_is_said() -> None:
    """Where all of 10.0.0.0/8 is routed, the operator is asked for a subnet."""
    with pytest.raises(ValueError, match="set the location's subnet"):
        free_subnet("tfd0", routes([IPv4Network("10.0.0.0/8")]))
