"""A container's services, reached from here: waiting for them, tunnels and ssh servers."""

import logging
from typing import TYPE_CHECKING, Final

from tfnz.base import as_text
from tfnz.facets.base import Usable

if TYPE_CHECKING:
    from tfnz.node import Node
    from tfnz.ssh import SshServer
    from tfnz.tunnel import Tunnel

TCP_LIMIT: Final = 30.0
"""Seconds that `wait_tcp` waits."""

log = logging.getLogger(__name__)


class Tunnels(Usable):
    """A container whose ports are reached from here. `ssh_servers` are those that lead to it, by uuid."""

    def __init__(self, node: "Node", uuid: bytes) -> None:
        super().__init__(node, uuid)
        self.ssh_servers: dict[str, SshServer] = {}

    def wait_tcp(self, dest_port: int | str) -> None:
        """Wait until a port accepts a TCP connection from the location; ValueError after about 30 s."""
        from tfnz.tunnel import port_number

        params = {"id": self.container_id(), "port": port_number(dest_port, lowest=1), "timeout": TCP_LIMIT}
        log.info("Waiting on tcp (%s): %s", dest_port, as_text(self.uuid))
        self.conn().call("port.wait", params)

    def wait_http_200(self, dest_port: int | str = 80, fqdn: str = "localhost", path: str = "") -> "Tunnel":
        """Ask `http://fqdn:port/path` through a new tunnel on loopback until the answer is 200; give it.

        Raises ValueError where that takes more than about 30 s, or `fqdn` does not resolve to 127.0.0.1;
        socket.gaierror. The tunnel is removed then.
        """
        from tfnz.webcheck import wait_http_200

        return wait_http_200(self._usable(), dest_port, fqdn, path)[0]

    def attach_browser(self, dest_port: int | str = 80, fqdn: str = "localhost", path: str = "") -> "Tunnel":
        """Do what `wait_http_200` does, and open the desktop's browser there, if there is one."""
        import webbrowser

        from tfnz.webcheck import wait_http_200

        tunnel, url = wait_http_200(self._usable(), dest_port, fqdn, path)
        try:
            webbrowser.open(url)
        except (OSError, webbrowser.Error) as error:
            log.warning("The browser could not be opened at %s: %s", url, error)
        return tunnel

    def attach_tunnel(
        self, dest_port: int | str, localport: int | str | None = None, bind: str | None = None
    ) -> "Tunnel":
        """Make a TCP listener here that leads to a port of the container.

        Args:
            dest_port: of the container.
            localport: here; None for the same number, 0 for one that the system picks.
            bind: an address of this machine; None for all, IPv4 and IPv6.

        Raises OSError where it cannot be had (PermissionError below 1024 without rights).

        """
        from tfnz.tunnel import attach

        return attach(self._usable(), dest_port, localport, bind)

    def destroy_tunnel(self, tunnel: "Tunnel") -> None:
        """Close a tunnel and its connections. Raises KeyError where it is none of this container's."""
        self.ensure_alive()
        if tunnel not in self.own_tunnels():
            raise KeyError(f"{tunnel!r} is no tunnel of {self!r}")
        tunnel.destroy()

    def all_tunnels(self) -> "list[Tunnel]":
        """Give its tunnels."""
        self.ensure_alive()
        return self.own_tunnels()

    def own_tunnels(self) -> "list[Tunnel]":
        """Give its tunnels, dead or alive as it may be."""
        tunnels = list(self.location().tunnels.values())
        return [tunnel for tunnel in tunnels if tunnel.container() is self]

    def create_ssh_server(self, port: int | str = 2222) -> "SshServer":
        """Make an ssh and sftp server on loopback that leads into the container. Raises OSError."""
        from tfnz.ssh import SshServer
        from tfnz.tunnel import port_number

        server = SshServer(self._usable(), port_number(port, lowest=0))
        server.start()
        self.ssh_servers[server.uuid] = server
        return server

    def destroy_ssh_server(self, server: "SshServer") -> None:
        """Stop a server. Raises ValueError where it is none of this container's."""
        self.ensure_alive()
        if self.ssh_servers.pop(server.uuid, None) is not server:
            raise ValueError(f"{server!r} is no ssh server of {self!r}")
        server.stop()
