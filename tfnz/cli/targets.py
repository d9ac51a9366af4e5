"""Where `tf --systemd` makes its service: this machine, or one that ssh(1) reaches.

Everything is done by one small shell script at a time, its arguments quoted; file contents go through stdin.
"""

import io
import os
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tfnz.cli.unit import MARK, Place

LIMIT: Final = 120.0
"""Seconds for one script; a password may have to be typed meanwhile."""

MOST: Final = 64 * 1024 * 1024
"""Bytes of files that may go with a service."""

# `tf` may be somebody else's: ours knows `init` with its INVITE.
_PROBE: Final = """
for tf in "$1" "$(command -v tf)" "$(sh -lc 'command -v tf' 2>/dev/null)" \\
    "$HOME/.local/bin/tf" "$HOME/.venv/bin/tf" /usr/local/bin/tf /usr/bin/tf; do
  if [ -x "$tf" ] && "$tf" init --help 2>/dev/null | grep -q INVITE; then break; fi
  tf=
done
if [ -f "$HOME/.20ft/$2.pub" ]; then account=yes; else account=; fi
if [ -d /run/systemd/system ]; then systemd=yes; else systemd=; fi
printf '%s\\n' "$tf" "$(id -un)" "$(id -gn)" "$HOME" "$account" "$systemd"
"""
_UPLOAD: Final = 'umask 077 && mkdir -p "$HOME/$1" && tar -xmf - -C "$HOME/$1"'
_INSTALL: Final = """
unit=/etc/systemd/system/$1.service
as_root=
if [ "$(id -u)" != 0 ]; then as_root="sudo $3"; fi
if [ -e "$unit" ] && ! grep -qxF "$2" "$unit"; then
  echo "$unit exists and was not written by tf; remove it, or tag the image differently" >&2
  exit 3
fi
if [ ! -e "$unit" ] && [ -e "/lib/systemd/system/$1.service" ]; then
  echo "$1.service is a service of the system; tag the image differently" >&2
  exit 3
fi
if [ -e "$unit" ]; then echo "replacing $unit" >&2; fi
$as_root install -m 0644 "$HOME/$1/$1.service" "$unit" &&
$as_root systemctl daemon-reload &&
$as_root systemctl --quiet enable "$1.service" &&
$as_root systemctl restart "$1.service"
"""


class TargetError(RuntimeError):
    """The machine did not do what was asked; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """One machine: `server` is what ssh is to reach, empty for this one; `identity` a file for `ssh -i`."""

    server: str = ""
    identity: str | None = None

    @property
    def title(self) -> str:
        """What to call it."""
        return self.server or "this machine"

    def probe(self, location: str) -> Place:
        """Find out who we are there and where `tf` is. Raises TargetError where it cannot run a service."""
        own = "" if self.server else str(Path(sys.argv[0]).resolve())
        lines = self._run(_PROBE, own, location).decode("utf-8", "replace").split("\n")
        if len(lines) < 6:
            raise TargetError(f"{self.title}: it answered {lines!r}; is its shell a POSIX one?")
        program, user, group, home, account, systemd = lines[-7:-1]
        if not systemd:
            raise TargetError(f"{self.title}: systemd does not run there")
        if not program:
            raise TargetError(f"{self.title}: the command tf is not installed there, or not found on PATH")
        if not account:
            raise TargetError(
                f"{self.title}: user {user} has no account for location {location}; there, run: tf init "
                f"INVITE, or paste what this prints here: tfacctbak {location}"
            )
        return Place(user, group, home, program)

    def upload(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write files into the directory ~/NAME, readable for that user alone. Raises TargetError."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, content in files.items():
                member = tarfile.TarInfo(path)
                member.size, member.mode = len(content), 0o600
                tar.addfile(member, io.BytesIO(content))
        self._run(_UPLOAD, name, given=archive.getvalue())

    def install(self, name: str) -> None:
        """Have systemd run the unit ~/NAME/NAME.service, now and at each boot. Raises TargetError."""
        asks = sys.stdin is not None and sys.stdin.isatty()
        self._run(_INSTALL, name, MARK, "" if asks else "-n", terminal=asks)

    def _run(self, script: str, *arguments: str, given: bytes = b"", terminal: bool = False) -> bytes:
        """Run a script; with `terminal` it may ask the user for a password."""
        words = ["sh", "-c", script, "sh", *arguments]
        if self.server:
            identity = ["-i", self.identity] if self.identity else []
            words = ["ssh", *identity, *(["-t"] if terminal else []), "--", self.server, shlex.join(words)]
        try:
            done = subprocess.run(
                words,
                input=None if terminal else given,
                stdout=None if terminal else subprocess.PIPE,
                stderr=None if terminal else subprocess.PIPE,
                timeout=LIMIT,
                check=False,
            )
        except FileNotFoundError:
            raise TargetError("the command ssh is not installed here") from None
        except subprocess.TimeoutExpired:
            raise TargetError(f"{self.title}: no answer within {LIMIT:g} s") from None
        if done.returncode != 0:
            said = (done.stderr or b"").decode("utf-8", "replace").strip().replace("\r", "")
            lines = [line for line in said.split("\n") if line]
            raise TargetError(f"{self.title}: {'; '.join(lines[-3:]) or f'exit code {done.returncode}'}")
        if not terminal and done.stderr:
            os.write(2, done.stderr)
        return done.stdout or b""
