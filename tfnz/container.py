"""Containers of this session, and tagged ones of the account's other sessions."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self
from weakref import ref

from tfd.protocol.pipe import Kind
from tfnz import arguments
from tfnz.base import Connectable, Ending, Killable, Taggable, Waitable, as_text, new_uuid
from tfnz.lifetime import Lifetime
from tfnz.process import Process, returncode

if TYPE_CHECKING:
    from tfnz.files import Content
    from tfnz.location import Location
    from tfnz.node import Node
    from tfnz.ssh import SshServer
    from tfnz.tunnel import Tunnel
    from tfnz.volume import Volume

RUN_LIMIT: Final = 240.0
"""Seconds that `run_process` waits, unless the caller says otherwise."""

TCP_LIMIT: Final = 30.0
"""Seconds that `wait_tcp` waits."""

START_LIMIT: Final = 60.0
COLUMNS, ROWS = 80, 24

_SHELL_WITHOUT_ECHO: Final = (
    "stty -echo; for shell in bash ash sh zsh ksh fish; do for where in /bin /usr/bin /sbin; do "
    '[ -x "$where/$shell" ] && exec "$where/$shell" -l; done; done'
)

Callback = Callable[..., object]

log = logging.getLogger(__name__)


class CallableText(str):
    """Text that may also be called, for programs of either kind."""

    __slots__ = ()

    def __call__(self) -> str:
        """Give the text."""
        return str(self)


class Container(Waitable, Killable, Connectable, Ending):
    """A container of this session, from `Node.spawn_container` to its end.

    It is ready once its files, volumes and network are there; whether a service listens, `wait_tcp` and
    `wait_http_200` tell. Methods wait up to 60 s for it to be ready, and raise ValueError when it is dead.
    Leaving `with` destroys it. Attributes: `uuid`, `image`, `env` and `volumes` (as passed), `docker_config`
    (what the image says), `processes` and `ssh_servers` (by uuid), `termination_callback`, `node_pk`, `dead`.
    """

    def __init__(
        self,
        node: "Node",
        uuid: bytes,
        image: str,
        *,
        env: list[tuple[str, str]],
        volumes: "list[tuple[Volume, str]]",
        pre_boot_files: list[tuple[str, bytes]],
        command: list[str] | None,
        sleep: bool,
        tag: bytes | None,
        stdout_callback: Callback | None,
        termination_callback: Callback | None,
    ) -> None:
        Waitable.__init__(self)
        Killable.__init__(self)
        self._ip: str | None = None
        Connectable.__init__(self, node.conn(), uuid, node.pk, None)
        self._node = node
        self.image = image
        self.env = env
        self.volumes = volumes
        self.command = command
        self.sleep = sleep
        self.tag = tag
        self.docker_config: dict[str, Any] = {}
        self.processes: dict[bytes, Process] = {}
        self.ssh_servers: dict[str, SshServer] = {}
        self.termination_callback = termination_callback
        self.id = ""
        """The location's own id of it, empty until it has answered."""
        self.record: Mapping[str, Any] = {}
        """What the location told last."""
        self._location = ref(node.location())
        self._stdout_callback = stdout_callback
        self._files = pre_boot_files
        self._allowed: dict[bytes, Connectable] = {}
        self._life = Lifetime(self)

    def __repr__(self) -> str:
        return f"<Container `{as_text(self.uuid)}` image={self.image} ip={self._ip}>"

    def _leave(self) -> None:
        if not self.dead and self.uuid in self._node.containers:
            self._node.destroy_container(self)

    # What it is

    @property
    def ip(self) -> Any:
        """Its address: text that may also be called. Waits up to 60 s where it is not known yet."""
        if self._ip is None and not self.dead:
            self.wait_until_ready()
        return CallableText(self._ip) if self._ip is not None else None

    @ip.setter
    def ip(self, address: str | None) -> None:
        self._ip = address

    @property
    def stdout_callback(self) -> Callback | None:
        """Called as (container, bytes) with what the container's own process writes to its terminal."""
        return self._stdout_callback

    @stdout_callback.setter
    def stdout_callback(self, callback: Callback | None) -> None:
        self._stdout_callback = callback
        if callback is not None and not self.dead:
            self.conn().loop.call_from_thread(self._life.want_console)

    @property
    def created(self) -> bool:
        """Whether the location has answered that it exists."""
        return self._life.created

    def container_id(self) -> str:
        """Give the location's own id of it. Raises ValueError when it is dead."""
        return self._usable().id

    def node(self) -> "Node":
        """Give the node it runs on."""
        return self._node

    def parent(self) -> "Node":
        """Give the node it runs on."""
        return self._node

    def location(self) -> "Location":
        """Give its location. Raises ValueError where the program no longer has it."""
        location = self._location()
        if location is None:
            raise ValueError(f"{self!r}: its Location is gone")
        return location

    def private_ip(self) -> str:
        """Give its address."""
        self._usable()
        return str(self.ip)

    def logs(self) -> list[dict[str, Any]]:
        """Give the last output (up to 256 KiB) of its own process, a dict for each line: log, stream, time.

        `time` is None: the location does not keep it.
        """
        output: bytes = self.conn().call("container.log", {"id": self.container_id()})["log"]
        lines = output.decode("utf-8", "replace").splitlines(keepends=True)
        return [{"log": line, "stream": "stdout", "time": None} for line in lines]

    # Its life

    def begin(self, image: str, description: Mapping[str, Any] | None) -> None:
        """Have it made of an image of the location's; `Node.spawn_container` calls it."""
        # A copy: the description is cached for other containers.
        told = description or {}
        self.docker_config = {**told, "Config": dict(told.get("Config") or {})}
        if self.command is not None:
            self.docker_config["Config"].update({"Entrypoint": self.command, "Cmd": None})
        files, self._files = self._files, []
        self._life.begin(image, files)

    def end(self, with_command: bool = True) -> None:
        """Destroy it; `Node.destroy_container` calls it.

        Args:
            with_command: False where the location does so by itself, with its session.

        """
        self._life.end(with_command=with_command)

    def changed(self, record: Mapping[str, Any]) -> None:
        """Take it as the location has it now; in the connection's thread."""
        self._life.changed(record)

    def gone(self, reason: str) -> None:
        """Know that the location has it no more; in the connection's thread."""
        self._life.gone(reason)

    def start(self) -> None:
        """Run the command of a container that was spawned with `sleep=True`. Repeatable."""
        self.conn().call("container.wake", {"id": self.container_id()})

    def reboot(self, reset_filesystem: bool = False) -> None:
        """End its processes and start it again: same uuid, address, environment, volumes, tunnels.

        Args:
            reset_filesystem: its files are the image's and the pre-boot files again; volumes keep theirs.

        Raises RuntimeError when it is dead, TimeoutError after 60 s.

        """
        if self.dead:
            raise RuntimeError(f"{self!r} is dead already")
        self.wait_until_ready()
        self._life.reboot(reset=bool(reset_filesystem))

    # Its own process's terminal

    def stdin(self, data: bytes | str) -> None:
        """Send bytes to the terminal of its own process; it returns at once. Byte 3 interrupts, as Ctrl-C."""
        payload = data.encode() if isinstance(data, str) else bytes(data)
        self._usable()
        self._life.send(Kind.DATA, payload)

    def end_stdin(self) -> None:
        """Say that the input of its own process is over."""
        self._usable()
        self._life.send(Kind.END)

    def resize(self, columns: int, rows: int) -> None:
        """Tell its terminal the size of the window."""
        self._usable()
        self._life.send(Kind.WINDOW, columns.to_bytes(2, "big") + rows.to_bytes(2, "big"))

    # Waiting for services, tunnels

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
        location = self._location()
        tunnels = list(location.tunnels.values()) if location is not None else []
        return [tunnel for tunnel in tunnels if tunnel.container() is self]

    # Connections

    def allow_connection_from(self, container: Connectable) -> None:
        """Let `container` open connections to any port of this one, from now on. Repeatable."""
        other = getattr(container, "ctr", container)
        super().allow_connection_from(other)
        self._allowed[other.uuid] = other

    def disallow_connection_from(self, container: Connectable) -> None:
        """Take that back, for open connections too. Repeatable; nothing happens when this one is dead."""
        if self.dead:
            return
        other = getattr(container, "ctr", container)
        self._allowed.pop(other.uuid, None)
        if not getattr(other, "dead", False):
            super().disallow_connection_from(other)

    def all_allowed_connections(self) -> list[Connectable]:
        """Give the containers that this session allowed to connect to it."""
        return list(self._allowed.values())

    # Processes

    def spawn_process(
        self,
        remote_command: str,
        data_callback: Callback | None = None,
        termination_callback: Callback | None = None,
        stderr_callback: Callback | None = None,
    ) -> Process:
        """Start `sh -c remote_command` as root, without a terminal; its end is not waited for.

        Args:
            remote_command: a line for the shell.
            data_callback: called as (process, bytes) with what it writes; a slow one slows the process.
            termination_callback: called once as (process, return code).
            stderr_callback: called as (process, bytes) with what it writes to standard error.

        Raises ValueError where it cannot be started.

        """
        self._usable()
        log.info("Container (%s) spawning process: '%s'", as_text(self.uuid), remote_command)
        process = Process(self, new_uuid(), data_callback, termination_callback, stderr_callback)
        return self._begin(process, self._command(remote_command))

    def run_process(
        self,
        remote_command: str,
        data_callback: Callback | None = None,
        stderr_callback: Callback | None = None,
        nolog: bool = False,
        timeout: float | None = RUN_LIMIT,
    ) -> tuple[bytes, bytes, int]:
        """Run `sh -c remote_command` to its end; give its output, its errors, and its return code.

        Args:
            remote_command: a line for the shell.
            data_callback: called once at the end as (container, bytes), unless there was no output.
            stderr_callback: likewise with what it wrote to standard error.
            nolog: keep the command out of the log and of errors.
            timeout: seconds, None for ever; the process is destroyed then.

        Raises ValueError where it cannot be run or takes longer.

        """
        from tfnz.running import run

        self._usable()
        shown = "(not shown)" if nolog else str(remote_command)
        if not nolog:
            log.info("Container (%s) running process: '%s'", as_text(self.uuid), remote_command)
        params = {"id": self.id, **self._command(remote_command)}
        output, errors, code = run(self.conn(), params, f"process {shown}", timeout)
        for callback, data in ((data_callback, output), (stderr_callback, errors)):
            if data:
                self.conn().callbacks.call(callback, self, data)
        return output, errors, returncode(code)

    def spawn_shell(
        self,
        data_callback: Callback | None = None,
        termination_callback: Callback | None = None,
        echo: bool = False,
    ) -> Process:
        """Start a login shell on a terminal: bash, ash, sh, zsh, ksh or fish, whichever there is.

        Args:
            data_callback: called as (process, bytes) with what it writes, errors too.
            termination_callback: called once as (process, return code).
            echo: whether the terminal gives back what is sent.

        Raises ValueError where it cannot be started.

        """
        self._usable()
        terminal = {"columns": COLUMNS, "rows": ROWS, "name": "xterm"}
        process = Process(self, new_uuid(), data_callback, termination_callback, None)
        what = {"shell": True} if echo else {"line": _SHELL_WITHOUT_ECHO}
        self._begin(process, {**what, "terminal": terminal})
        log.info("Spawned shell: %s", as_text(process.uuid))
        return process

    def destroy_process(self, process: Process) -> None:
        """End a process and its group; its termination callback gets 0, in this thread.

        Raises ValueError where it is none of this container's, or has ended.
        """
        self.ensure_alive()
        if self.processes.pop(process.uuid, None) is not process:
            raise ValueError(f"{process!r} is no process of {self!r} that runs")
        process.destroy()

    def all_processes(self) -> list[Process]:
        """Give its processes that run."""
        self.ensure_alive()
        return [process for process in list(self.processes.values()) if not process.dead]

    # Ssh

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

    # Files

    def put(self, filename: str, data: "Content | os.PathLike[str]", mode: int | None = None) -> None:
        """Write a file of the container's, whole or not at all; missing directories are made.

        Args:
            filename: absolute, in a mounted volume too.
            data: bytes, text, an open file of any size, or the path of a file or directory here.
            mode: permission bits, otherwise 0644.

        Raises ValueError where it cannot be written, or leads outside of the container.

        """
        from tfnz import files

        path = _inside(filename)
        if isinstance(data, os.PathLike):
            source = Path(data)
            if source.is_dir():
                files.put_directory(self.conn(), self.container_id(), source, path)
                return
            with source.open("rb") as opened:
                files.put(self.conn(), self.container_id(), path, opened, mode)
        else:
            files.put(self.conn(), self.container_id(), path, data, mode)

    def fetch(self, filename: str, into: BinaryIO | None = None) -> bytes:
        """Give a file of the container's, or write it to the open file `into` and give nothing.

        Raises ValueError where there is no such file, or it leads outside of the container.
        """
        from tfnz import files

        return files.fetch(self.conn(), self.container_id(), _inside(filename), into)

    def put_directory(self, directory: str, source: "str | os.PathLike[str]") -> None:
        """Write all files of a directory here to one of the container's, with their modes.

        Raises ValueError, before anything is written, where a link leads out of `source` or to a directory,
        or something is neither file nor directory.
        """
        from tfnz import files

        files.put_directory(self.conn(), self.container_id(), Path(source), _inside(directory))

    def fetch_directory(self, directory: str, into: "str | os.PathLike[str]") -> None:
        """Read a directory of the container's to `into`, which does not exist yet or is empty.

        Raises ValueError where there is no such directory, or a name in it is none for a file here.
        """
        from tfnz import files

        files.fetch_directory(self.conn(), self.container_id(), _inside(directory), Path(into))

    # Within

    def _usable(self) -> Self:
        """Wait until it is ready. Raises ValueError when it is dead or will never be ready."""
        if self.dead and self._failure is None:
            self.ensure_alive()
        self.wait_until_ready()
        return self

    def _command(self, remote_command: object) -> dict[str, Any]:
        if isinstance(remote_command, str):
            if not remote_command or "\0" in remote_command:
                raise ValueError(f"{remote_command!r} is not a line for the shell")
            return {"line": remote_command}
        raise ValueError(f"a command is a line for the shell, not a {type(remote_command).__name__}")

    def _begin(self, process: Process, what: dict[str, Any]) -> Process:
        process.begin({"id": self.id, **what}, START_LIMIT)
        self.processes[process.uuid] = process
        # It may have ended before it was entered.
        if process.dead:
            self.processes.pop(process.uuid, None)
        return process


class ExternalContainer(Connectable, Taggable):
    """A tagged container of the same account that another session holds.

    Its attributes are `uuid`, `tag`, `user`, `ip` and `node_pk`; what can be done is to allow and disallow
    connections from and to it.
    """

    def __init__(self, location: "Location", record: Mapping[str, Any]) -> None:
        from tfnz.node import public_key

        uuid = str(record["uuid"])
        Taggable.__init__(self, location.user_pk, uuid, record["tag"])
        Connectable.__init__(
            self,
            location.connection,
            uuid,
            public_key(location.location, str(record["node"])),
            str(record["ip"]),
        )
        self._id = str(record["id"])

    def __repr__(self) -> str:
        return f"<ExternalContainer '{self.display_name()}' ip={self.ip}>"

    def container_id(self) -> str:
        """Give the location's own id of it."""
        return self._id

    def private_ip(self) -> str:
        """Give its address."""
        return str(self.ip)


def _inside(filename: object) -> str:
    """Give a path in the container. Raises ValueError for one that leads outside."""
    if isinstance(filename, str | bytes) and filename[:1] not in ("/", b"/"):
        filename = "/" + (filename if isinstance(filename, str) else os.fsdecode(filename))
    return arguments.absolute(filename, "a file of a container")
