"""The command line of `tflocation`; CODES tells its exit codes."""

import argparse
import asyncio
import contextlib
import json
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tfd.protocol import __version__, keys
from tfd.protocol.commands import Role
from tfd.protocol.errors import CommandError, KeyFileError
from tflocation import logs
from tflocation.accounts import Accounts
from tflocation.config import DEFAULT_PATH, Config, ConfigErrors, load
from tflocation.engines.interface import Engine, EngineError
from tflocation.runtime import NotRunning, ask
from tflocation.state import StartError, state_directory
from tflocation.values import CONTROL_PORT, Address, parse_address, parse_duration

T = TypeVar("T")

SIGNALS = (
    ("SIGHUP", "reads the file again; a wrong one is refused and the old one stays in force"),
    ("SIGINT", "stops tflocation and ends its channels; the containers keep running"),
    ("SIGTERM", "the same; where systemd keeps channels for the next process, they are left to that"),
)
"""Each signal that a user sends, and what the service does then."""

CODES = (
    (0, "fine"),
    (1, "it failed while running"),
    (2, "wrong configuration file or command line"),
    (130, "a command was interrupted"),
)
"""Each exit code, and what it means."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; gives its exit code."""
    options = parser().parse_args(arguments)
    path: Path = options.config or DEFAULT_PATH
    try:
        config = load(path, required=options.config is not None)
    except ConfigErrors as errors:
        for problem in errors.problems:
            print(problem, file=sys.stderr)
        return 2
    try:
        action: Callable[[argparse.Namespace, Config], None] = options.action
        action(options, config)
    except (StartError, NotRunning, KeyFileError) as error:
        print(f"tflocation: {error}", file=sys.stderr)
        return 1
    except CommandError as error:
        print(f"tflocation: {error.message}", file=sys.stderr)
        return 1
    except EngineError as error:
        print(f"tflocation: the engine failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """Give the parser of the command line; the man page and the completion are made from it."""
    top = argparse.ArgumentParser(
        prog="tflocation", description="Serves the containers of this machine's engine to tfd."
    )
    top.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the configuration (default: {DEFAULT_PATH}, may be absent)",
    )
    top.add_argument("--version", action="version", version=f"tflocation {__version__}")
    top.set_defaults(action=_serve)
    commands = top.add_subparsers(
        title="commands", metavar="COMMAND", description="without one: run the service"
    )

    _add_account_commands(commands)
    status = commands.add_parser("status", help="tell how the running service does")
    _takes_json(status)
    status.set_defaults(action=_status)
    _add_image_commands(commands)
    return top


def _add_account_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    invite = commands.add_parser("invite", help="print an invite for a new account, for `tfd join`")
    invite.add_argument("name", metavar="NAME", help="what the account is to be called")
    invite.add_argument(
        "--role", choices=("user", "admin"), default="user", help="what it may do (default: %(default)s)"
    )
    invite.add_argument(
        "--expires",
        type=_duration,
        default="1d",
        metavar="TIME",
        help="how long the invite is good, such as 12h or 2w (default: %(default)s)",
    )
    invite.add_argument(
        "--address", type=_address, metavar="HOST:PORT", help="where clients reach this location"
    )
    invite.set_defaults(action=_invite)

    accounts = commands.add_parser("accounts", help="list the accounts and open invites")
    _takes_json(accounts)
    accounts.set_defaults(action=_accounts)

    revoke = commands.add_parser("revoke", help="end an account, its sessions and its channels")
    revoke.add_argument("name", metavar="ACCOUNT", help="the account")
    revoke.set_defaults(action=_revoke)


def _add_image_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    image = commands.add_parser("image", help="the location's images").add_subparsers(
        required=True, metavar="COMMAND"
    )
    add = image.add_parser("add", help="add an image from an OCI or Docker archive")
    add.add_argument("path", metavar="FILE", help="the archive")
    add.add_argument("name", metavar="NAME", nargs="?", help="its name (default: the one in the archive)")
    add.set_defaults(action=_image_add)
    listing = image.add_parser("list", help="list the images")
    _takes_json(listing)
    listing.set_defaults(action=_image_list)


def _takes_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def _duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed is {error}") from error


def _address(text: str) -> Address:
    try:
        address = parse_address(text, CONTROL_PORT)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed is {error}") from error
    if not address.host or not address.port:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed is a host and its port")
    return address


def _serve(options: argparse.Namespace, config: Config) -> None:
    from tflocation.service import run

    logs.configure(config.log_level)
    run(config, options.config or DEFAULT_PATH)


def _invite(options: argparse.Namespace, config: Config) -> None:
    pair = keys.load_or_create(state_directory() / "location.key")
    address = options.address or _own_address(config)
    role = Role[options.role.upper()]

    async def work(engine: Engine) -> str:
        return await Accounts(engine).invite_line(options.name, role, options.expires, address, pair.public)

    print(_with_engine(config, work))
    _tell_service()


def _accounts(options: argparse.Namespace, config: Config) -> None:
    async def work(engine: Engine) -> Accounts:
        accounts = Accounts(engine)
        await accounts.refresh()
        return accounts

    accounts = _with_engine(config, work)
    rows: list[dict[str, Any]] = [
        {
            "name": account.name,
            "role": account.role.name.lower(),
            "state": "revoked" if account.revoked else "joined",
            "key": account.key,
        }
        for account in accounts.book.accounts.values()
    ]
    rows += [
        {
            "name": invite.name,
            "role": invite.role.name.lower(),
            "state": f"invited, {_left(invite.expires - accounts.now())}",
            "key": "",
        }
        for invite in accounts.book.invites.values()
    ]
    rows.sort(key=lambda row: str(row["name"]))
    _show(rows, ("name", "role", "state", "key"), options.json)


def _revoke(options: argparse.Namespace, config: Config) -> None:
    async def work(engine: Engine) -> None:
        await Accounts(engine).revoke(options.name)

    _with_engine(config, work)
    _tell_service()


def _status(options: argparse.Namespace, config: Config) -> None:  # noqa: ARG001 - all commands look alike
    status = ask("status")
    if options.json:
        print(json.dumps(status, indent=2, sort_keys=True))
        return
    counters = status.pop("counters", {})
    for name, value in status.items():
        if value != "":
            print(f"{name.replace('_', ' '):16} {round(value) if isinstance(value, float) else value}")
    for name, count in sorted(counters.items()):
        print(f"{count:16} {name}")


def _image_add(options: argparse.Namespace, config: Config) -> None:
    from tflocation.service import make_images

    async def work(engine: Engine) -> str:
        # The running service's cache is its own; a directory for this once lies beside it on the disk.
        with tempfile.TemporaryDirectory(dir=_scratch(config), prefix="image-add-") as directory:
            images = make_images(config, engine, Path(directory))
            await images.open()
            try:
                return await images.add_archive(options.path, [options.name] if options.name else [])
            finally:
                await images.close()

    print(_with_engine(config, work))


def _image_list(options: argparse.Namespace, config: Config) -> None:
    async def work(engine: Engine) -> list[dict[str, Any]]:
        return [
            {"names": " ".join(image.names), "digest": image.digest, "size": image.size}
            for image in await engine.images()
        ]

    _show(_with_engine(config, work), ("names", "digest", "size"), options.json)


def _scratch(config: Config) -> Path:
    directory = config.cache_directory.parent if config.cache_directory else state_directory()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _with_engine(config: Config, work: Callable[[Engine], Awaitable[T]]) -> T:
    """Do something with the engine, whether the service runs or not. Raises EngineError, CommandError."""
    from tflocation.service import make_engine

    logs.configure("error")  # what a warning would say, the command's own message says

    async def run() -> T:
        engine = make_engine(config)
        try:
            return await work(engine)
        finally:
            await engine.close()

    return asyncio.run(run())


def _tell_service() -> None:
    """Have a running service look at the accounts now, rather than when the engine tells it."""
    with contextlib.suppress(NotRunning):
        ask("refresh")


def _own_address(config: Config) -> Address:
    """Give the address for clients: as configured, or the one listened on, or this machine's towards others.

    Raises StartError where there is none.
    """
    if config.address is not None:
        return config.address
    if config.listen.host not in ("", "::", "0.0.0.0"):  # noqa: S104 - compared, not bound
        return config.listen
    for family, remote in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                # Sends nothing: the kernel alone chooses the source address (RFC 5737, RFC 3849).
                probe.connect((remote, 9))
            except OSError:
                continue
            return Address(probe.getsockname()[0], config.listen.port)
    raise StartError("this machine has no address for others; say --address HOST:PORT")


def _left(seconds: float) -> str:
    if seconds <= 0:
        return "expired"
    return f"{int(seconds // 86400)} d {time.strftime('%H:%M', time.gmtime(seconds % 86400))} left"


def _show(rows: list[dict[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = [[column.upper() for column in columns], *([str(row[c]) for c in columns] for row in rows)]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
