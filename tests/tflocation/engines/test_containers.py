"""Containers on a real engine: made and started as one step, ended, destroyed."""

import asyncio
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.engine import ended, eventually, shell, web, written
from tests.support.engine_view import ask, init_pid, instances
from tflocation.development import PrivateEngine
from tflocation.engines.interface import ContainerSpec, EngineError, FileSpec, NotFound, ProcessSpec, State
from tflocation.engines.lxd.engine import LxdEngine
from tflocation.engines.processes import BUSYBOX, ExecSpec

pytestmark = pytest.mark.engine


async def test_answers_at_the_address_that_it_was_given(engine: LxdEngine) -> None:
    """A created container runs, and its port answers this machine at `ip`."""
    container = await engine.create_container(web())

    def page() -> str | None:
        try:
            with urlopen(f"http://{container.ip}/etc/hosts", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return None

    text = await eventually(lambda: asyncio.to_thread(page), "the page")

    assert f"{container.ip} {container.id}\n" in text
    assert container.state is State.RUNNING
    assert [container] == await engine.containers()


async def test_same_account_name_and_key_give_the_same_container(engine: LxdEngine) -> None:
    """A request that is sent twice makes one container, also when both arrive at once."""
    spec = web(key="same")

    first, second = await asyncio.gather(engine.create_container(spec), engine.create_container(spec))

    assert first == second == await engine.create_container(spec)
    assert len(await engine.containers()) == 1


async def test_containers_made_at_once_get_addresses_of_their_own(engine: LxdEngine) -> None:
    """Concurrent creations never share an address."""
    made = await asyncio.gather(*(engine.create_container(web(str(n))) for n in range(4)))

    assert len({container.ip for container in made}) == 4


async def test_whatever_is_attached_leaves_room_for_requests(engine: LxdEngine) -> None:
    """The connections that stay open for processes and consoles never keep a request waiting."""
    container = await engine.create_container(web())
    spec = ExecSpec((BUSYBOX, "sleep", "1000000"))
    processes = [await engine.execute(container.id, spec) for _ in range(30)]
    try:
        assert await engine.containers() == [container]
    finally:
        await asyncio.gather(*(process.close() for process in processes))


@pytest.mark.parametrize(
    ("script", "state", "code", "reason"),
    [
        ("exit 0", State.STOPPED, 0, "exit code 0"),
        ("exit 3", State.FAILED, 3, "exit code 3"),
        ("kill -9 $$", State.FAILED, 137, "signal 9"),
    ],
)
async def test_exit_code_is_known(
    engine: LxdEngine, script: str, state: State, code: int, reason: str
) -> None:
    """The exit code of a process that ended by itself is told, and what it means."""
    container = await ended(engine, await engine.create_container(shell(script)))

    assert (state, code) == (container.state, container.exit)
    assert reason in container.reason


@pytest.mark.parametrize(
    ("args", "code", "reason"),
    [
        (("no-such-program",), 127, "not found along its PATH: no-such-program"),
        (("/no/such",), 127, "does not exist: /no/such"),
        (("/etc/passwd",), 126, "cannot be executed: /etc/passwd"),
    ],
)
async def test_command_that_cannot_run_says_why(
    engine: LxdEngine, args: tuple[str, ...], code: int, reason: str
) -> None:
    """A wrong command ends as in a shell, with the reason in words."""
    spec = shell("")
    spec = ContainerSpec(spec.account, spec.name, spec.key, spec.image, ProcessSpec(args))

    container = await ended(engine, await engine.create_container(spec))

    assert (State.FAILED, code, reason) == (container.state, container.exit, container.reason)


async def test_process_gets_just_its_own_surroundings(engine: LxdEngine) -> None:
    """User, group, working directory and environment are as asked for, whatever characters are in them."""
    odd = "one\ntwo 'three' \"four\" $HOME `id` \\"
    script = (
        "{ id -u; id -g; pwd; env | grep -v ^PWD= | grep -v ^SHLVL=; echo end; } >/tmp/told; exec sleep 99"
    )
    spec = shell(script, uid=4321, gid=765, cwd="/made/for me", environment={"ODD": odd, "PATH": "/bin"})

    told = await written(engine, await engine.create_container(spec), "/tmp/told")

    head = "4321\n765\n/made/for me\n"
    assert told.startswith(head)
    assert sorted(f"ODD={odd}\nPATH=/bin".split("\n")) == sorted(told[len(head) :].rstrip("\n").split("\n"))


async def test_process_may_write_to_its_standard_output(engine: LxdEngine) -> None:
    """Programs that open /dev/stdout as another user than root can."""
    spec = shell("echo seen >/dev/stdout && echo end >/tmp/told; exec sleep 99", uid=33, gid=33)

    assert await written(engine, await engine.create_container(spec), "/tmp/told") == ""


@pytest.mark.parametrize("number", [2, 3, 15])
async def test_stop_sends_the_stop_signal(engine: LxdEngine, number: int) -> None:
    """The process sees its own stop signal, and its exit code is kept."""
    script = f"trap 'exit {number}' {number}; touch /tmp/ready; while :; do sleep 0.05; done"
    container = await engine.create_container(shell(script, stop_signal=number))

    async def ready() -> bool:
        try:
            await engine.fetch_file(container.id, "/tmp/ready", 10)
        except NotFound:
            return False
        return True

    await eventually(ready, "the trap")

    stopped = await engine.stop(container.id, 10)

    assert (State.STOPPED, number, "stopped on request") == (stopped.state, stopped.exit, stopped.reason)


async def test_stop_kills_who_does_not_listen(engine: LxdEngine) -> None:
    """After the time-out the container is killed; stopped twice is no error; it can be started again."""
    container = await engine.create_container(shell("trap '' 15; while :; do sleep 1; done"))

    stopped = await engine.stop(container.id, 1)

    assert stopped.state is State.STOPPED
    assert stopped == await engine.stop(container.id, 1)
    assert (await engine.start(container.id)).state is State.RUNNING
    assert (await engine.start(container.id)).ip == container.ip


async def test_orphans_are_reaped(engine: LxdEngine, private: PrivateEngine) -> None:
    """Processes whose parents ended leave no zombies."""
    script = (
        "for n in 1 2 3; do (sleep 0.1 & ) ; done; while ps -o comm | grep -q sleep; do sleep 0.2; done;"
        "echo end >/tmp/told; exec sleep 99"
    )
    container = await engine.create_container(shell(script))

    assert await written(engine, container, "/tmp/told") == ""
    assert init_pid(private, container.id)


async def test_files_are_there_before_the_process(engine: LxdEngine, tmp_path: Path) -> None:
    """Files are written with their directories, before the start."""
    (tmp_path / "file").write_bytes(b"content\n" * 1000)
    script = "cat /deep/er/file >/tmp/told; echo end >>/tmp/told; exec sleep 99"
    container = await engine.create_container(
        shell(script, files={"/deep/er/file": FileSpec(tmp_path / "file")})
    )

    assert await written(engine, container, "/tmp/told") == "content\n" * 1000

    await engine.put_file(container.id, "/later/file", tmp_path / "file")

    assert await engine.fetch_file(container.id, "/later/file", 8000) == b"content\n" * 1000


@pytest.mark.parametrize("mode", [0, 0o400, 0o644, 0o755])
async def test_files_have_their_mode_and_belong_to_root(engine: LxdEngine, tmp_path: Path, mode: int) -> None:
    """New ones and those that replace one of the image have the permission bits asked for."""
    (tmp_path / "file").write_bytes(b"root:x:0:0::/:/bin/sh\n")
    script = "busybox stat -c '%a %u:%g %s' /new /etc/passwd >/tmp/told; echo end >>/tmp/told; exec sleep 99"
    files = {path: FileSpec(tmp_path / "file", mode) for path in ("/new", "/etc/passwd")}

    told = await written(engine, await engine.create_container(shell(script, files=files)), "/tmp/told")

    assert told == f"{mode:o} 0:0 22\n" * 2


async def test_is_unprivileged_and_limited(engine: LxdEngine, private: PrivateEngine) -> None:
    """Its root is nobody here, and the kernel holds it to its limits."""
    spec = shell("exec sleep 99", memory=64 << 20, cpus=0.5, processes=50)
    container = await engine.create_container(spec)

    config = instances(private)[container.id]["config"]
    map_of_ids = Path("/proc", str(init_pid(private, container.id)), "uid_map").read_text().split()

    assert (container.memory, container.cpus, container.processes) == (64 << 20, 0.5, 50)
    assert config["security.privileged"] == config["security.nesting"] == "false"
    assert int(map_of_ids[1]) >= 100_000


async def test_destroyed_is_gone(engine: LxdEngine) -> None:
    """A destroyed container is unknown, and to destroy it again is no error."""
    container = await engine.create_container(web())

    await engine.destroy(container.id)
    await engine.destroy(container.id)

    assert await engine.containers() == []
    with pytest.raises(NotFound, match=container.id):
        await engine.container(container.id)


async def test_what_is_missing_is_named_and_nothing_stays(engine: LxdEngine, tmp_path: Path) -> None:
    """Without its image, its volume or its file no container is made."""
    spec = shell("")
    without_image = ContainerSpec(spec.account, spec.name, spec.key, "sha256:none", spec.process)

    with pytest.raises(NotFound, match="image sha256:none"):
        await engine.create_container(without_image)
    with pytest.raises(NotFound, match="volume gone"):
        await engine.create_container(shell("", volumes=(("gone", "/data"),)))
    with pytest.raises(EngineError, match="missing: No such file"):
        await engine.create_container(shell("", files={"/x": FileSpec(tmp_path / "missing")}))

    assert await engine.containers() == []


@pytest.mark.parametrize(
    "mount", ["relative", "/", "/a/../..", "/proc/x", "/.tfd", "/x\nlxc.hook.start = /y"]
)
async def test_mount_point_must_be_one(engine: LxdEngine, mount: str) -> None:
    """A mount point that is not the container's own, or that is more than one line, is refused."""
    await engine.ensure_volume("tester", "test/mounts")

    with pytest.raises(EngineError, match="no mount point"):
        await engine.create_container(shell("", volumes=(("test/mounts", mount),)))

    assert await engine.containers() == []


async def test_unfinished_container_is_made_anew(engine: LxdEngine, private: PrivateEngine) -> None:
    """One that was being made when its maker died is replaced by the same request sent again."""
    spec = web()
    container = await engine.create_container(spec)
    _set_config(private, container.id, "user.tfd.state", "creating")
    assert (await engine.container(container.id)).state is State.CREATED

    again = await engine.create_container(spec)

    assert (container.id, State.RUNNING) == (again.id, again.state)
    assert again.created > container.created


async def test_unfinished_container_is_removed_at_open(engine: LxdEngine, private: PrivateEngine) -> None:
    """One that nobody asks for again does not stay for ever."""
    unfinished = await engine.create_container(web("unfinished"))
    other = await engine.create_container(web("other"))
    _set_config(private, unfinished.id, "user.tfd.state", "creating")
    await engine.close()

    await engine.open()

    assert [other.id] == [container.id for container in await engine.containers()]


@pytest.mark.parametrize("suddenly", [False, True])
async def test_container_that_should_run_is_started_at_open(
    engine: LxdEngine, private: PrivateEngine, suddenly: bool
) -> None:
    """After the machine went down, those that ran run again, and those that were stopped stay so."""
    fell, stopped = [await engine.create_container(web(name)) for name in ("fell", "stopped")]
    await engine.stop(stopped.id, 5)
    await engine.close()
    private.kill() if suddenly else private.stop()
    private.start()

    await engine.open()

    assert (await engine.container(fell.id)).state is State.RUNNING
    assert (await engine.container(stopped.id)).state is State.STOPPED


async def test_container_that_was_held_goes_on_at_open(engine: LxdEngine, private: PrivateEngine) -> None:
    """A tflocation that dies while it holds a container's processes leaves them frozen."""
    container = await engine.create_container(shell("until [ -e /go ]; do sleep 0.1; done; echo end >/said"))
    await engine.close()
    path = f"/1.0/instances/{container.id}/state?project={private.project}"
    assert ask(private, "PUT", path, {"action": "freeze"})["metadata"]["status"] == "Success"

    await engine.open()

    process = await engine.execute(container.id, ExecSpec(("touch", "/go")))
    assert await process.wait() == 0
    assert await written(engine, container, "/said") == ""


def _set_config(private: PrivateEngine, instance: str, key: str, value: str) -> None:
    path = f"/1.0/instances/{instance}?project={private.project}"
    ask(private, "PATCH", path, {"config": {key: value}})
