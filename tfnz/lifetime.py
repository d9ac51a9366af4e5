"""A container's life as its session sees it: made, ready, started anew, ended by itself or by us."""

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tfd.protocol.drivers.link import Answer, Failure
from tfd.protocol.errors import Code
from tfd.protocol.pipe import Kind
from tfnz.base import as_text
from tfnz.connection import RemoteError
from tfnz.console import Console
from tfnz.process import returncode

if TYPE_CHECKING:
    from tfnz.connection import Connection
    from tfnz.container import Container

CREATE_LIMIT: Final = 240.0
DESTROY_LIMIT: Final = 240.0
REBOOT_LIMIT: Final = 60.0
"""Seconds for the location to do these."""

NOT_STARTED: Final = -1
"""What a termination callback gets for a container that could not be made."""

LAST_WORDS: Final = 5.0
"""Seconds without any output after which a container that has ended is taken to have said all."""

FILE_MODE: Final = 0o644

_ENDED: Final = frozenset({"stopped", "failed"})
_UNFINISHED: Final = frozenset({"created", "starting"})

log = logging.getLogger(__name__)


class Lifetime:
    """What has become of one container. Methods say in which thread they belong."""

    def __init__(self, container: "Container") -> None:
        self.created = False
        """Whether the location has answered that the container exists."""
        self._container = container
        self._connection: Connection = container.conn()
        self._lock = threading.Lock()
        self._claimed = False
        self._rebooting = False
        self._rebooted = False
        self._ending = False
        self._code = 0
        self._console: Console | None = None
        self._wants_console = False

    # From the program's threads.

    def begin(self, image: str, files: list[tuple[str, bytes]]) -> None:
        """Have the container made, and return at once but for the files that it begins with.

        Raises RemoteError, TimeoutError.
        """
        container = self._container
        config: dict[str, Any] = {
            "environment": dict(container.env or ()),
            "volumes": [[volume.name, point] for volume, point in container.volumes or ()],
            "files": _upload(self._connection, files),
        }
        if container.command is not None:
            config["entrypoint"] = container.command
        name = as_text(container.uuid)
        params = {
            "name": f"sdk/{name}/0",
            "key": name,
            "node": container.node().name,
            "image": image,
            "config": config,
            "held": True,
            "asleep": container.sleep,
            "tag": as_text(container.tag) if container.tag is not None else None,
        }
        given = {key: value for key, value in params.items() if value is not None}
        self._connection.loop.call_from_thread(
            lambda: self._connection.request("container.create", given, CREATE_LIMIT, self._made)
        )

    def end(self, *, with_command: bool) -> None:
        """Destroy the container: its processes, tunnels and servers are told first, in this thread.

        Without the command only that is done; the location destroys it with its session.
        """
        container = self._container
        if with_command:
            container.wait_until_ready()
        ours = self._claim()
        if ours:
            log.info("Destroying container: %s", as_text(container.uuid))
            self._end_parts()
        try:
            if with_command:
                self._destroy()
        finally:
            if ours:
                container.mark_as_dead()
                log.info("Container has exited and/or been destroyed: %s", as_text(container.uuid))
                self._connection.callbacks.call(container.termination_callback, container, 0)

    def _destroy(self) -> None:
        try:
            self._connection.call("container.destroy", {"id": self._container.id}, DESTROY_LIMIT)
        except RemoteError as error:
            # Somebody else was quicker.
            if error.code != Code.NOT_FOUND:
                raise

    def reboot(self, *, reset: bool) -> None:
        """End all processes and start the container again; see `Container.reboot`."""
        container = self._container
        log.info("Restarting container: %s", as_text(container.uuid))
        container.mark_not_ready()
        self._connection.on_loop(lambda: self._hold(rebooting=True))
        try:
            params = {"id": container.id, "reset": reset}
            record = self._connection.call("container.reboot", params, REBOOT_LIMIT)["container"]
        except BaseException:
            self._connection.loop.call_from_thread(lambda: self._reboot_over(None))
            raise
        self._connection.on_loop(lambda: self._reboot_over(record))

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send input or the window's size to the container's terminal. Raises ValueError beyond a limit."""

        def open_console() -> Console | None:
            self.want_console()
            return self._console

        console = self._console or self._connection.on_loop(open_console)
        if console is not None:
            console.send(kind, payload)

    # In the loop's thread.

    def want_console(self) -> None:
        """Have the output of the container's process from now on."""
        self._wants_console = True
        if self.created and self._console is None and not self._ending and not self._rebooting:
            self._console = Console(self._container, self._console_ended)
            self._console.open()

    def changed(self, record: Mapping[str, Any]) -> None:
        """Take the container as the location has it now."""
        container = self._container
        container.record = record
        container.id = str(record["id"])
        container.ip = str(record["ip"] or "") or None
        state = str(record["state"])
        # Word of what is still being made comes before the answer that it is made.
        if not self.created or self._rebooting or self._ending or state in _UNFINISHED:
            return
        if not container.is_ready():
            log.info("Container is running: %s", as_text(container.uuid))
        container.mark_as_ready()
        if self._wants_console:
            self.want_console()
        if state in _ENDED:
            if self._rebooted:
                # Word of the process that the reboot ended may come after it.
                self._rebooted = False
                self._ask()
            else:
                self._exited(record.get("exit"))

    def gone(self, reason: str) -> None:
        """Know that the location has the container no more."""
        if self.created and not self._ending:
            log.debug("container %s is gone: %s", as_text(self._container.uuid), reason)
            self._ending = True
            self._finish()

    def _made(self, answer: Answer) -> None:
        container = self._container
        if isinstance(answer, Failure):
            if self._claim():
                # Nobody needs to hear that the program's own end was in its way.
                level = logging.INFO if self._connection.closing else logging.ERROR
                log.log(level, "Container %s was not started: %s", as_text(container.uuid), answer.message)
                container.mark_as_dead()
                self._connection.callbacks.put(container.termination_callback, container, NOT_STARTED)
            container.mark_as_failed(answer.message)
            container.node().forget(container)
            return
        self.created = True
        self._wants_console |= container.stdout_callback is not None
        self.changed(answer["container"])

    def _ask(self) -> None:
        def answered(answer: Answer) -> None:
            if not isinstance(answer, Failure):
                self.changed(answer["container"])

        self._connection.request("container.get", {"id": self._container.id}, CREATE_LIMIT, answered)

    def _hold(self, *, rebooting: bool) -> None:
        self._rebooting = rebooting

    def _reboot_over(self, record: Mapping[str, Any] | None) -> None:
        self._rebooting = False
        self._rebooted = True
        if self._console is not None:
            self._console.close()
            self._console = None
        if record is None:
            self._ask()
        else:
            self.changed(record)

    def _console_ended(self, code: int | None) -> None:
        self._console = None
        if self._ending:
            self._finish()
        elif code is not None and not self._rebooting and not self._rebooted:
            self._exited(code)

    def _exited(self, code: int | None) -> None:
        """Take it that the container's process has ended, and wait for its last words."""
        self._ending = True
        self._code = returncode(code) if code is not None else 0
        if self._console is None:
            self._finish()
        else:
            self._listen_on(-1)

    def _listen_on(self, seen: int) -> None:
        console = self._console
        if console is None:
            return
        if console.seen == seen and not console.unread:
            self._console = None
            console.close()
            self._finish()
            return
        now = console.seen
        self._connection.loop.call_later(LAST_WORDS, lambda: self._listen_on(now))

    def _finish(self) -> None:
        if self._claim():
            self._connection.callbacks.put(self._tell_end)

    # On any thread.

    def _claim(self) -> bool:
        """Tell, once, that the caller is to tell the end."""
        with self._lock:
            claimed, self._claimed = self._claimed, True
            self._ending = True
        return not claimed

    def _end_parts(self) -> None:
        container = self._container
        for process in list(container.processes.values()):
            process.destroy(with_command=False)
        container.processes.clear()
        for tunnel in container.own_tunnels():
            tunnel.destroy()
        for server in list(container.ssh_servers.values()):
            server.stop()
        container.ssh_servers.clear()

    def _tell_end(self) -> None:
        container = self._container
        self._end_parts()
        container.mark_as_dead()
        log.info("Container has exited and/or been destroyed: %s", as_text(container.uuid))
        container.node().forget(container)
        if self._connection.ended is None:
            self._connection.loop.call_from_thread(
                lambda: self._connection.request(
                    "container.destroy", {"id": container.id}, DESTROY_LIMIT, _ignore
                )
            )
        self._connection.callbacks.call(container.termination_callback, container, self._code)


def _upload(connection: "Connection", files: list[tuple[str, bytes]]) -> dict[str, dict[str, Any]]:
    """Bring what a container begins with to the location; give the files as container.create wants them."""
    if not files:
        return {}
    import io

    from tfd.protocol.layouts import Blob
    from tfd.protocol.oci import digest_of
    from tfnz.images.delivery import deliver

    blobs = {}
    placed = {}
    for path, data in files:
        digest = digest_of(data)
        blobs[digest] = Blob(digest, len(data), lambda data=data: io.BytesIO(data))  # type: ignore[misc]
        placed[path] = {"digest": digest, "mode": FILE_MODE}
    deliver(connection, list(blobs.values()))
    return placed


def _ignore(_answer: Answer) -> None:
    """Leave it at that: it goes with the session."""
