"""The location's bridge and the containers' addresses on it."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from tflocation import firewall
from tflocation.engines.interface import EngineError, Exists, NotFound
from tflocation.engines.lxd.client import Client
from tflocation.engines.lxd.process import COMMAND
from tflocation.engines.lxd.settings import free_subnet

ADDRESS = "user.tfd.address"
_BRIDGE = 1 << 10  # a bridge of Linux has at most 1,023 ports
_CLUSTER = 1 << 14  # one bridge on each machine
_ROUTES = Path("/proc/net/route")
_VANISHED = "does not exist"
_TRIES = 4
_PAUSE = 0.2


async def ensure_network(client: Client, bridge: str, subnet: IPv4Network | None) -> IPv4Interface:
    """Make the bridge unless it is there, and give the location's own address on it.

    Raises EngineError where it exists with another subnet than the one asked for.
    """
    what = f"network {bridge}"
    try:
        found = await client.get(f"/1.0/networks/{bridge}", what=what)
    except NotFound:
        network = subnet or free_subnet(bridge, _ROUTES.read_text())
        await _create(client, bridge, IPv4Interface((network.network_address + 1, network.prefixlen)))
        found = await client.get(f"/1.0/networks/{bridge}", what=what)
    config = found.metadata["config"]
    if not found.metadata["managed"] or config.get("ipv4.address", "none") == "none":
        raise EngineError(f"{what} exists and is not ours: set another name for the location's bridge")
    gateway = IPv4Interface(config["ipv4.address"])
    if subnet is not None and subnet != gateway.network:
        raise EngineError(f"{what} has the subnet {gateway.network} and not {subnet}: remove one of the two")
    return gateway


async def _create(client: Client, bridge: str, gateway: IPv4Interface) -> None:
    body = {
        "name": bridge,
        "type": "bridge",
        "description": "containers of tflocation",
        "config": {
            "ipv4.address": str(gateway),
            "ipv4.nat": "true",
            "ipv4.dhcp": "false",
            "ipv6.address": "none",
            "dns.mode": "none",
        },
    }
    for tries_left in reversed(range(_TRIES)):
        try:
            with suppress(Exists):  # another tflocation was faster
                await client.request("POST", "/1.0/networks", what=f"network {bridge}", body=body)
        except EngineError as error:
            # Incus looks at every interface of the machine, and fails where one goes away meanwhile.
            if not tries_left or _VANISHED not in str(error):
                raise
            await asyncio.sleep(_PAUSE)
        else:
            return


def usable_addresses(gateway: IPv4Interface, *, clustered: bool) -> int:
    """Count the addresses, from the network's first on, that containers may have."""
    return min(gateway.network.num_addresses, _CLUSTER if clustered else _BRIDGE)


def choose_address(
    gateway: IPv4Interface, count: int, taken: Collection[IPv4Address], start: int
) -> IPv4Address:
    """Choose one of the first `count` addresses that is not `taken`, from the `start`th on and around.

    Raises EngineError when there is none.
    """
    network = gateway.network
    for step in range(count):
        address = network[(start + step) % count]
        unusable = (network[0], network[count - 1], gateway.ip)
        if address not in taken and address not in unusable:
            return address
    raise EngineError(f"all {count} addresses of {network} are in use: destroy containers")


def interface_device(bridge: str, gateway: IPv4Interface, address: IPv4Address) -> dict[str, str]:
    """Give the container's network device, which can send to the gateway alone.

    Our own firewall holds it to its addresses: the engine's would read all rules of this machine at each end.
    """
    return {
        "type": "nic",
        "name": "eth0",
        "network": bridge,
        "host_name": firewall.port_name(bridge, int(address) - int(gateway.network.network_address)),
        "hwaddr": firewall.hardware_address(bridge, address),
        "security.port_isolation": "true",
    }


def raw_config(gateway: IPv4Interface, address: IPv4Address, *, terminals: int = 0) -> str:
    """Give the lines for liblxc (lxc.container.conf(5)): address, route, first process and stop signal.

    `terminals` is how many there are beside the console.
    """
    return "\n".join(
        (
            f"lxc.tty.max = {terminals}",
            f"lxc.net.0.ipv4.address = {address}/32",
            f"lxc.net.0.ipv4.gateway = {gateway.ip}",
            f"lxc.init.cmd = {COMMAND}",
            "lxc.signal.halt = SIGTERM",
        )
    )


def address_of(instance: Mapping[str, Any]) -> str:
    """Give the address of an instance."""
    return str(instance["config"].get(ADDRESS, ""))


def addresses(instances: list[dict[str, Any]]) -> set[IPv4Address]:
    """Collect the addresses that the given instances have."""
    return {IPv4Address(found) for instance in instances if (found := address_of(instance))}
