"""A Node: its statistics, and what `spawn_container` takes and refuses."""

import base64
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.waiting import wait_for
from tfnz import arguments
from tfnz.container import Container
from tfnz.location import Location
from tfnz.node import public_key

LIMIT = 30.0

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.binary(max_size=4),
    lambda part: st.lists(part, max_size=3) | st.tuples(part, part) | st.dictionaries(st.text(), part),
    max_leaves=6,
)


@given(anything)
def test_any_argument_is_taken_or_refused(given: Any) -> None:
    """ValueError is the only exception, and what is taken has the one shape."""
    for check in (arguments.environment, arguments.mounts, arguments.files, arguments.command_line):
        try:
            taken = check(given)
        except ValueError:
            continue
        assert taken is None or isinstance(taken, list)
        if check in (arguments.environment, arguments.files):
            assert all(isinstance(pair, tuple) and len(pair) == 2 for pair in taken or ())


def test_shapes_that_programs_use() -> None:
    """Lists of pairs, dicts, text and bytes, a line or words."""
    assert arguments.environment([("A", "1"), ("B", 2)]) == [("A", "1"), ("B", "2")]
    assert arguments.environment({"A": "b=c"}) == [("A", "b=c")]
    assert arguments.files([("/a//b/", "text"), ("/c", b"\xff")]) == [("/a/b", b"text"), ("/c", b"\xff")]
    assert arguments.files({"/a": bytearray(b"1")}) == [("/a", b"1")]
    assert arguments.command_line("echo $HOME | cat") == ["/bin/sh", "-c", "echo $HOME | cat"]
    assert arguments.command_line(["sleep", "1"]) == ["sleep", "1"]
    assert arguments.command_line(None) is None


@pytest.mark.parametrize("path", ["relative", "", "/a/../../etc/passwd", "/..", "/a\0b", 7, None])
def test_paths_that_lead_nowhere_good(path: object) -> None:
    """Absolute, and without `..`."""
    with pytest.raises(ValueError, match=r"absolute path|leads outside"):
        arguments.absolute(path, "pre_boot_files")


def test_a_nodes_key_is_the_same_everywhere() -> None:
    """32 bytes, another for each node and location."""
    keys = {public_key(location, node) for location in ("one", "two") for node in ("n1", "n2")}

    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
    assert public_key("sydney.20ft.nz", "node1").hex().startswith("1bc0d319f2a8dc8d")


@pytest.mark.engine
@pytest.mark.covers("tfnz.node.Node", "Node.parent", "Node.pk", "Node.conn", "Node.stats", "Node.containers")
def test_what_a_node_tells(session: Location) -> None:
    """Its statistics are a dict that may be called."""
    node = session.node()

    assert node.parent() is node.location() is session
    assert node.conn() is session.connection
    assert session.nodes[node.pk] is node
    assert node.stats() is node.stats
    assert set(node.stats) == {"cpu", "memory", "paging", "ave_start_time"}
    assert all(value >= 0 for value in node.stats.values())
    assert node.stats["memory"] > 0
    assert node.containers == {}
    assert repr(node) == f"<Node '{base64.b64encode(node.pk).decode()}' containers=0>"


@pytest.mark.engine
@pytest.mark.covers("Node.spawn_container", "Node.destroy_container", "Node.all_containers")
def test_a_container_has_what_it_was_given(session: Location) -> None:
    """Environment, files, volumes, command; `spawn_container` gives it before it is ready."""
    node = session.best_node()
    volume = node.create_volume()
    ended: list[tuple[object, int, threading.Thread]] = []
    output: list[bytes] = []
    container = node.spawn_container(
        "busybox",
        env=[("GREETING", "grüße")],
        volumes=[(volume, "/data/")],
        pre_boot_files=[("/etc/deep/er.cfg", "db=10.0.0.1"), ("/bin/blob", b"\x00\xff")],
        command='echo "$GREETING"; exec sleep 1000',
        stdout_callback=lambda _, data: output.append(data),
        termination_callback=lambda *told: ended.append((*told, threading.current_thread())),
    )

    assert isinstance(container, Container)
    assert node.containers == {container.uuid: container}
    assert node.all_containers() == [container]
    assert container.wait_until_ready() is container
    assert container.fetch("/etc/deep/er.cfg") == b"db=10.0.0.1"
    assert container.fetch("/bin/blob") == b"\x00\xff"
    assert b" /data " in container.run_process("cat /proc/mounts")[0]
    wait_for(lambda: b"".join(output) == "grüße\r\n".encode(), LIMIT, "the output")
    node.destroy_container(container)
    assert ended == [(container, 0, threading.current_thread())]
    assert node.containers == {}
    with pytest.raises(ValueError, match="dead already"):
        node.destroy_container(container)
    session.destroy_volume(volume)


