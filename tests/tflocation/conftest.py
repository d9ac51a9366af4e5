"""What several tests of the service share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.location import MemoryLocation


@pytest.fixture
def location(tmp_path: Path) -> Iterator[MemoryLocation]:
    """Give a location with an engine in memory."""
    with MemoryLocation(tmp_path) as running:
        yield running
