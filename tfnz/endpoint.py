"""Names on the web that a session's containers serve."""

import logging
from collections.abc import Iterable, KeysView
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import ref

from tfnz.base import Ending, as_text, new_uuid

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tfnz.connection import Connection
    from tfnz.container import Container
    from tfnz.location import Location

TRIES: Final = 30
TRY_LIMIT: Final = 5.0
"""Seconds that one try of wait_http_200 may take."""

PAUSE: Final = 1.0
"""Seconds between two tries."""

log = logging.getLogger(__name__)


class Cluster(Ending):
    """Containers that serve one name together. With `with`, its end takes it down.

    Args:
        containers: to begin with.
        rewrite: what the containers get as Host header instead of the name; `HOST/PATH` also puts a path
            before that of each request.

    Attributes:
        uuid: None until it is published.
        containers: by their uuid.
        conn: gives the connection of the session that publishes it; None until it is published.

    """

    def __init__(self, containers: "Iterable[Container] | None" = None, rewrite: str | None = None) -> None:
        self.uuid: bytes | None = None
        self.containers: dict[bytes, Container] = {
            container.uuid: container for container in containers or ()
        }
        self.rewrite = rewrite
        self.conn: Callable[[], Connection] | None = None
        self._endpoint: Callable[[], WebEndpoint | None] = lambda: None

    def __repr__(self) -> str:
        uuid = None if self.uuid is None else as_text(self.uuid)
        return f"<Cluster {uuid!r} containers={len(self.containers)}>"

    def add_container(self, container: "Container") -> None:
        """Let a container serve too, once it is ready; a published cluster changes before this returns.

        Raises ValueError, TimeoutError.
        """
        container.wait_until_ready()
        if container.uuid in self.containers:
            return
        self.containers[container.uuid] = container
        try:
            self._tell()
        except BaseException:
            self.containers.pop(container.uuid, None)
            raise

    def remove_container(self, container: "Container") -> None:
        """Let a container serve no longer; requests that it has are answered. Repeatable."""
        if self.containers.pop(container.uuid, None) is None:
            return
        try:
            self._tell()
        except (ValueError, TimeoutError) as error:
            log.warning("A container was not taken out of %r: %s", self, error)

    def uuids(self) -> KeysView[bytes]:
        """Give the containers' uuids."""
        return self.containers.keys()

    def ids(self) -> list[str]:
        """Give the location's ids of the containers; those that have ended leave the cluster."""
        for container in list(self.containers.values()):
            if container.dead:
                del self.containers[container.uuid]
        return [container.wait_until_ready().container_id() for container in self.containers.values()]

    def published(self, uuid: bytes, endpoint: "WebEndpoint") -> None:
        """Know that it is published."""
        self.uuid, self.conn, self._endpoint = uuid, endpoint.conn, ref(endpoint)

    def unpublished(self) -> None:
        """Know that it is not."""
        self.uuid = None

    def _tell(self) -> None:
        if self.uuid is not None and self.conn is not None:
            self.conn().call("cluster.change", {"cluster": as_text(self.uuid), "containers": self.ids()})

    def _leave(self) -> None:
        endpoint = self._endpoint()
        if endpoint is not None:
            endpoint.unpublish(self)


class WebEndpoint:
    """A domain under which the account may publish. Obtained from a Location.

    Attributes:
        domain: its name.
        clusters: those published here, by uuid.

    """

    def __init__(self, location: "Location", domain: str) -> None:
        connection = location.connection
        self.conn: Callable[[], Connection] = lambda: connection
        self.domain = domain
        self.clusters: dict[bytes, Cluster] = {}

    def __repr__(self) -> str:
        return f"<WebEndpoint {self.domain!r} clusters={len(self.clusters)}>"

    def publish(self, cluster: Cluster, fqdn: str, *, ssl: "tuple[str | Path, ...] | None" = None) -> bytes:
        """Serve `fqdn` from port 80 of the cluster's containers; gives the cluster's uuid.

        A published cluster is changed: its name, its certificate, its containers. Another cluster of this
        session at the same name is replaced without a gap.

        Args:
            cluster: the containers; this waits until they are ready.
            fqdn: the name, which is the domain or lies under it.
            ssl: names of PEM files: (certificate, key) or (certificate, key, intermediates). Then port 443
                serves the name and port 80 redirects there.

        Raises:
            ValueError: a name that cannot be published, files that do not fit, a container that ended.
            OSError: a file cannot be read.
            TimeoutError: the location does not answer, or a container is not ready in time.

        """
        name = _host_name(fqdn)
        if name != self.domain and not name.endswith("." + self.domain):
            raise ValueError(f"{fqdn} is not under {self.domain}")
        uuid = cluster.uuid or new_uuid()
        params: dict[str, Any] = {"key": as_text(uuid), "fqdn": name}
        if ssl is not None:
            params["certificate"] = _pem(ssl)
        if cluster.rewrite:
            params["rewrite"] = cluster.rewrite
        answer = self.conn().call("cluster.publish", params | {"containers": cluster.ids()})
        for warning in answer.get("warnings", ()):
            log.warning("%s", warning)
        cluster.published(uuid, self)
        self.clusters[uuid] = cluster
        log.info("Published (%s) at: %s", as_text(uuid), name)
        return uuid

    def unpublish(self, cluster: Cluster) -> None:
        """Take a cluster down; it may be published again. One that is not published is left alone."""
        uuid = cluster.uuid
        if uuid is None:
            return
        cluster.unpublished()
        self.clusters.pop(uuid, None)
        try:
            self.conn().call("cluster.remove", {"cluster": as_text(uuid)})
        except (ValueError, TimeoutError) as error:
            log.warning("The end of cluster %s was not confirmed: %s", as_text(uuid), error)
            return
        log.info("Unpublished: %s", as_text(uuid))

    @staticmethod
    def wait_http_200(fqdn: str, *, ssl: bool = False) -> None:
        """Ask `http://fqdn/`, or https, until it answers 200: 30 times, one second apart.

        Certificates are checked. Raises ValueError with what it answered last.
        """
        import time

        url = f"{'https' if ssl else 'http'}://{fqdn}/"
        log.info("Waiting on http 200: %s", url)
        for number in range(TRIES):
            if number:
                time.sleep(PAUSE)
            failure = _ask(url)
            if not failure:
                log.info("Connected onto: %s", url)
                return
        raise ValueError(f"{url} did not answer 200 in {TRIES} tries; the last: {failure}")


def _host_name(fqdn: str) -> str:
    name = fqdn.removesuffix(".").lower()
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError(f"{fqdn!r} has no spelling as a host name") from None


def _pem(files: "tuple[str | Path, ...]") -> bytes:
    if not isinstance(files, tuple | list) or len(files) not in (2, 3):
        raise ValueError("ssl is (certificate, key) or (certificate, key, intermediates): names of PEM files")
    return b"\n".join(Path(name).read_bytes() for name in files)


def _ask(url: str) -> str:
    """Ask once; gives why it was no 200, "" where it was."""
    import http.client
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=TRY_LIMIT) as response:  # noqa: S310 - http or https
            return "" if response.status == http.client.OK else f"status {response.status}"
    except urllib.error.HTTPError as error:
        error.close()
        return f"status {error.code}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return str(error) or type(error).__name__
