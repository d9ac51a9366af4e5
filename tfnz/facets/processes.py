"""A container's processes: run to their end, or spawned."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tfnz.base import as_text, new_uuid
from tfnz.facets.base import Usable
from tfnz.process import Process, returncode

if TYPE_CHECKING:
    from tfnz.node import Node

RUN_LIMIT: Final = 240.0
"""Seconds that `run_process` waits, unless the caller says otherwise."""

START_LIMIT: Final = 60.0
COLUMNS, ROWS = 80, 24

_SHELL_WITHOUT_ECHO: Final = (
    "stty -echo; for shell in bash ash sh zsh ksh fish; do for where in /bin /usr/bin /sbin; do "
    '[ -x "$where/$shell" ] && exec "$where/$shell" -l; done; done'
)

Callback = Callable[..., object]

log = logging.getLogger(__name__)


class Processes(Usable):
    """A container that processes run in. `processes` are those that this session spawned, by uuid."""

    def __init__(self, node: "Node", uuid: bytes) -> None:
        super().__init__(node, uuid)
        self.processes: dict[bytes, Process] = {}

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
        process.hold_input()
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
