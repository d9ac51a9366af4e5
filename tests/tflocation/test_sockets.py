"""Where the control socket listens, and which connections ended without a handshake."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.product import free_port
from tflocation.sockets import Handshakes, listen
from tflocation.values import Address


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_an_empty_host_is_all_addresses_of_both_families(host: str) -> None:
    """IPv4's clients come to the same socket as those of IPv6."""
    listening, name = listen(Address("", 0), None)
    with listening, socket.create_connection((host, listening.getsockname()[1])):
        assert name == ""


def test_a_port_in_use_is_told() -> None:
    """No other family is tried then: half of the clients would come to a stranger."""
    first, _ = listen(Address("", free_port()), None)
    with first, pytest.raises(OSError, match="in use"):
        listen(Address("", first.getsockname()[1]), None)


def test_an_unknown_host_is_told() -> None:
    """As an OSError, which ends the start with one line."""
    with pytest.raises(OSError, match=r"."):
        listen(Address("nobody.invalid", 1), None)


@given(st.lists(st.sampled_from(["good", "silent", "settle"])))
def test_those_that_ended_without_a_word_are_found_once(events: list[str]) -> None:
    """Each is counted by the second settling after it, none is invented, none counted twice."""
    handshakes = Handshakes()
    found = silent = 0
    waiting = False

    def settle() -> None:
        nonlocal found, waiting
        new, waiting = handshakes.end()
        found += new
        if waiting:
            handshakes.begin()

    for event in events:
        if event == "settle":
            if waiting:
                settle()
        else:
            if handshakes.accepted():
                handshakes.begin()
                waiting = True
            if event == "good":
                handshakes.finished()
            else:
                silent += 1
        assert found <= silent
    while waiting:
        settle()
    assert found == silent