@pytest.mark.engine
@pytest.mark.covers("Node.spawn")
def test_the_older_name_takes_positions(session: Location) -> None:
    """`spawn(image, env, sleep, pre_boot_files, no_image_check)`, dicts included."""
    node = session.best_node()
    container = node.spawn("busybox", {"A": "b"}, True, {"/page": "text"}, True)

    assert container.wait_until_ready().fetch("/page") == b"text"
    assert container.run_process("echo $A") == (b"b\n", b"", 0)
    node.destroy_container(container)


@pytest.mark.engine
@pytest.mark.parametrize(
    "wrong",
    [
        {"env": "A=b"},
        {"env": [("A", "b", "c")]},
        {"env": [("A=", "b")]},
        {"env": [("A", object())]},
        {"volumes": [("volume", "/mnt")]},
        {"volumes": {"a": 1}},
        {"pre_boot_files": [("relative", b"")]},
        {"pre_boot_files": [("/a/../../b", b"")]},
        {"pre_boot_files": [("/a", 7)]},
        {"command": []},
        {"command": [7]},
        {"tag": "two words"},
        {"tag": "a:b"},
        {"tag": ""},
        {"image": ""},
        {"image": None},
    ],
)
def test_wrong_arguments_start_nothing(session: Location, wrong: dict[str, Any]) -> None:
    """ValueError before anything is asked of the location."""
    node = session.best_node()
    with pytest.raises(ValueError, match=r"."):
        node.spawn_container(**{"image": "busybox", **wrong})
    assert node.containers == {}
    assert session.connection.call("container.list", {})["containers"] == []


@pytest.mark.engine
def test_mount_points_that_overlap(session: Location) -> None:
    """Neither on nor in one another, nor on the root."""
    node = session.best_node()
    volume = node.create_volume()
    for points in (("/a", "/a/b"), ("/a/b", "/a"), ("/a", "/a/"), ("/", "/b")):
        with pytest.raises(ValueError, match=r"overlap|cannot be mounted on /"):
            node.spawn_container("busybox", volumes=[(volume, point) for point in points])
    session.destroy_volume(volume)


@pytest.mark.engine
def test_an_image_that_is_nowhere(session: Location) -> None:
    """RuntimeError, checked or not, and no container is left."""
    node = session.best_node()
    for unchecked in (False, True):
        with pytest.raises(RuntimeError, match="found nowhere"):
            node.spawn_container("no/such/image", no_image_check=unchecked)
    assert node.containers == {}


@pytest.mark.engine
def test_another_nodes_container(session: Location) -> None:
    """KeyError: a container is destroyed by its own node."""
    node = session.best_node()
    container = node.spawn_container("busybox")
    node.containers.pop(container.uuid)
    with pytest.raises(KeyError):
        node.destroy_container(container)
    node.containers[container.uuid] = container
    node.destroy_container(container)


@pytest.mark.engine
def test_many_at_once(session: Location) -> None:
    """Containers are started side by side, and all are gone after the session."""
    node = session.best_node()
    containers = [node.spawn_container("busybox", no_image_check=True) for _ in range(8)]
    for container in containers:
        container.wait_until_ready()

    assert len({container.ip for container in containers}) == 8
    session.disconnect()
    assert all(container.dead for container in containers)
    with Location(quiet=True) as later:
        assert later.connection.call("container.list", {})["containers"] == []
