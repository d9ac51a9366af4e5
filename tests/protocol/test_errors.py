"""Errors: whose fault each is can be told by its type."""

import pytest

from tfd.protocol import errors


def test_a_command_error_carries_its_code_and_message() -> None:
    """What travels to the peer is kept apart from the text for our own log."""
    error = errors.CommandError(errors.Code.NOT_FOUND, "no such container")

    assert (error.code, error.message) == ("not-found", "no such container")
    assert str(error) == "not-found: no such container"


@pytest.mark.parametrize(
    "kind", [errors.ProtocolError, errors.UsageError, errors.KeyFileError, errors.InviteError]
)
def test_every_error_has_one_base(kind: type[Exception]) -> None:
    """A program can catch all of ours at its outermost place."""
    assert issubclass(kind, errors.TfdError)


def test_a_version_error_tells_the_version_that_it_found() -> None:
    """The session needs the number for its answer, which names both versions."""
    error = errors.VersionError(7)

    assert isinstance(error, errors.ProtocolError)
    assert error.theirs == 7
