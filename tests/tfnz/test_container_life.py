"""Containers of a session: made, ready, started anew, ended."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.waiting import wait_for
from tfnz.container import Container, ExternalContainer
from tfnz.location import Location

pytestmark = [pytest.mark.engine, pytest.mark.root]

LIMIT = 30.0


class Heard:
    """What the callbacks of one container were told."""

    def __init__(self) -> None:
        self.output: list[bytes] = []
        self.ends: list[tuple[object, int]] = []
        self.ended = threading.Event()

    def out(self, _container: Container, data: bytes) -> None:
        """Take output."""
        self.output.append(data)

    def end(self, container: Container, code: int) -> None:
        """Take the end."""
        self.ends.append((container, code))
        self.ended.set()

    @property
    def text(self) -> bytes:
        """All output so far."""
        return b"".join(self.output)


def spawn(session: Location, line: str, heard: Heard | None = None, **more: Any) -> Container:
    """Start a container that runs a line of shell."""
    told = heard or Heard()
    return session.node().spawn_container(
        "busybox", command=line, stdout_callback=told.out, termination_callback=told.end, **more
    )


@pytest.mark.covers("Container.ip", "Container.private_ip", "Container.uuid", "Container.image")
@pytest.mark.covers("Container.parent", "Container.location", "Container.conn", "Container.node")
@pytest.mark.covers("Container.node_pk", "Container.env", "Container.volumes", "Container.docker_config")
@pytest.mark.covers("tfnz.container.Container", "tfnz.Connectable", "Connectable.conn", "Connectable.uuid")
@pytest.mark.covers("Connectable.node_pk", "Connectable.ip")
def test_what_a_container_knows(box: Container, module_session: Location) -> None:
    """Its address is text that may also be called, and the container has it inside."""
    assert box.ip == box.ip() == box.private_ip()
    assert box.ip in box.run_process("ip addr")[0].decode()
    assert (box.image, len(box.uuid), box.env, box.volumes) == ("busybox", 22, [], [])
    assert (box.location(), box.node().pk, box.conn()) == (module_session, box.node_pk, module_session.conn)
    assert box.parent() is box.node()
    assert box.docker_config["Config"]["Cmd"] == ["sleep", "1000000"]
    assert repr(box) == f"<Container `{box.uuid.decode()}` image=busybox ip={box.ip}>"


def test_environment_command_and_files(module_session: Location) -> None:
    """What a container is spawned with is there, before its command runs."""
    heard = Heard()
    container = spawn(
        module_session,
        "echo $WHAT; cat /early/file; exec sleep 1000",
        heard,
        env=[("WHAT", "a 'quoted' word")],
        pre_boot_files=[("/early/file", b"bytes\n"), ("/early/text", "text")],
    )
    wait_for(lambda: heard.text == b"a 'quoted' word\r\nbytes\r\n", LIMIT, "its output")

    assert container.fetch("/early/text") == b"text"
    assert container.run_process("echo $WHAT")[0] == b"a 'quoted' word\n"
    assert container.docker_config["Config"]["Entrypoint"] == container.command
    module_session.node().destroy_container(container)


@pytest.mark.covers("Container.termination_callback", "Container.stdout_callback", "Container.dead")
def test_its_own_end(module_session: Location) -> None:
    """A container that ends by itself tells all its output, then its exit code, and is gone."""
    heard = Heard()
    container = spawn(module_session, "seq 20000; exit 7", heard)

    assert heard.ended.wait(LIMIT)
    assert heard.text.split() == [b"%d" % number for number in range(1, 20001)]
    assert heard.ends == [(container, 7)]
    assert container.dead
    assert container not in module_session.node().all_containers()
    with pytest.raises(ValueError, match="dead already"):
        container.run_process("true")


def test_destroying(module_session: Location) -> None:
    """Of a destroyed container all parts are told first, each with 0, in the caller's thread."""
    told: list[tuple[str, int, threading.Thread]] = []

    def note(what: str) -> Callable[[object, int], None]:
        return lambda _, code: told.append((what, code, threading.current_thread()))

    container = module_session.node().spawn_container("busybox", termination_callback=note("container"))
    process = container.spawn_process("sleep 100", termination_callback=note("process"))
    tunnel = container.attach_tunnel(80, localport=0)
    module_session.node().destroy_container(container)

    here = threading.current_thread()
    assert told == [("process", 0, here), ("container", 0, here)]
    assert (process.dead, tunnel.dead, container.dead) == (True, True, True)
    with pytest.raises(ValueError, match="dead"):
        module_session.node().destroy_container(container)


def test_leaving_with(module_session: Location) -> None:
    """At the end of `with` a container is destroyed."""
    with module_session.node().spawn_container("busybox") as container:
        assert container.run_process("true")[2] == 0

    assert container.dead


@pytest.mark.covers("Container.start")
def test_asleep(module_session: Location) -> None:
    """A container spawned asleep runs its command once started, and only once."""
    heard = Heard()
    with spawn(module_session, "echo started; exec sleep 1000", heard, sleep=True) as container:
        assert container.run_process("echo awake enough")[0] == b"awake enough\n"
        assert heard.text == b""
        container.start()
        wait_for(lambda: heard.text, LIMIT, "its command")
        container.start()
        assert container.run_process("sleep 0.5")[2] == 0
        assert heard.text == b"started\r\n"


