"""Paths in a configuration: where they start, and how they are written."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tfd.config.sources import joined

paths = st.text("a./", max_size=8)


@given(paths, paths)
def test_a_path_is_written_as_pathlib_writes_it(directory: str, path: str) -> None:
    """A container's creation key has it within, so it must not change with the way it is made."""
    assert joined(directory, path) == str(Path(directory) / path)
