"""Which part may import what: read from the source of every module, imports within functions included."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("tfd", "tfnz", "tflocation")

IO = frozenset({"socket", "zmq", "time", "asyncio", "subprocess", "selectors", "threading"})
FILES = frozenset({"os", "pathlib", "tempfile", "shutil", "fcntl"})

PURE = (
    "tfd.protocol",
    "tfd.supervisor",
    "tfd.supervision",
    "tfd.world",
    "tflocation.connections",
    "tflocation.inventory",
    "tflocation.limits",
    "tflocation.placement",
    "tflocation.tickets",
    "tflocation.web.clusters",
    "tflocation.web.domains",
    "tflocation.web.names",
    "tflocation.web.sites",
)

DRIVERS = "tfd.protocol.drivers"
"""The sockets and threads around the protocol's state machines, shared by the daemon and the SDK."""

EXEMPT = {
    # A key lies in a file that only its owner may read; both programs have to agree on how.
    "tfd.protocol.keys": {"os", "pathlib"},
    # An image is too large for memory: it is read from its archive, or spooled to a file.
    "tfd.protocol.archive": {"pathlib", "tempfile"},
    # The same for an image that lies in a directory.
    "tfd.protocol.layouts": {"os", "pathlib"},
    # Tickets are random (os.urandom).
    "tfd.protocol.channel": {"os"},
    # The numbers of socket options, for those who have the sockets.
    "tfd.protocol.liveness": {"socket"},
}


HEAVY = ("asyncio", "dataclasses", "inspect", "ssl")
"""What the daemon must not have loaded; dataclasses imports inspect."""

SPARED = (
    *HEAVY,
    "argparse",
    "datetime",
    "hashlib",
    "ipaddress",
    "logging",
    "pathlib",
    "subprocess",
    "urllib",
)
"""What the idle daemon must not have loaded for itself, though other parts of tfd may import it."""

LATE = {
    # For the functions of the standard library that are asked about a dataclass of ours.
    ("tfd.protocol.dataclass", "dataclasses"),
}


def module_name(path: Path) -> str:
    """Give the dotted name of the module in a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[str]:
    """Give what a file imports, as dotted names; of `from a import b` it is a.b, whatever b is."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


IMPORTS = {
    module_name(path): frozenset(imported(path))
    for package in OURS
    for path in sorted((ROOT / package).rglob("*.py"))
}


def within(name: str, *packages: str) -> bool:
    """Tell whether a dotted name is one of the packages or lies in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def wrong(package: str, *allowed: str) -> list[str]:
    """Give the imports of ours, by modules of `package`, that lie outside of `allowed`."""
    return [
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        if within(module, package)
        for name in sorted(names)
        if within(name, *OURS) and not within(name, *allowed)
    ]


@pytest.mark.parametrize("package", ["tfd", "tflocation", *PURE])
def test_modules_are_found(package: str) -> None:
    """Each part that the tests below speak of is there, and imports something."""
    assert any(names for module, names in IMPORTS.items() if within(module, package))


def test_the_protocol_stands_alone() -> None:
    """It imports nothing of ours but itself."""
    assert wrong("tfd.protocol", "tfd.protocol") == []


def test_state_machines_know_no_driver() -> None:
    """The protocol's state machines do not reach for the sockets around them."""
    reached = [
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        if within(module, "tfd.protocol") and not within(module, DRIVERS)
        for name in sorted(names)
        if within(name, DRIVERS)
    ]

    assert reached == []


def test_the_sdk_knows_the_protocol_alone() -> None:
    """It can be packaged with tfd.protocol and without daemon or location."""
    assert wrong("tfnz", "tfnz", "tfd.protocol") == []


def test_the_daemon_knows_neither_client_nor_location() -> None:
    """They are programs of their own."""
    assert wrong("tfd", "tfd") == []


def test_the_location_knows_the_protocol_alone() -> None:
    """It can be packaged with tfd.protocol and without the rest of tfd."""
    assert wrong("tflocation", "tflocation", "tfd.protocol") == []


def test_the_daemon_stays_small() -> None:
    """No module of it imports what would cost megabytes on the small box."""
    heavy = [
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        if within(module, "tfd")
        for name in sorted(names)
        if within(name, *HEAVY) and (module, name.partition(".")[0]) not in LATE
    ]

    assert heavy == []


def imported_at_once(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """Give what a module imports when it is imported itself, as dotted names."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.module is not None
            yield statement.module
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)
        elif isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from imported_at_once(statement.orelse)
        elif not isinstance(statement, ast.FunctionDef):
            inner = (one for one in ast.iter_child_nodes(statement) if isinstance(one, ast.stmt))
            yield from imported_at_once(inner)


def loaded_with(*modules: str) -> set[str]:
    """Give what is loaded with modules of ours: of others what ours import, not what these import."""
    found: set[str] = set()
    todo = list(modules)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            if name in IMPORTS:
                path = ROOT.joinpath(*name.split("."))
                path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
                todo += imported_at_once(ast.parse(path.read_text()).body)
    return found


def test_the_idle_daemon_has_loaded_nothing_that_it_can_do_without() -> None:
    """It keeps to 17 MB: what else it needs is imported when that is asked for."""
    loaded = loaded_with("tfd.__main__", "tfd.cli", "tfd.daemon", "tfd.config.reader")

    assert {"tfd.proxy", "tfd.protocol.relay", "zmq", "socket", "os"} <= loaded
    assert {name for name in loaded if within(name, *SPARED)} == set()


def pure_imports() -> Iterator[tuple[str, str]]:
    """Give each import of the world outside by a module that is to have none, as top-level names."""
    for module, names in IMPORTS.items():
        if within(module, *PURE) and not within(module, DRIVERS):
            for top in sorted({name.partition(".")[0] for name in names} & (IO | FILES)):
                yield module, top


def test_state_machines_do_no_io() -> None:
    """They take the time and what was received as arguments; exempt is what the table above tells."""
    assert [(module, top) for module, top in pure_imports() if top not in EXEMPT.get(module, ())] == []


def test_no_exemption_is_left_over() -> None:
    """Each one is used."""
    assert {(module, top) for module, tops in EXEMPT.items() for top in tops} == set(pure_imports())


def test_liveness_takes_only_numbers_from_the_socket_module() -> None:
    """It opens no socket: constants alone are used."""
    tree = ast.parse((ROOT / "tfd/protocol/liveness.py").read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "socket"
    }

    assert used
    assert {name for name in used if not name.isupper()} == set()
