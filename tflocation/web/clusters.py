"""Published clusters: which containers serve which name, and who holds it. Pure."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from tfd.protocol.errors import Code, CommandError

MAX_CLUSTERS: Final = 512
"""Names that one location serves."""

MAX_OF_ACCOUNT: Final = 256

PORT: Final = 80
"""Where a cluster's containers serve HTTP."""

HIGHEST_WEIGHT: Final = 256
"""Of a server (HAProxy's configuration manual, 5.2, weight)."""

_REWRITE: Final = re.compile(
    r"(?P<host>[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?(:\d{1,5})?)?"
    # Nothing that means something to HAProxy's command line, such as the semicolon.
    r"(?P<prefix>(/[A-Za-z0-9_.~-]+)*)/?"
)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What the containers see instead: another Host header, a path before the request's; "" for neither."""

    host: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A published cluster.

    Attributes:
        key: names it within its account.
        holder: the session that holds it, in hexadecimal.
        fqdn: the name that it serves, normalised.
        containers: ids, in the order given.
        certificate: key and chain, PEM, as checked; None where the publisher gave none.

    """

    account: str
    key: str
    holder: str
    fqdn: str
    containers: tuple[str, ...]
    rewrite: Rewrite = Rewrite()
    certificate: bytes | None = None


def parse_rewrite(text: str) -> Rewrite:
    """Give what `HOST[:PORT][/PREFIX]` or `/PREFIX` asks for.

    Raises CommandError bad-parameter.
    """
    match = _REWRITE.fullmatch(text)
    if match is None or any(part in (".", "..") for part in match["prefix"].split("/")):
        raise CommandError(
            Code.BAD_PARAMETER,
            f"rewrite {text[:80]!r}: allowed are a Host header to send, with a path to put before the "
            "request's if wanted: HOST[:PORT][/PATH]",
        )
    return Rewrite(match["host"] or "", match["prefix"])


def weights(nodes: Mapping[str, str], processors: Mapping[str, int]) -> dict[str, int]:
    """Give each container's weight, 1 to HIGHEST_WEIGHT: its share of its node's processors.

    `nodes` gives the node of each container; a node that is not known counts one processor.
    """
    counts: dict[str, int] = {}
    for node in nodes.values():
        counts[node] = counts.get(node, 0) + 1
    shares = {container: processors.get(node, 1) / counts[node] for container, node in nodes.items()}
    most = max(shares.values(), default=1)
    return {container: max(1, round(HIGHEST_WEIGHT * share / most)) for container, share in shares.items()}


class Clusters:
    """All published clusters of a location. Methods that change tell which clusters changed or went."""

    def __init__(self, clusters: Collection[Cluster] = ()) -> None:
        self._by_key = {(cluster.account, cluster.key): cluster for cluster in clusters}

    def all(self) -> list[Cluster]:
        """Give all, in the order of their publication."""
        return list(self._by_key.values())

    def of(self, account: str) -> list[Cluster]:
        """Give the account's."""
        return [cluster for cluster in self._by_key.values() if cluster.account == account]

    def holders(self) -> set[tuple[str, str]]:
        """Give the sessions that hold a cluster: account, and id in hexadecimal."""
        return {(cluster.account, cluster.holder) for cluster in self._by_key.values()}

    def find(self, account: str, key: str) -> Cluster:
        """Give one of the account's. Raises CommandError not-found."""
        cluster = self._by_key.get((account, key))
        if cluster is None:
            raise CommandError(Code.NOT_FOUND, f"there is no cluster {key}")
        return cluster

    def require(self, cluster: Cluster) -> None:
        """Raise CommandError unless it may be published: exists where another session holds its name or key.

        The same session may publish another cluster at its name, which takes the name over at once.
        """
        same = self._by_key.get((cluster.account, cluster.key))
        if same is not None and same.holder != cluster.holder:
            raise CommandError(Code.EXISTS, f"cluster {cluster.key} is another session's")
        other = self._at(cluster.fqdn)
        if other is not None and (other.account, other.holder) != (cluster.account, cluster.holder):
            raise CommandError(
                Code.EXISTS,
                f"{cluster.fqdn} is published by another session; it is free once that session has ended",
            )
        if same is None and other is None:
            if len(self._by_key) >= MAX_CLUSTERS:
                raise CommandError(Code.LIMIT, f"the location serves {MAX_CLUSTERS} names; allowed: no more")
            if len(self.of(cluster.account)) >= MAX_OF_ACCOUNT:
                raise CommandError(Code.LIMIT, f"the account has {MAX_OF_ACCOUNT} names; allowed: no more")

    def publish(self, cluster: Cluster) -> None:
        """Serve a name by it. Raises CommandError as `require` does."""
        self.require(cluster)
        other = self._at(cluster.fqdn)
        if other is not None:
            del self._by_key[other.account, other.key]
        self._by_key[cluster.account, cluster.key] = cluster

    def change(self, account: str, key: str, containers: tuple[str, ...]) -> None:
        """Give it other containers. Raises CommandError not-found."""
        self._by_key[account, key] = replace(self.find(account, key), containers=containers)

    def remove(self, account: str, key: str) -> bool:
        """Take it down; tells whether it was there."""
        return self._by_key.pop((account, key), None) is not None

    def release(self, account: str, holder: str) -> bool:
        """Take down all that a session of the account holds; tells whether there was any."""
        held = [each for each in self._by_key.values() if (each.account, each.holder) == (account, holder)]
        for cluster in held:
            del self._by_key[cluster.account, cluster.key]
        return bool(held)

    def forget(self, container: str) -> bool:
        """Take a container that is no more out of every cluster; tells whether it was in one."""
        found = [cluster for cluster in self._by_key.values() if container in cluster.containers]
        for cluster in found:
            left = tuple(other for other in cluster.containers if other != container)
            self._by_key[cluster.account, cluster.key] = replace(cluster, containers=left)
        return bool(found)

    def _at(self, fqdn: str) -> Cluster | None:
        return next((cluster for cluster in self._by_key.values() if cluster.fqdn == fqdn), None)
