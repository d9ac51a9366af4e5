"""The part of an engine that keeps images, in memory: to test what is decided about images."""

from collections.abc import Mapping
from pathlib import Path

from tflocation.engines.interface import ImageInfo


class MemoryShelf:
    """Keeps what was published, and the names of the files at the top of each tree in `trees`."""

    def __init__(self) -> None:
        self.published: dict[str, ImageInfo] = {}
        self.trees: dict[str, set[str]] = {}

    async def images(self) -> list[ImageInfo]:
        """Give all images."""
        return list(self.published.values())

    async def has_image(self, digest: str) -> bool:
        """Tell whether it was published."""
        return digest in self.published

    async def publish_image(
        self, digest: str, names: tuple[str, ...], rootfs: Path, metadata: Mapping[str, str]
    ) -> None:
        """Keep an image; each of its names leaves every other image."""
        if digest not in self.published:
            self.trees[digest] = {path.name for path in rootfs.iterdir()}
            self.published[digest] = ImageInfo(digest, (), 1, dict(metadata))
        for other, image in self.published.items():
            kept = tuple(name for name in image.names if name not in names)
            self.published[other] = ImageInfo(other, kept, image.size, image.metadata)
        mine = self.published[digest]
        self.published[digest] = ImageInfo(digest, mine.names + names, mine.size, mine.metadata)

    async def destroy_image(self, digest: str) -> None:
        """Forget an image."""
        del self.published[digest]
