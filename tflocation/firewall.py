"""The rules that close containers off from each other, from this machine, and from strangers (nftables).

The ruleset is one text that `nft -f -` applies at once or not at all (nft(8)). Its tables carry the name of
the location's bridge, so that several locations can live on one machine. Traffic between two containers is
never bridged but routed, since there alone connections are tracked on every kernel.
"""

import asyncio
import hashlib
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

APPLY_LIMIT = 30.0  # seconds
_OFFSET_DIGITS = 5  # hexadecimal; a /12 is the widest network


class FirewallError(Exception):
    """The kernel or nft refused the rules; the message is nft's own."""


@dataclass(frozen=True, slots=True)
class Firewall:
    """What is allowed on one bridge: each (from, to) may open connections, every other pair may not."""

    bridge: str
    gateway: IPv4Address
    allowed: frozenset[tuple[IPv4Address, IPv4Address]] = frozenset()

    def ruleset(self) -> str:
        """Give the whole text, which replaces the tables of an earlier one."""
        name = f"tfd_{self.bridge}"
        return _RULES.format(
            name=name,
            bridge=self.bridge,
            gateway=self.gateway,
            elements=_elements(self.allowed),
        )


def port_prefix(bridge: str) -> str:
    """Give what the names of all bridge ports of the location begin with."""
    return f"t{hashlib.blake2b(bridge.encode(), digest_size=3).hexdigest()}-"


def port_name(bridge: str, offset: int) -> str:
    """Name the bridge port of the container whose address is `offset` above the network's (15 characters)."""
    return f"{port_prefix(bridge)}{offset:0{_OFFSET_DIGITS}x}"


def hardware_address(bridge: str, address: IPv4Address) -> str:
    """Give the hardware address of the container that has this address: a locally administered one."""
    own = hashlib.blake2b(bridge.encode(), digest_size=1).digest()
    return (b"\x02" + own + address.packed).hex(":")


def guard(bridge: str, network: IPv4Network, count: int) -> str:
    """Give the text that holds each port of the bridge to its own addresses, in ARP as well.

    The ports are those of the first `count` addresses of the network.

    Which port has which is the same for ever, so it names all of them at once, and need not change when a
    container comes or goes.
    """
    own = ", ".join(
        f"{port_name(bridge, offset)} . {hardware_address(bridge, network[offset])} . {network[offset]}"
        for offset in range(1, count - 1)
    )
    return _GUARD.format(name=f"tfd_{bridge}", ports=port_prefix(bridge), own=own)


async def apply(ruleset: str) -> None:
    """Hand the text to nft. Raises FirewallError, and nothing has changed then."""
    try:
        done = await asyncio.to_thread(
            subprocess.run,
            ["nft", "-f", "-"],
            input=ruleset.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=APPLY_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FirewallError(str(error)) from error
    if done.returncode != 0:
        raise FirewallError(done.stderr.decode(errors="replace").strip() or f"nft: exit {done.returncode}")


def _elements(pairs: Iterable[tuple[IPv4Address, IPv4Address]]) -> str:
    listed = ", ".join(f"{source} . {target}" for source, target in sorted(pairs))
    return f"elements = {{ {listed} }}" if listed else ""


# A reply is let through for as long as its pair is allowed: the connection's first packet is looked up,
# so a pair that is taken away takes its open connections with it.
# A redirect would tell a container to send to its neighbour directly, where nothing passes.
# 169.254.0.0/16 holds the credentials service of clouds.
_RULES = """\
table inet {name}
delete table inet {name}
table inet {name} {{
    set allowed {{
        type ipv4_addr . ipv4_addr
        {elements}
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "{bridge}" oifname "{bridge}" jump between
        oifname "{bridge}" ct state established,related accept
        oifname "{bridge}" drop
        iifname "{bridge}" meta nfproto ipv6 drop
        iifname "{bridge}" ip daddr 169.254.0.0/16 drop
    }}
    chain between {{
        ct original ip saddr . ct original ip daddr @allowed accept
        drop
    }}
    chain input {{
        type filter hook input priority filter; policy accept;
        iifname "{bridge}" jump from_containers
    }}
    chain from_containers {{
        ct state established,related accept
        ip daddr {gateway} udp dport 53 accept
        ip daddr {gateway} tcp dport 53 accept
        ip daddr {gateway} icmp type echo-request accept
        drop
    }}
    chain output {{
        type filter hook output priority filter; policy accept;
        oifname "{bridge}" icmp type redirect drop
    }}
}}
"""

# No frame goes from one container's port to another's.
_GUARD = """\
table bridge {name}
delete table bridge {name}
table bridge {name} {{
    set own {{
        type ifname . ether_addr . ipv4_addr
        elements = {{ {own} }}
    }}
    chain prerouting {{
        type filter hook prerouting priority filter; policy accept;
        iifname "{ports}*" jump from_containers
    }}
    chain from_containers {{
        ether type ip iifname . ether saddr . ip saddr @own accept
        ether type != arp drop
        iifname . ether saddr . arp saddr ip != @own drop
        iifname . arp saddr ether . arp saddr ip != @own drop
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "{ports}*" oifname "{ports}*" drop
    }}
}}
"""