@pytest.mark.covers("Container.stdin")
def test_its_terminal(module_session: Location) -> None:
    """The command has a terminal: input reaches it, Ctrl-C interrupts, its window has a size."""
    heard = Heard()
    with spawn(
        module_session, "trap 'echo interrupted' INT; while read x; do stty size; done", heard
    ) as container:
        container.resize(91, 17)

        def asked() -> bool:
            container.stdin(b"go\n")
            return b"17 91" in heard.text

        wait_for(asked, LIMIT, "the size")
        container.stdin(b"\x03")
        wait_for(lambda: b"interrupted" in heard.text, LIMIT, "the interrupt")


def test_output_from_the_start_for_a_late_callback(module_session: Location) -> None:
    """A callback that is set late still gets what was written before."""
    heard = Heard()
    with module_session.node().spawn_container("busybox", command="echo early; exec sleep 1000") as container:
        wait_for(lambda: b"early" in _log(container), LIMIT, "its output")
        container.stdout_callback = heard.out
        wait_for(lambda: heard.text == b"early\r\n", LIMIT, "the callback")


@pytest.mark.covers("Container.logs")
def test_logs(module_session: Location) -> None:
    """The last output can be asked for."""
    with module_session.node().spawn_container("busybox", command="echo a; exec sleep 1000") as container:
        wait_for(lambda: container.logs() != [], LIMIT, "its output")
        assert [entry["stream"] for entry in container.logs()] == ["stdout"]


@pytest.mark.covers("Container.reboot")
@pytest.mark.parametrize("reset", [False, True])
def test_reboot(module_session: Location, reset: bool) -> None:
    """A reboot ends processes and keeps address and tunnels; with a reset the files are as shipped."""
    heard = Heard()
    ended = threading.Event()
    with spawn(
        module_session, "echo boot; exec sleep 1000", heard, pre_boot_files=[("/f", b"shipped")]
    ) as container:
        address = container.ip
        container.put("/f", b"changed")
        container.put("/new", b"new")
        process = container.spawn_process("sleep 1000", termination_callback=lambda _: ended.set())
        container.reboot(reset_filesystem=reset)

        assert ended.wait(LIMIT)
        assert process.dead
        assert container.ip == address
        assert container.fetch("/f") == (b"shipped" if reset else b"changed")
        if reset:
            with pytest.raises(ValueError, match="/new"):
                container.fetch("/new")
        wait_for(lambda: heard.text.count(b"boot") == 2, LIMIT, "its command to run again")
        assert heard.ends == []


def test_reboot_of_a_dead_one(module_session: Location) -> None:
    """A dead container cannot be rebooted."""
    with module_session.node().spawn_container("busybox") as container:
        pass
    with pytest.raises(RuntimeError, match="dead"):
        container.reboot()


@pytest.mark.covers("Container.allow_connection_from", "Container.disallow_connection_from")
@pytest.mark.covers("Container.all_allowed_connections")
@pytest.mark.covers("Connectable.allow_connection_from", "Connectable.disallow_connection_from")
def test_connections_between_containers(module_session: Location, box: Container) -> None:
    """Nothing comes in until it is allowed, and nothing any more once it is disallowed."""
    with module_session.node().spawn_container("web") as server:
        server.wait_tcp(80)
        ask = f"nc -w 2 {server.ip} 80 </dev/null"
        assert box.run_process(ask)[2] != 0
        for _ in range(2):
            server.allow_connection_from(box)
        assert box.run_process(ask)[2] == 0
        assert server.all_allowed_connections() == [box]
        server.disallow_connection_from(box)
        assert box.run_process(ask)[2] != 0
        assert server.all_allowed_connections() == []
    server.disallow_connection_from(box)


@pytest.mark.covers("ExternalContainer.uuid", "ExternalContainer.tag", "ExternalContainer.user")
@pytest.mark.covers("ExternalContainer.ip", "ExternalContainer.private_ip", "ExternalContainer.node_pk")
@pytest.mark.covers("ExternalContainer.conn", "ExternalContainer.display_name")
@pytest.mark.covers("ExternalContainer.allow_connection_from", "ExternalContainer.disallow_connection_from")
@pytest.mark.covers("tfnz.container.ExternalContainer")
def test_external_containers(module_session: Location, session: Location) -> None:
    """A tagged container of another session has an address, and connections to and from it can be allowed."""
    with module_session.node().spawn_container("web", tag="Front") as server:
        server.wait_tcp(80)
        external = wait_for(lambda: _external(session, "front"), LIMIT, "word of it")
        assert external is not None
        assert (external.uuid, external.tag, external.user) == (server.uuid, b"front", session.user_pk)
        assert external.ip == external.private_ip() == server.ip
        assert (external.node_pk, external.conn()) == (server.node_pk, session.conn)
        assert external.display_name() == f"{server.uuid.decode()}:front"
        with session.node().spawn_container("busybox") as client:
            ask = f"nc -w 2 {external.ip} 80 </dev/null"
            external.allow_connection_from(client)
            assert client.run_process(ask)[2] == 0
            external.disallow_connection_from(client)
            assert client.run_process(ask)[2] != 0


def test_a_start_that_fails(module_session: Location) -> None:
    """A container that cannot start says why to all who wait for it."""
    heard = Heard()
    volumes = [(module_session.create_volume(), "/etc/passwd/in-a-file")]
    container = spawn(module_session, "true", heard, volumes=volumes)
    with pytest.raises(ValueError, match="will not be ready"):
        container.run_process("true")
    assert heard.ended.wait(LIMIT)

    assert heard.ends == [(container, -1)]
    assert container not in module_session.node().all_containers()


def _external(session: Location, tag: str) -> ExternalContainer | None:
    try:
        return session.external_container(tag)
    except KeyError:
        return None


def _log(container: Container) -> bytes:
    log: bytes = container.conn().call("container.log", {"id": container.container_id()})["log"]
    return log
