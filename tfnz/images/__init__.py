"""Images: from the local engine, from archives or from registries to where containers run."""

from tfnz.images.ensure import ImageAtLocation, ensure

__all__ = ["ImageAtLocation", "ensure"]
