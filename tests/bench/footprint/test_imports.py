"""What imports cost, as the measured interpreter tells it."""

import sys

import pytest

from bench.compare.processes import run
from bench.footprint.box import isolated
from bench.footprint.imports import Import, parse


def test_each_line_is_a_module() -> None:
    """Its numbers, and its name, which may have spaces."""
    text = "8300 3000 8300 3000 1 (the interpreter)\n8 4 500 450 2 tfd.log\n"

    assert parse(text) == [
        Import("(the interpreter)", 1, 8300, 3000, 8300, 3000),
        Import("tfd.log", 2, 8, 4, 500, 450),
    ]


@pytest.mark.parametrize("line", ["word", "1 2 3 4 name", "1 2 3 4 five name"])
def test_another_line_is_refused(line: str) -> None:
    """It is no measurement."""
    with pytest.raises(ValueError, match=r"unpack|literal"):
        parse(line)


def test_what_the_daemon_imports_is_told() -> None:
    """Its own modules and its libraries are there, each once, in the order in which they were whole."""
    found = parse(run(isolated(sys.executable, "importing.py")))
    names = [one.name for one in found]

    assert names[0] == "(the interpreter)"
    assert {"zmq", "msgpack", "nacl.bindings", "tfd.daemon", "tfd.config.reader"} <= set(names)
    assert names.index("tfd.proxy") < names.index("tfd.daemon") < names.index("tfd.config.reader")
    assert all(one.depth >= 1 for one in found)
