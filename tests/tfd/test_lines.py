"""Output becomes lines: none is lost, doubled or joined, however it is cut into pieces."""

from hypothesis import given
from hypothesis import strategies as st

from tfd.lines import BURST, LONGEST, RATE, Allowance, Lines


@given(st.lists(st.text("ab ä€", max_size=20)), st.lists(st.integers(0, 30)))
def test_lines_are_the_same_however_they_are_cut(lines: list[str], cuts: list[int]) -> None:
    """Also within a character."""
    data = "".join(f"{line}\n" for line in lines).encode()
    splitter, found = Lines(), []
    for cut in cuts:
        found += splitter.feed(data[:cut])
        data = data[cut:]
    found += splitter.feed(data)

    assert found == lines
    assert splitter.end() == []


@given(st.lists(st.binary(max_size=40)))
def test_any_bytes_become_text(pieces: list[bytes]) -> None:
    """Whatever a container writes, there is one line more than there were line feeds, or as many."""
    splitter = Lines()
    found = [line for piece in pieces for line in splitter.feed(piece)]
    feeds = b"".join(pieces).count(b"\n")

    assert len(found) == feeds
    assert len(splitter.end()) <= 1


def test_a_terminals_line_ends_are_taken_off() -> None:
    """It writes a carriage return before each line feed."""
    assert Lines().feed(b"one\r\ntwo\r\r\n") == ["one", "two"]


def test_a_line_without_an_end_is_cut() -> None:
    """It costs no more memory than one long line, and no byte is lost."""
    splitter, found = Lines(), []
    for _ in range(10):
        found += splitter.feed(b"x" * 5000)
    found += splitter.end()

    assert "".join(found) == "x" * 50_000
    assert max(map(len, found)) == LONGEST


def test_the_last_line_may_lack_its_end() -> None:
    """When nothing follows, it is a line too."""
    splitter = Lines()

    assert splitter.feed(b"one\ntwo") == ["one"]
    assert splitter.end() == ["two"]
    assert splitter.end() == []


def test_a_burst_passes_and_a_flood_does_not() -> None:
    """After a quiet time so many lines at once, and from then on so many a second."""
    allowance = Allowance()
    at_once = sum(allowance.take(100.0) for _ in range(10_000))
    later = sum(allowance.take(101.0) for _ in range(10_000))

    assert (at_once, later) == (BURST, RATE)
    assert allowance.refused == 20_000 - BURST - RATE


@given(st.lists(st.floats(0, 100, allow_nan=False)))
def test_a_clock_that_jumps_grants_nothing_more(times: list[float]) -> None:
    """Never more than a burst and what the seconds between the first and the last are good for."""
    allowance = Allowance()
    allowed = sum(allowance.take(time) for time in sorted(times) for _ in range(50))

    assert allowed <= BURST + 100 * RATE
