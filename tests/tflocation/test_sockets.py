"""Which connections ended without a handshake, by what libzmq reports of the others."""

from hypothesis import given
from hypothesis import strategies as st

from tflocation.sockets import Handshakes


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
