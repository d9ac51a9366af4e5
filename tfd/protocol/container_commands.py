"""The commands on containers: their lives, processes, files, pipes, connections and health."""

from typing import Final

from tfd.protocol.command_types import (
    ARGUMENTS,
    CONTAINER_CONFIG,
    CONTAINER_ID,
    CONTAINER_NAME,
    ENVIRONMENT,
    ID_PARAMETER,
    IMAGE,
    KEY,
    NAME,
    OUTPUT_PLACE,
    PAIR,
    PATH,
    PIPE_ID,
    PORT,
    PROBE,
    SIZE,
    TAG,
    TERMINAL,
    Command,
    Repeat,
    declare,
)
from tfd.protocol.schema import Binary, Flag, Integer, ListOf, Number, Parameter, Text

LIVES: Final = (
    declare("container.list", "Tells the account's containers. -> containers"),
    declare(
        "container.create",
        "Creates and starts a container; the same account, name and key again give the existing one. One "
        "that is held goes with its session; one asleep waits for container.wake. -> container",
        Parameter("name", CONTAINER_NAME),
        Parameter("key", KEY),
        Parameter("node", NAME, required=False),
        Parameter("image", IMAGE),
        Parameter("config", CONTAINER_CONFIG),
        Parameter("held", Flag(), required=False),
        Parameter("asleep", Flag(), required=False),
        Parameter("tag", TAG, required=False),
        repeat=Repeat.KEYED,
    ),
    declare("container.start", "Starts a stopped container. -> container", *ID_PARAMETER),
    declare(
        "container.stop",
        "Stops a container: its stop signal, then a kill after `timeout`. -> container",
        *ID_PARAMETER,
        Parameter("timeout", Number(0, 3600, "s"), required=False),
    ),
    declare("container.destroy", "Destroys a container; its volumes stay. -> nothing", *ID_PARAMETER),
    declare("container.get", "Tells one container. -> container", *ID_PARAMETER),
    declare(
        "container.wake",
        "Starts the process of a container that is asleep; one that runs is left alone. -> nothing",
        *ID_PARAMETER,
    ),
    declare(
        "container.reboot",
        "Ends a container's processes and starts it again; with `reset` its files are as when it was made. "
        "-> container",
        *ID_PARAMETER,
        Parameter("reset", Flag(), required=False),
        repeat=Repeat.KEYED,
    ),
    declare(
        "container.console",
        "Opens a pipe to the terminal of a held container's process: its last output, then what follows. "
        "-> pipe, ticket, cipher",
        *ID_PARAMETER,
        repeat=Repeat.KEYED,
    ),
    declare(
        "container.output",
        "Tells what a container's process wrote after a place that an earlier answer gave, and waits `wait` "
        "for there to be some. Without `after`: from where `reader` was last, else the last `lines` that are "
        "kept and what follows. `tail` is the last that was read, for a location that was restarted. "
        "-> output (bytes), after (nil where nothing is known yet), missed (bytes), over",
        *ID_PARAMETER,
        Parameter("after", OUTPUT_PLACE, required=False),
        Parameter("tail", Binary(1, 1024), required=False),
        Parameter("reader", NAME, required=False),
        Parameter("lines", Integer(0, 1 << 20), required=False),
        Parameter("wait", Number(0, 60, "s")),
    ),
    declare(
        "container.log",
        "Tells the last output of a container's process. -> log (bytes)",
        *ID_PARAMETER,
        Parameter("lines", Integer(1, 1 << 20), required=False),
    ),
)

PROCESSES: Final = (
    declare(
        "process.start",
        "Starts a process in a running container: `args`, or `line` by its shell, or with `shell` a login "
        "shell. -> pipe, ticket, cipher",
        *ID_PARAMETER,
        Parameter("args", ARGUMENTS, required=False),
        Parameter("line", Text(128 * 1024), required=False),
        Parameter("shell", Flag(), required=False),
        Parameter("environment", ENVIRONMENT, required=False),
        Parameter("cwd", PATH, required=False),
        Parameter("terminal", TERMINAL, required=False),
        repeat=Repeat.KEYED,
    ),
    declare(
        "file.put",
        "Writes a file in a container, of the pipe's data; it is there whole or not at all. `size` (bytes) "
        "is checked where it is given. -> pipe, ticket, cipher",
        *ID_PARAMETER,
        Parameter("path", PATH),
        Parameter("mode", Integer(0, 0o777), required=False),
        Parameter("size", SIZE, required=False),
        repeat=Repeat.KEYED,
    ),
    declare(
        "file.fetch",
        "Reads a file or lists a directory of a container. -> pipe, ticket, cipher",
        *ID_PARAMETER,
        Parameter("path", PATH),
        repeat=Repeat.KEYED,
    ),
    declare(
        "sftp.open",
        "Opens a pipe to an SFTP server with the container's files. -> pipe, ticket, cipher",
        *ID_PARAMETER,
        repeat=Repeat.KEYED,
    ),
    declare(
        "pipe.attach", "Gives a new channel to a living pipe. -> ticket, cipher", Parameter("pipe", PIPE_ID)
    ),
    declare(
        "pipe.close",
        "Ends a pipe, and the process behind it, at once. -> nothing",
        Parameter("pipe", PIPE_ID),
    ),
)

NETWORK: Final = (
    declare(
        "ticket.take",
        "Takes one-time tickets for channels to a container's port. -> tickets, cipher",
        *ID_PARAMETER,
        Parameter("port", PORT),
        Parameter("count", Integer(1, 64)),
    ),
    declare(
        "port.wait",
        "Waits until a container's port accepts a TCP connection from the location. -> nothing",
        *ID_PARAMETER,
        Parameter("port", PORT),
        Parameter("timeout", Number(0, 120, "s")),
    ),
    declare(
        "connections.set",
        "Sets which containers of an environment reach which: the whole set, every other pair is closed. "
        "`name` goes to from's /etc/hosts with to's address. -> nothing",
        Parameter("environment", NAME),
        Parameter("pairs", ListOf(PAIR, 4096)),
    ),
    declare(
        "connection.allow",
        "Lets one container open connections to another. -> nothing",
        Parameter("from", CONTAINER_ID),
        Parameter("to", CONTAINER_ID),
    ),
    declare(
        "connection.disallow",
        "Takes that back; connections that are open end. -> nothing",
        Parameter("from", CONTAINER_ID),
        Parameter("to", CONTAINER_ID),
    ),
    declare(
        "health.watch",
        "Probes a container from the location's side while the session lives. -> nothing; events follow",
        *ID_PARAMETER,
        Parameter("probe", PROBE),
    ),
    declare("health.forget", "Ends the probes of a container. -> nothing", *ID_PARAMETER),
)

CONTAINER_COMMANDS: Final[tuple[Command, ...]] = (*LIVES, *PROCESSES, *NETWORK)
