"""Names of images: spellings, owners, registries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.errors import CommandError
from tflocation.images import names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nginx", "nginx:latest"),
        ("nginx:1", "nginx:1"),
        ("library/nginx", "nginx:latest"),
        ("docker.io/nginx", "nginx:latest"),
        ("docker.io/library/nginx:latest", "nginx:latest"),
        ("index.docker.io/a/b", "a/b:latest"),
        ("reg.example.net:5000/library/nginx", "reg.example.net:5000/library/nginx:latest"),
        ("a@sha256:" + "1" * 64, "a@sha256:" + "1" * 64),
    ],
)
def test_canonical(name: str, expected: str) -> None:
    """All spellings of one image become one."""
    assert names.check(name) == expected


@given(st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5}){0,2}(:[a-z0-9]{1,5})?", fullmatch=True))
def test_canonical_is_stable(name: str) -> None:
    """The canonical spelling of a canonical name is itself."""
    assert names.check(names.check(name)) == names.check(name)


def test_what_is_no_name() -> None:
    """What cannot be a name is refused, quoted."""
    with pytest.raises(CommandError, match="image name 'A b'"):
        names.check("A b")


@pytest.mark.parametrize("account", ["", "alice"])
def test_owner(account: str) -> None:
    """A kept name gives back whose it is."""
    assert names.owner(names.owned("a/b:1", account)) == (account, "a/b:1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sha256:" + "a" * 64, "a" * 64),
        ("0123456789ab", "0123456789ab"),
        ("0123456789a", None),
        ("0123456789ag", None),
        ("0123456789AB", None),
    ],
)
def test_digest_prefix(name: str, expected: str | None) -> None:
    """At least twelve digits of a digest stand for it."""
    assert names.digest_prefix(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nginx", [("docker.io", "docker.io/library/nginx:latest"), ("r.net:5", "r.net:5/nginx:latest")]),
        ("a/b:1", [("docker.io", "docker.io/a/b:1"), ("r.net:5", "r.net:5/a/b:1")]),
        ("r.net:5/a", [("r.net:5", "r.net:5/a:latest")]),
        ("other.net/a", []),
        ("localhost/a", []),
    ],
)
def test_registries(name: str, expected: list[tuple[str, str]]) -> None:
    """A name is asked of the listed registries alone, in their order."""
    assert names.at_registries(name, ("docker.io", "r.net:5")) == expected
