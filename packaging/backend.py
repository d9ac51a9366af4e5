"""The build backend (PEP 517): that of setuptools, and before it the pages that are made from the code.

So a wheel, and whatever is made from one, carries the man pages, the completion, the units and the catalog;
`[options.data_files]` of setup.cfg says where they go.
"""

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import setuptools.build_meta
from setuptools.build_meta import (
    build_editable,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

MADE = Path(__file__).resolve().parent / "made"
Settings = dict[str, str | list[str] | None] | None


def build_wheel(
    wheel_directory: str | os.PathLike[str],
    config_settings: Settings = None,
    metadata_directory: str | os.PathLike[str] | None = None,
) -> str:
    """Build a wheel, and give its file's name."""
    _make_pages()
    return setuptools.build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory: str | os.PathLike[str], config_settings: Settings = None) -> str:
    """Build a source distribution, and give its file's name."""
    _make_pages()
    return setuptools.build_meta.build_sdist(sdist_directory, config_settings)


def _make_pages() -> None:
    import manual  # it imports the programs

    shutil.rmtree(MADE, ignore_errors=True)
    manual.write(MADE)
