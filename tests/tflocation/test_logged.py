"""The location's kinds of events: the table is whole, and what is logged has what a kind promises."""

import logging

from tfd.protocol.logged import Kind
from tflocation import logged
from tflocation.logged import KINDS
from tflocation.logs import told


def test_all_kinds_are_in_the_table() -> None:
    """What the module declares is what KINDS has, in order, under the name that programs know."""
    declared = {name: value for name, value in vars(logged).items() if isinstance(value, Kind)}

    assert tuple(declared.values()) == KINDS
    assert [kind.name for kind in KINDS] == [name.lower().replace("_", "-") for name in declared]


def test_a_kind_goes_with_its_fields() -> None:
    """A record carries both, for the journal."""
    record = logging.makeLogRecord(told(logged.ENGINE_LOST, reason="it blinked"))

    assert (vars(record)["kind"], vars(record)["fields"]) == (logged.ENGINE_LOST, {"reason": "it blinked"})
