"""The kinds of events: their ids are stable, and theirs alone."""

from tfd.protocol import logged
from tfd.protocol.logged import KINDS, Kind


def test_all_kinds_are_in_the_table() -> None:
    """What the module declares is what KINDS has, in order, under the name that programs know."""
    declared = {name: value for name, value in vars(logged).items() if isinstance(value, Kind)}

    assert tuple(declared.values()) == KINDS
    assert [kind.name for kind in KINDS] == [name.lower().replace("_", "-") for name in declared]


def test_ids_are_unique() -> None:
    """Each is 128 bits as systemd writes them, and no two kinds share one."""
    ids = [kind.id for kind in KINDS]

    assert len(set(ids)) == len(ids)
    assert all(len(bytes.fromhex(number)) == 16 and number == number.lower() for number in ids)


def test_the_first_ids_are_what_they_were() -> None:
    """An administrator's rule that waits for a kind goes on working: an id never changes."""
    assert logged.READY.id == "807250e816db4181a85a82cb2962093b"
    assert logged.CONTAINER_DIED.id == "283c6949d4d74915850f52639bdabeab"
    assert logged.LOCATION_LOST.id == "b2c6c5b026914f62944155c1291231e8"


def test_levels_are_the_logs() -> None:
    """Each kind can be logged."""
    assert {kind.level for kind in KINDS} <= {"debug", "info", "warning", "error"}
