"""Containers of this session, and tagged ones of the account's other sessions."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tfd.protocol.pipe import Kind
from tfnz.base import Connectable, Ending, Taggable, as_text
from tfnz.facets.files import Files
from tfnz.facets.processes import Processes
from tfnz.facets.tunnels import Tunnels
from tfnz.lifetime import Lifetime

if TYPE_CHECKING:
    from tfnz.location import Location
    from tfnz.node import Node
    from tfnz.volume import Volume

Callback = Callable[..., object]


class CallableText(str):
    """Text that may also be called, for programs of either kind."""

    __slots__ = ()

    def __call__(self) -> str:
        """Give the text."""
        return str(self)


class Container(Processes, Files, Tunnels, Ending):
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
        super().__init__(node, uuid)
        self.image = image
        self.env = env
        self.volumes = volumes
        self.command = command
        self.sleep = sleep
        self.tag = tag
        self.docker_config: dict[str, Any] = {}
        self.termination_callback = termination_callback
        self.record: Mapping[str, Any] = {}
        """What the location told last."""
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
