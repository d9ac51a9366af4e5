"""Container images at a location: kept as blobs, unpacked, and published to the engine by digest."""

from tflocation.images.images import Images
from tflocation.images.settings import ImageSettings
from tflocation.images.store import BlobStore, BlobWriter

__all__ = ["BlobStore", "BlobWriter", "ImageSettings", "Images"]
