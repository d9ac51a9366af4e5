"""The drawings of the state machines: docs/states.md is what the tables give."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_drawings_are_those_of_the_tables() -> None:
    """The committed page equals what the script makes of the present tables."""
    page = runpy.run_path(str(DOCS / "states.py"))["render"]()

    assert page == (DOCS / "states.md").read_text(encoding="utf-8"), "run: python docs/states.py"


def test_every_state_is_in_its_drawing() -> None:
    """No machine has a state that its table never mentions."""
    for title, _, table in runpy.run_path(str(DOCS / "states.py"))["MACHINES"]:
        mentioned = {state for state, _ in table} | set(table.values())
        declared = type(next(iter(mentioned))).__members__

        assert {state.name for state in mentioned} == set(declared), title
