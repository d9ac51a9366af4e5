"""Who may look: this machine, and whom `[metrics] allow` names."""

from ipaddress import ip_address

from tfd.config.model import Metrics
from tfd.metrics.response import Response, line
from tfd.protocol.drivers.relaying.proxy_protocol import SocketAddress, bare_address


def refusal(metrics: Metrics, peer: SocketAddress, host: str) -> Response | None:
    """Give the answer to who may not look, None for who may. `host` is the name that was asked for."""
    if not isinstance(peer, tuple):
        return None  # a Unix socket, whose directory's permissions say who gets this far
    address = bare_address(peer[0])
    networks = metrics.allow
    if not address.is_loopback and not any(
        address.version == network.version and address in network for network in networks
    ):
        return line(403, "not allowed: allow of [metrics] does not have this address")
    # A page from elsewhere could have its name lead here, and read as this machine's browser (DNS rebinding).
    if not networks and not _is_of_this_machine(host):
        return line(421, f"{host} is no name of this machine: ask for localhost, or give [metrics] an allow")
    return None


def _is_of_this_machine(host: str) -> bool:
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal():
        name = host
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
