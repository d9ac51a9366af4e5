"""Functions of shared libraries: the C library's, which is always there."""

import pytest

from tfd.protocol.clibrary import INT, Library


def test_a_function_of_a_library_is_called() -> None:
    """With the types that it was declared with."""
    assert Library("libc.so.6").function("abs", INT, INT)(-7) == 7


def test_what_a_library_lacks_is_told() -> None:
    """By its name."""
    with pytest.raises(AttributeError, match="no_such_function"):
        Library("libc.so.6").function("no_such_function", INT)


def test_a_library_that_is_not_there_is_told() -> None:
    """As dlopen(3) says it."""
    with pytest.raises(OSError, match=r"libnone\.so\.1"):
        Library("libnone.so.1")
