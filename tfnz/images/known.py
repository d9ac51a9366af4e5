"""What is remembered of local images: the digest that each one has at locations.

An engine may name an image otherwise than by its config's digest (Docker with the containerd image store,
Podman for some), and finding that digest out means saving the whole image. An id always means the same
content, so what was found once stays true; the directory is a cache and may be removed at any time.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

from tfd.protocol.oci import is_digest

KEPT: Final = 512
"""Images remembered; those found out longest ago go first."""


class KnownDigests:
    """A directory with one small file for each image of a local engine."""

    def __init__(self, directory: Path | None = None) -> None:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - never raises
        self._directory = directory or Path(cache) / "tfnz" / "images"

    def get(self, engine_id: str) -> str | None:
        """Give the digest at locations of the image that an engine calls `engine_id` ("sha256:...")."""
        if not is_digest(engine_id):
            return None
        try:
            found = self._path(engine_id).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return None
        return found if is_digest(found) else None

    def put(self, engine_id: str, digest: str) -> None:
        """Remember; where the directory cannot be written, the next time costs more and nothing is said."""
        if not is_digest(engine_id):
            return
        path = self._path(engine_id)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_suffix(f".{os.getpid()}")
            new.write_text(digest, encoding="ascii")
            new.replace(path)
            files = sorted(self._directory.iterdir(), key=lambda file: file.stat().st_mtime)
            for old in files[:-KEPT]:
                old.unlink(missing_ok=True)

    def _path(self, engine_id: str) -> Path:
        return self._directory / engine_id.removeprefix("sha256:")
