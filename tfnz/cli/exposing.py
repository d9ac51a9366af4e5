"""The tunnels of `tf`: those asked for, or one for each port that the image exposes."""

import logging
import re
from typing import TYPE_CHECKING, Any, Final

from tfnz.cli.options import Options
from tfnz.cli.preparing import FailedError
from tfnz.cli.values import HIGHEST_PORT

if TYPE_CHECKING:
    from tfnz.container import Container
    from tfnz.tunnel import Tunnel

_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/tcp)?")
FAILURE: Final = "Failed while creating a tunnel onto the container:"


def open_tunnels(
    options: Options, program: str, container: "Container", description: dict[str, Any]
) -> "list[Tunnel]":
    """Open what the options ask for; without any, `tf` opens one for each TCP port that the image exposes.

    Raises FailedError.
    """
    exposing = program == "tf" and not options.publish and options.web is None
    if not exposing and options.offset is None:
        return [_attach(options, container, remote, local) for local, remote in options.publish]
    return [_expose(options, container, port) for port in exposed_ports(description)]


def _expose(options: Options, container: "Container", port: int) -> "Tunnel":
    """Open the tunnel of an exposed port: on the same number, or that and the offset.

    Where only root may have that number, a free one is taken.
    """
    local = port + (options.offset or 0)
    if not 1 <= local <= HIGHEST_PORT:
        raise FailedError(f"{FAILURE} with --offset {options.offset}, port {port} would become {local}")
    if options.offset is not None:
        return _attach(options, container, port, local)
    try:
        return container.attach_tunnel(port, localport=local, bind=options.bind)
    except PermissionError:
        tunnel = _attach(options, container, port, 0)
    except OSError as error:
        raise _failed(error) from error
    logging.info(
        "Local port %d is for root alone: port %d is reached on %d; --offset chooses others",
        *(local, port, tunnel.localport),
    )
    return tunnel


def _attach(options: Options, container: "Container", remote: int, local: int) -> "Tunnel":
    try:
        return container.attach_tunnel(remote, localport=local, bind=options.bind)
    except OSError as error:
        raise _failed(error) from error
    except (ValueError, RuntimeError) as error:
        raise FailedError(f"{FAILURE} {error}") from error


def _failed(error: OSError) -> FailedError:
    return FailedError(f"{FAILURE} {error.strerror or error}; choose another port with --publish or --offset")


def exposed_ports(description: dict[str, Any]) -> list[int]:
    """Give the TCP ports that an image exposes, in order; "80", "80/tcp" and "8000-8010/tcp" count."""
    settings = description.get("Config")
    exposed = settings.get("ExposedPorts") if isinstance(settings, dict) else None
    found = set()
    for word in exposed or ():
        match = _PORTS.fullmatch(str(word))
        if match is not None:
            first, last = int(match[1]), int(match[2] or match[1])
            found |= set(range(max(first, 1), min(last, HIGHEST_PORT) + 1))
    return sorted(found)
