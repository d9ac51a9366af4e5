"""Parts of `tf` that decide without doing: which ports an image exposes, which keys lead out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfnz.cli.exposing import exposed_ports
from tfnz.cli.interactive import ESCAPES, Escape

EXPOSED: list[tuple[object, list[int]]] = [
    ({"80/tcp": {}, "53/udp": {}, "443": {}}, [80, 443]),
    ({"8001-8003/tcp": {}}, [8001, 8002, 8003]),
    ({"0/tcp": {}, "65536/tcp": {}, "-1/tcp": {}, "x/tcp": {}, "": {}}, []),
    ({"80-999999999999/sctp": {}}, []),
    (None, []),
]


@pytest.mark.parametrize(("exposed", "ports"), EXPOSED)
def test_exposed_ports(exposed: object, ports: list[int]) -> None:
    """TCP ports in order; what is none is left out."""
    assert exposed_ports({"Config": {"ExposedPorts": exposed}}) == ports


@pytest.mark.parametrize("description", [{}, {"Config": None}, {"Config": []}])
def test_a_description_without_ports(description: dict[str, object]) -> None:
    """An image need not say anything."""
    assert exposed_ports(description) == []


@given(st.text())
def test_any_port_is_in_range(word: str) -> None:
    """Whatever an image says, what comes out is a TCP port."""
    assert all(1 <= port <= 65535 for port in exposed_ports({"Config": {"ExposedPorts": {word: {}}}}))


@given(st.lists(st.binary(max_size=4) | st.just(b"\x1d")))
def test_the_way_out_is_three_in_a_row(pieces: list[bytes]) -> None:
    """However the keys come in pieces: ^] three times without another key between them, and nothing else."""
    escape = Escape()
    typed = b""
    for piece in pieces:
        typed += piece
        if escape.feed(piece):
            assert b"\x1d" * ESCAPES in typed
            return
    assert b"\x1d" * ESCAPES not in typed
