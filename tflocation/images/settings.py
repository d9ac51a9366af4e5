"""What may be set about images."""

from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Where images may come from, and how much they may take. Sizes are in bytes, times in seconds.

    `registries` are host names with an optional port, asked in this order; no other registry is ever asked.
    Those in `insecure_registries` are spoken to without TLS or without a check of their certificate.
    `credentials` is a file as containers-auth.json(5) describes. `cache_size` bounds the blobs kept,
    `image_size` and `image_files` the files of one image.
    """

    registries: tuple[str, ...] = ("docker.io",)
    insecure_registries: tuple[str, ...] = ()
    credentials: Path | None = None
    cache_size: int = 20 * GIB
    image_size: int = 16 * GIB
    image_files: int = 1_000_000
    pull_timeout: float = 900.0
    unpack_timeout: float = 600.0
