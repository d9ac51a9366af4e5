"""`tf IMAGE`: one container, from its image to its end."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from tfnz.cli.exposing import open_tunnels
from tfnz.cli.options import Options
from tfnz.cli.preparing import FailedError, certificate, failing, image_from_pipe, pre_boot_files
from tfnz.cli.stopping import Stopped, stopped_by_signals

if TYPE_CHECKING:
    from tfnz.cli.record import Record
    from tfnz.container import Container
    from tfnz.location import Location
    from tfnz.tunnel import Tunnel

FAILED: Final = 1
_SIGNAL_OFFSET: Final = 128
_LOOK: Final = 1.0
"""Seconds between two looks whether the session still lives, while the container runs."""


def run(options: Options, program: str, words: Sequence[str]) -> int:
    """Run the container until it or we are to end; give the exit code.

    `words` is the command line as it was written. A signal that ended it is sent to this process again, with
    its default effect, after cleaning up.
    """
    try:
        with stopped_by_signals():
            return _run(options, program, words)
    except FailedError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return FAILED
    except Stopped as stopped:
        signal.signal(stopped.number, signal.SIG_DFL)
        os.kill(os.getpid(), stopped.number)
        return _SIGNAL_OFFSET + stopped.number


def _run(options: Options, program: str, words: Sequence[str]) -> int:
    from tfnz.cli.record import claimed

    files = pre_boot_files(options)
    pair = certificate(options)
    with ExitStack() as stack:
        with failing("--json:"):
            record = stack.enter_context(claimed(options.json))
        location = _connect(options)
        stack.callback(location.disconnect)
        if options.systemd is not None:
            from tfnz.cli.services import systemd

            with failing("Failed while making a service:"):
                systemd(location, options, [program, *words], files, pair)
            return 0
        return _Run(options, program, location, record, stack).run(files, pair)


class _Run:
    """One container with all that belongs to it; `stack` undoes it."""

    def __init__(
        self, options: Options, program: str, location: "Location", record: "Record | None", stack: ExitStack
    ) -> None:
        self._options = options
        self._program = program
        self._location = location
        self._connection = location.connection
        self._record = record
        self._stack = stack
        self._ended = threading.Event()
        self._code = 0
        self._error = ""

    def run(self, files: list[tuple[str, bytes]], certificate: tuple[str, str] | None) -> int:
        container, description = self._spawn(files)
        try:
            self._attach(container, description, certificate)
        except FailedError:
            # A process may be over before all is attached to it, and then only its end counts.
            if not container.dead or self._connection.ended is not None:
                raise
        return self._wait()

    def _attach(
        self, container: "Container", description: dict[str, Any], certificate: tuple[str, str] | None
    ) -> None:
        """Connect the container with this machine, as the options say. Raises FailedError."""
        tunnels = open_tunnels(self._options, self._program, container, description)
        if self._options.ssh is not None:
            with failing("Failed while creating an ssh server onto the container:"):
                container.create_ssh_server(self._options.ssh)
        if self._options.web is not None:
            self._publish(container, certificate)
        if self._record is not None:
            with failing("--json:"):
                self._record.write(_document(container, tunnels))
        if self._options.interactive:
            self._interact(container)
        elif self._options.browser:
            with failing("Failed while opening the browser:"):
                container.attach_browser(fqdn=self._options.domain, path=self._options.path)

    # The container

    def _spawn(self, files: list[tuple[str, bytes]]) -> "tuple[Container, dict[str, Any]]":
        options = self._options
        volumes = [(self._volume(key), point) for key, point in options.mounts]
        with failing("Failed while spawning container:"):
            image, description = self._image()
            container = self._location.node().spawn_container(
                image,
                env=list(options.environment),
                sleep=options.sleep,
                volumes=volumes,
                pre_boot_files=files,
                command=None if options.command is None else list(options.command),
                stdout_callback=self._output,
                termination_callback=self._terminated,
                no_image_check=True,
            )
            container.wait_until_ready()
        return container, description

    def _image(self) -> tuple[str, dict[str, Any]]:
        """Make the image available; give its name there and its description."""
        from tfnz.cli.progress import upload_bar
        from tfnz.docker import Docker
        from tfnz.images import ensure

        source = self._options.source
        if source == ".":
            source = Docker.last_image()
        elif source == "-":
            source = self._stack.enter_context(image_from_pipe())
        with upload_bar(quiet=self._options.quiet) as bar:
            image = ensure(self._connection, source, bar)
        return image.name_to_spawn, image.description

    def _volume(self, key: str) -> Any:
        try:
            return self._location.volume(key)
        except (KeyError, ValueError):
            raise FailedError(f"Could not find volume: {key} (tfvolumes list tells them)") from None

    def _publish(self, container: "Container", certificate: tuple[str, str] | None) -> None:
        from tfnz.endpoint import Cluster

        web = self._options.web
        assert web is not None
        with failing("Failed while publishing to an endpoint:"):
            cluster = Cluster(containers=[container], rewrite=web.rewrite)
            self._location.endpoint_for(web.fqdn).publish(cluster, web.fqdn, ssl=certificate)

    # Until the end

    def _interact(self, container: "Container") -> None:
        import logging

        from tfnz.cli.interactive import Interactive

        interactive = Interactive(container, lambda: self._finish(0))
        self._stack.callback(interactive.close)
        container.stdout_callback = self._output
        if os.isatty(0):
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler):
                    handler.terminator = "\r\n"
                    self._stack.callback(setattr, handler, "terminator", "\n")

    def _output(self, container: object, output: bytes) -> None:
        from tfnz.cli.interactive import Interactive

        try:
            Interactive.stdout_callback(container, output)
        except BrokenPipeError:
            self._finish(_SIGNAL_OFFSET + signal.SIGPIPE)
        except OSError as error:
            self._error = f"standard output cannot be written: {error.strerror or error}"
            self._finish(FAILED)

    def _terminated(self, _container: object, code: int) -> None:
        self._finish(_SIGNAL_OFFSET - code if code < 0 else code)

    def _finish(self, code: int) -> None:
        if not self._ended.is_set():
            self._code = code
            self._ended.set()

    def _wait(self) -> int:
        while not self._ended.wait(_LOOK) and self._connection.ended is None:
            pass
        if self._connection.ended is not None:
            raise FailedError(str(self._connection.ended))
        if self._error:
            raise FailedError(self._error)
        return self._code & 0xFF


def _document(container: "Container", tunnels: "Sequence[Tunnel]") -> dict[str, Any]:
    return {
        "container": container.uuid.decode(),
        "ip": str(container.ip),
        "pid": os.getpid(),
        "tunnels": [{"local": int(tunnel.localport), "port": int(tunnel.port)} for tunnel in tunnels],
    }


def _connect(options: Options) -> "Location":
    from tfnz.location import Location

    if options.quiet:
        import logging

        # Without any handler, logging itself would print warnings.
        logging.getLogger().addHandler(logging.NullHandler())
    with failing("Failed while connecting to location:"):
        return Location(
            location=options.location,
            location_ip=options.local,
            quiet=options.quiet,
            debug_log=options.verbose,
        )
