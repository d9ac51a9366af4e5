"""The firewall's text, and that the kernel takes it."""

import subprocess
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflocation import firewall
from tflocation.firewall import Firewall, FirewallError, port_name, port_prefix

GATEWAY = IPv4Address("10.1.0.1")
BRIDGES = st.from_regex(r"[a-z][a-z0-9]{0,10}", fullmatch=True)


@given(BRIDGES, st.integers(0, (1 << 20) - 1))
def test_port_names_fit_and_belong_to_their_bridge(bridge: str, offset: int) -> None:
    """A port's name fits the kernel's 15 characters and begins as the rules expect."""
    name = port_name(bridge, offset)

    assert len(name) <= 15
    assert name.startswith(port_prefix(bridge))


@given(st.sets(st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)), max_size=5))
def test_same_pairs_give_the_same_text(pairs: set[tuple[IPv4Address, IPv4Address]]) -> None:
    """The text depends on what is allowed and not on an order, and names each pair."""
    text = Firewall("tfd0", GATEWAY, frozenset(pairs)).ruleset()

    assert text == Firewall("tfd0", GATEWAY, frozenset(list(pairs)[::-1])).ruleset()
    assert all(f"{source} . {target}" in text for source, target in pairs)


@pytest.mark.root
@pytest.mark.parametrize("count", [0, 1, 2000])
def test_kernel_takes_the_rules(count: int) -> None:
    """The whole text is valid, with no pair and with many."""
    pairs = frozenset((GATEWAY + n, GATEWAY + n + 1) for n in range(count))
    rules = Firewall("tfdtest0", GATEWAY, pairs).ruleset()

    checked = subprocess.run(
        ["nft", "-c", "-f", "-"], input=rules, text=True, capture_output=True, check=False
    )

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.root
async def test_refused_rules_are_told() -> None:
    """What nft says about a wrong text reaches the caller."""
    with pytest.raises(FirewallError, match="syntax error"):
        await firewall.apply("no rules at all")
