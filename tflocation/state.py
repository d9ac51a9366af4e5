"""Where the service keeps its few files: its key pair and the images' cache. All else is in the engine."""

import os
from pathlib import Path


class StartError(Exception):
    """The service cannot start; the message says why and what to do."""


def state_directory() -> Path:
    """Give $STATE_DIRECTORY (systemd.exec(5)) or the packaged service's directory, made where it is missing.

    Raises StartError where it cannot be made.
    """
    directory = Path(os.environ.get("STATE_DIRECTORY", "/var/lib/tflocation").partition(":")[0])
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"{directory}: cannot be made: {error.strerror}") from error
    return directory
