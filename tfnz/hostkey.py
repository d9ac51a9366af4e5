"""The key by which ssh clients recognise this user's servers: `~/.20ft/host_key`, made on first use."""

import contextlib
import os
from pathlib import Path
from typing import Final

from tfnz.account import directory

NAME: Final = "host_key"
MODE: Final = 0o600


def host_key() -> bytes:
    """Give the private key as OpenSSH writes it (Ed25519), made where there is none.

    Raises RuntimeError where others may read it, OSError where it can be neither read nor written.
    """
    path = directory() / NAME
    with contextlib.suppress(FileNotFoundError):
        return _read(path)
    import asyncssh

    made: bytes = asyncssh.generate_private_key("ssh-ed25519").export_private_key("openssh")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written aside and linked: of two programs that do this at once, both use the key of the first.
    aside = path.with_name(f".{NAME}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(made)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(aside)
    finally:
        aside.unlink()
    return _read(path)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        if mode & 0o077:
            raise RuntimeError(
                f"{path} has mode {mode:04o}, others may read it; mend it with: chmod 600 {path}"
            )
        return file.read()
