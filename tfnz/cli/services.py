"""`tf --systemd`: a service that runs a command line at every boot, instead of running it here and now."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tfnz.cli.options import Options
    from tfnz.location import Location

LOCAL: Final = "local"
TOML: Final = "toml"


def systemd(
    location: "Location",
    args: "Options",
    argv: Sequence[str],
    preboot: object = None,  # noqa: ARG001 - the files themselves go along, by the names in argv
    cert: object = None,  # noqa: ARG001 - likewise
) -> None:
    """Make a service of a command line.

    Args:
        location: where the containers run; the image is brought there.
        args: the parsed command line. `systemd` is USER@SERVER, reached by ssh with the private key in
            `identity`; or "local", this machine; or "toml", which prints tables for tfd.toml alone.
        argv: the command line, the program's name first.
        preboot: accepted for programs written for 20ft.
        cert: likewise.

    Raises:
        ValueError: the command line cannot be a service, or `systemd` is none of the above.
        RuntimeError: the machine lacks something, which the message names; nothing runs there then.

    """
    from tfnz.docker import Docker

    where = args.systemd or ""
    if where not in (LOCAL, TOML) and not all(where.partition("@")):
        raise ValueError(f"--systemd {where!r}: allowed is USER@SERVER, {LOCAL} or {TOML}")
    if args.interactive and where != TOML:
        raise ValueError("--interactive: a service has no terminal; leave it out")
    image = Docker.last_image() if args.source == "." else args.source
    if where == TOML:
        _print_tables(location, args, image)
        return
    _install(location, args, argv, image)


def remove_flagged(param: str, argv: Sequence[str]) -> list[str]:
    """Give `argv` without an option and its value, be it `--param value` or `--param=value`."""
    kept: list[str] = []
    skip = False
    for word in argv:
        if skip:
            skip = False
        elif word == param:
            skip = True
        elif not word.startswith(f"{param}="):
            kept.append(word)
    return kept


def _install(location: "Location", args: "Options", argv: Sequence[str], image: str) -> None:
    from tfnz.cli.options import split
    from tfnz.cli.targets import Target
    from tfnz.cli.unit import environment_text, make_service, unit_text

    given, _, command = split(list(argv)[1:])
    service = make_service(given, image, command, os.environ, location.location)
    target = Target("" if args.systemd == LOCAL else str(args.systemd), args.identity)
    place = target.probe(location.location)
    location.ensure_image_uploaded(image)
    files = {name: source.read_bytes() for name, source in service.files.items()}
    files[f"{service.name}.service"] = unit_text(service, place).encode()
    if service.environment:
        files["environment"] = environment_text(service.environment).encode()
    target.upload(service.name, files)
    target.install(service.name)
    print(f"{service.name}.service runs on {target.title}; see there: journalctl -u {service.name}")


def _print_tables(location: "Location", args: "Options", image: str) -> None:
    from tfnz.cli import declaring

    exposed: list[int] = []
    if not args.publish:
        from tfnz.docker import Docker

        location.ensure_image_uploaded(image)
        exposed = _exposed(Docker.description(image, conn=location.conn))
    print(declaring.text(declaring.tables(args, image, location.location, exposed)), end="")


def _exposed(description: dict[str, Any]) -> list[int]:
    """Give the TCP ports that an image's description exposes, in order."""
    ports = (description.get("Config") or {}).get("ExposedPorts") or {}
    words = (str(port).partition("/") for port in ports)
    return sorted(int(number) for number, _, kind in words if kind in ("", "tcp") and number.isdecimal())
