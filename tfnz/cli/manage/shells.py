"""`tf ssh`: an ssh and sftp server into any container of the account, and ssh(1) onto it."""

import argparse
import subprocess
import threading
from typing import TYPE_CHECKING

from tfnz.cli.generic import connected
from tfnz.cli.manage.adding import add_command
from tfnz.cli.manage.containers import WHICH, one_container

if TYPE_CHECKING:
    from tfnz.cli.manage.adding import Commands
    from tfnz.cli.manage.selecting import Record
    from tfnz.container import Container
    from tfnz.location import Location


def add(commands: "Commands") -> None:
    """Add the command of this file."""
    command = add_command(
        commands,
        "ssh",
        "log in to a container, or serve ssh and sftp into it",
        _ssh,
        more=f"{WHICH}\nWith --port it only serves, on loopback and until Ctrl-C, for ssh, scp, sftp, rsync\n"
        "and editors; otherwise ssh runs here, with the words after CONTAINER as its command.",
    )
    command.add_argument("-p", "--port", type=int, metavar="PORT", help="serve on this local port")
    command.add_argument("container", metavar="CONTAINER", help="which one")
    command.add_argument(
        "words", metavar="COMMAND", nargs=argparse.REMAINDER, help="what to run (default: a shell)"
    )


def adopted(location: "Location", container: "Record") -> "Container":
    """Give another session's container, or a declared one, as an object of this session's.

    It is in no list of the session's, so that it outlives it.
    """
    from tfnz.container import Container

    node = location.node_named(str(container["node"]))
    if node is None:
        raise ValueError(f"node {container['node']} is gone; see: tf node list")
    made = Container(
        node,
        str(container["uuid"]).encode(),
        str(container["image"]),
        env=[],
        volumes=[],
        pre_boot_files=[],
        command=None,
        sleep=False,
        tag=None,
        stdout_callback=None,
        termination_callback=None,
    )
    made.id = str(container["id"])
    made.record = container
    made.ip = container["ip"]
    made.mark_as_ready()
    return made


def _ssh(options: argparse.Namespace) -> int:
    if options.port is not None and not 1 <= options.port <= 65535:
        raise ValueError(f"--port {options.port}: allowed is 1 to 65535")
    with connected(options, quiet=options.port is None) as location:
        container = adopted(location, one_container(location, options.container))
        server = container.create_ssh_server(options.port or 0)
        try:
            if options.port is None:
                return _log_in(server.port, options.words)
            while location.connection.ended is None:
                threading.Event().wait(1.0)
            raise location.connection.ended
        finally:
            container.destroy_ssh_server(server)


def _log_in(port: int, words: list[str]) -> int:
    """Run ssh(1); its exit code is the command's. The server is in this process, its key proves nothing."""
    trust = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
    command = ["ssh", *(word for option in trust for word in ("-o", option)), "-p", str(port)]
    try:
        return subprocess.run([*command, "root@127.0.0.1", *words], check=False).returncode
    except FileNotFoundError:
        raise ValueError(
            "the command ssh is not installed here; tf exec -ti CONTAINER sh does without it"
        ) from None
