"""What several files of tests of the daemon use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import Stage, staged


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Everything but the daemon's start."""
    with staged(tmp_path) as made:
        yield made
