"""Names of hosts: their one spelling, and which domain they lie under."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflocation.web.names import is_under, longest, normalise

labels = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)


@given(names)
def test_a_name_has_one_spelling(name: str) -> None:
    """Case and a dot at the end make no difference."""
    assert normalise(name) == normalise(name.upper()) == normalise(name + ".") == name


def test_other_scripts_become_a_labels() -> None:
    """What people type in their script is kept as the DNS has it."""
    assert normalise("Bücher.example") == "xn--bcher-kva.example"


@given(st.text(max_size=300))
def test_anything_is_normalised_or_refused(text: str) -> None:
    """Any text gives a name that is its own spelling, or a ValueError."""
    try:
        name = normalise(text)
    except ValueError:
        return
    assert normalise(name) == name
    assert not set(name) & set(" /:\n\t*_")


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", "-a.b", "a-.b", "a b", "*.a", "1.2.3.4", "a" * 64, "a.b/c"]
)
def test_what_is_no_host_name_is_refused(text: str) -> None:
    """The message shows what was found."""
    with pytest.raises(ValueError, match="allowed"):
        normalise(text)


@given(names, names)
def test_a_domain_ends_on_a_dot(name: str, domain: str) -> None:
    """A name is under a domain by whole labels, never by letters."""
    assert is_under(f"{name}.{domain}", domain)
    assert is_under(domain, domain)
    assert not is_under(f"x{domain}", domain)


@given(names, st.lists(names, max_size=5))
def test_the_longest_domain_is_found(name: str, domains: list[str]) -> None:
    """No other domain that the name lies under is longer."""
    found = longest(name, domains)
    fitting = [domain for domain in domains if is_under(name, domain)]
    assert (found is None) == (not fitting)
    assert found is None or all(len(domain) <= len(found) for domain in fitting)
