"""cluster.*: names that the account's containers serve on the web, held by the session."""

import logging
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from tfd.protocol.errors import Code, CommandError
from tflocation.commands import domains
from tflocation.commands.call import Body, Call, Handler, Services
from tflocation.commands.domains import host_name
from tflocation.web.certificates import CertificateError, check
from tflocation.web.clusters import Cluster, Rewrite, parse_rewrite
from tflocation.web.gateway import Gateway

log = logging.getLogger(__name__)


async def publish(services: Services, call: Call) -> Body:
    """Serve a name; gives the cluster, and what the publisher is to be warned of."""
    gateway = _gateway(services)
    fqdn = host_name(call.parameters["fqdn"])
    certificate, warnings = _certificate(gateway, call, fqdn)
    text = call.parameters.get("rewrite")
    cluster = Cluster(
        account=call.account,
        key=call.parameters["key"],
        holder=call.client.holder,
        fqdn=fqdn,
        containers=_containers(services, call),
        rewrite=parse_rewrite(text) if text else Rewrite(),
        certificate=certificate,
    )
    allowed, _ = await domains.read(services)
    allowed.require(call.account, fqdn)
    await gateway.publish(cluster)
    for warning in warnings:
        log.warning(
            "published with a doubtful certificate", extra={"fields": {"name": fqdn, "reason": warning}}
        )
    return {"cluster": cluster.key, "warnings": list(warnings)}


async def change(services: Services, call: Call) -> Body:
    """Give a cluster other containers."""
    gateway, key = _gateway(services), call.parameters["cluster"]
    # One that has ended meanwhile is still in the publisher's list.
    known = gateway.find(call.account, key).containers
    await gateway.change(call.account, key, _containers(services, call, known))
    return {}


async def remove(services: Services, call: Call) -> Body:
    """Take a cluster down."""
    await _gateway(services).remove(call.account, call.parameters["cluster"])
    return {}


async def listed(services: Services, call: Call) -> Body:
    """Tell the account's clusters."""
    own = services.web.of(call.account) if services.web is not None else []
    return {
        "clusters": [
            {
                "cluster": cluster.key,
                "fqdn": cluster.fqdn,
                "containers": list(cluster.containers),
                "certificate": cluster.certificate is not None,
            }
            for cluster in own
        ]
    }


def _gateway(services: Services) -> Gateway:
    if services.web is None:
        raise CommandError(
            Code.UNAVAILABLE,
            "this location serves no names: its administrator sets [web] in tflocation.toml for that",
        )
    return services.web


def _containers(services: Services, call: Call, known: Collection[str] = ()) -> tuple[str, ...]:
    """Give the ids that the call names, each of a container of the account or `known` already."""
    ids = tuple(dict.fromkeys(call.parameters["containers"]))
    for container_id in ids:
        if container_id not in known:
            services.inventory.own(call.account, container_id)
    return ids


def _certificate(gateway: Gateway, call: Call, fqdn: str) -> tuple[bytes | None, tuple[str, ...]]:
    given = call.parameters.get("certificate")
    if given is None:
        return None, ()
    if gateway.settings.https is None:
        raise CommandError(
            Code.UNAVAILABLE, "this location serves no TLS: https is off in its tflocation.toml"
        )
    try:
        certificate = check(given, fqdn, datetime.now(UTC))
    except CertificateError as error:
        raise CommandError(Code.BAD_PARAMETER, f"the certificate for {fqdn}: {error}") from None
    return certificate.pem, certificate.warnings


HANDLERS: Mapping[str, Handler] = {
    "cluster.publish": publish,
    "cluster.change": change,
    "cluster.remove": remove,
    "cluster.list": listed,
}
