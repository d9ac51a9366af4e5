"""Keys, volumes, connections and watchers as clients see them, on an engine in memory."""

import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.heap import HOLE, leave_hole, resident
from tests.support.location import DIGEST, MemoryLocation
from tests.support.memory_engine import MemoryEngine
from tests.support.waiting import wait_for
from tfd.protocol.errors import Code, CommandError
from tflocation.engines.interface import ContainerInfo, ContainerSpec, ProcessSpec
from tflocation.limits import Limits
from tflocation.service import TIDY

LIMIT = 10.0
ONE, TWO = "2" * 21 + "A", "2" * 21 + "B"


def refused(client: Client, command: str, **parameters: Any) -> CommandError:
    """Give the error that a command ends with."""
    with pytest.raises(CommandError) as caught:
        client.call(command, **parameters)
    return caught.value


def run(
    location: MemoryLocation, account: str, name: str, holder: str = "", volumes: tuple[str, ...] = ()
) -> ContainerInfo:
    """Let the engine have a container, as if it had been created by a session of this id."""
    mounts = tuple((volume, f"/mnt/{number}") for number, volume in enumerate(volumes))
    spec = ContainerSpec(account, name, "k", DIGEST, ProcessSpec(("true",)), volumes=mounts, holder=holder)
    made: ContainerInfo = location.do(location.engine.create_container(spec))
    return made


def known(client: Client, container: ContainerInfo) -> None:
    """Wait until the service knows a container."""
    client.until(
        lambda: container.id in {each["id"] for each in client.call("container.list")["containers"]},
        LIMIT,
        "the container to be known",
    )


def holder_of(client: Client) -> str:
    """Give the session's id as the engine keeps it."""
    return client.session_id.hex()


def volume_names(client: Client) -> list[str]:
    """Give the names of the volumes that a client sees."""
    return sorted(volume["name"] for volume in client.call("volume.list")["volumes"])


class TestKeys:
    """The key-value store of an account."""

    def test_types_are_kept_and_other_keys_stay(self, location: MemoryLocation) -> None:
        """What was set comes back as it was, for every session of the account."""
        with location.member("alice") as client, location.client(client.pair) as other:
            values = {"b": b"\x00\xff", "s": "schön", "i": -(2**63), "f": 1.0, "t": True, "/a b": ""}
            assert client.call("keys.set", changes=values) == {}
            client.call("keys.set", changes={"i": None, "new": 0})
            expected = {key: value for key, value in values.items() if key != "i"} | {"new": 0}
            found = other.open().call("keys.get")["values"]
            assert found == expected
            assert [type(found[key]) for key in "sft"] == [str, float, bool]

    def test_all_or_nothing(self, location: MemoryLocation) -> None:
        """A wrong expectation or a limit leaves every key as it was."""
        with location.member("alice") as client:
            client.call("keys.set", changes={"a": 1})
            assert refused(client, "keys.set", changes={"b": 2}, expect={"a": 2}).code == Code.BUSY
            full = {f"k{number}": b"x" * 65536 for number in range(5)}
            assert refused(client, "keys.set", changes=full | {"a": 9}).code == Code.LIMIT
            wrong = refused(client, "keys.set", changes={"a": 3, "b": [1]})
            assert wrong.code == Code.BAD_PARAMETER
            assert client.call("keys.get") == {"values": {"a": 1}}
            client.call("keys.set", changes={"b": 2}, expect={"a": 1, "b": None})

    def test_they_survive_a_restart(self, tmp_path: Path) -> None:
        """The engine keeps them."""
        engine = MemoryEngine()
        with MemoryLocation(tmp_path, engine) as first, first.member("alice") as client:
            client.call("keys.set", changes={"a": b"1"})
            pair = client.pair
        with MemoryLocation(tmp_path, engine) as second, second.client(pair) as client:
            assert client.open().call("keys.get") == {"values": {"a": b"1"}}

    def test_watchers_of_the_account_are_told(self, location: MemoryLocation) -> None:
        """By each session, and when another program wrote; nobody else is told."""
        with (
            location.member("alice") as client,
            location.client(client.pair) as other,
            location.member("bob") as stranger,
        ):
            assert stranger.call("location.watch")["keys"] == {}
            other.open().call("location.watch")
            client.call("keys.set", changes={"a": 1})
            assert other.wait_event("keys.changed") == {"changes": {"a": 1}}
            location.do(location.engine.save_memory({"keys.alice/0000": '{"a":1,"c":2}'}))
            assert other.wait_event("keys.changed") == {"changes": {"c": 2}}
            assert client.events == []
            stranger.call("keys.get")
            assert [event.name for event in stranger.events] == []


class TestVolumes:
    """Volumes that the SDK makes, beside declared ones."""

    def test_created_once_for_each_key(self, location: MemoryLocation) -> None:
        """The same key gives the volume that exists; a tag is one volume's."""
        with location.member("alice") as client, location.member("bob") as other:
            made = client.call("volume.create", key=ONE, tag="db", size=1 << 30, synchronous=True)["volume"]
            assert made == {
                "name": f"sdk/{ONE}",
                "uuid": ONE,
                "tag": "db",
                "node": "one",
                "size": 1 << 30,
                "used": 0,
                "users": [],
                "synchronous": True,
            }
            assert client.call("volume.create", key=ONE, tag="other")["volume"] == made
            assert refused(client, "volume.create", key=TWO, tag="db").code == Code.EXISTS
            client.call("volume.ensure", name="Prod/data")
            assert refused(client, "volume.create", key=TWO, tag="prod/data").code == Code.EXISTS
            assert other.call("volume.create", key=ONE, tag="db")["volume"]["uuid"] == ONE
            assert volume_names(client) == ["Prod/data", f"sdk/{ONE}"]
            assert volume_names(other) == [f"sdk/{ONE}"]

    def test_limits_and_unknown_nodes(self, tmp_path: Path) -> None:
        """Nothing stays of what was refused; a mistyped SDK volume is not made by mounting it."""
        with (
            MemoryLocation(tmp_path, limits=Limits(volumes=3 << 30)) as location,
            location.member("alice") as client,
        ):
            client.call("volume.create", key=ONE, size=2 << 30)
            assert refused(client, "volume.create", key=TWO, size=2 << 30).code == Code.LIMIT
            assert refused(client, "volume.create", key=TWO, node="three").code == Code.NOT_FOUND
            assert refused(client, "volume.ensure", name=f"sdk/{TWO}").code == Code.NOT_FOUND
            assert volume_names(client) == [f"sdk/{ONE}"]

    def test_what_is_not_ones_own_does_not_exist(self, location: MemoryLocation) -> None:
        """Another account's volume and none give the same words."""
        with location.member("alice") as client, location.member("bob") as other:
            client.call("volume.create", key=ONE)
            for command in ("volume.snapshot", "volume.rollback", "volume.destroy"):
                errors = [refused(other, command, name=f"sdk/{key}") for key in (ONE, TWO)]
                assert {error.code for error in errors} == {Code.NOT_FOUND}
                assert len({error.message.replace(ONE, "").replace(TWO, "") for error in errors}) == 1
                client.call(command, name=f"sdk/{ONE}")

    def test_watchers_are_told(self, location: MemoryLocation) -> None:
        """Of a new volume, of who uses it, and of its end."""
        with location.member("alice") as client, location.client(client.pair) as other:
            client.call("volume.create", key=ONE)
            assert [v["uuid"] for v in other.open().call("location.watch")["volumes"]] == [ONE]
            client.call("volume.create", key=TWO)
            assert other.wait_event("volume.changed")["volume"]["uuid"] == TWO
            user = run(location, "alice", "sdk/x/0", volumes=(f"sdk/{TWO}",))
            assert other.wait_event("volume.changed")["volume"]["users"] == [user.id]
            location.do(location.engine.destroy(user.id))
            assert other.wait_event("volume.changed")["volume"]["users"] == []
            client.call("volume.destroy", name=f"sdk/{TWO}")
            assert other.wait_event("volume.gone") == {"name": f"sdk/{TWO}", "uuid": TWO}


class TestWhenFree:
    """Volumes that are destroyed once nobody has them."""

    NAME = f"sdk/{ONE}"

    def _used(self, location: MemoryLocation, client: Client) -> ContainerInfo:
        client.call("volume.create", key=ONE)
        user = run(location, "alice", "sdk/x/0", holder_of(client), (self.NAME,))
        known(client, user)
        return user

    def _exists(self, location: MemoryLocation) -> bool:
        return bool(location.do(location.engine.volumes()))

    def test_it_leaves_at_once_and_goes_with_its_container(self, location: MemoryLocation) -> None:
        """Meanwhile nobody sees it, mounts it or makes it anew."""
        with location.member("alice") as client:
            user = self._used(location, client)
            assert refused(client, "volume.destroy", name=self.NAME).code == Code.BUSY
            client.call("location.watch")
            client.call("volume.destroy", name=self.NAME, when_free=True)
            assert client.wait_event("volume.gone")["uuid"] == ONE
            assert volume_names(client) == []
            assert self._exists(location)
            assert refused(client, "volume.create", key=ONE).code == Code.BUSY
            assert refused(client, "volume.ensure", name=self.NAME).code == Code.BUSY
            gone = refused(client, "volume.destroy", name=self.NAME, when_free=True)
            assert gone.code == Code.NOT_FOUND
            location.do(location.engine.destroy(user.id))
            wait_for(lambda: not self._exists(location), LIMIT, "the volume to be destroyed")
            wait_for(
                lambda: not [key for key in location.do(location.engine.load_memory()) if "leaving" in key],
                LIMIT,
                "nothing to be left of it",
            )
            assert client.call("volume.create", key=ONE)["volume"]["uuid"] == ONE

    def test_a_free_one_goes_at_once(self, location: MemoryLocation) -> None:
        """There is nothing to wait for."""
        with location.member("alice") as client:
            client.call("volume.create", key=ONE)
            client.call("volume.destroy", name=self.NAME, when_free=True)
            assert not self._exists(location)

    def test_it_is_refused_while_another_session_has_it(self, location: MemoryLocation) -> None:
        """A container of another session, or a declared one."""
        with location.member("alice") as client:
            client.call("volume.create", key=ONE)
            for holder in (secrets.token_hex(16), ""):
                other = run(location, "alice", f"sdk/x{holder}/0", holder, (self.NAME,))
                known(client, other)
                error = refused(client, "volume.destroy", name=self.NAME, when_free=True)
                assert error.code == Code.BUSY
                assert other.id in error.message
                location.do(location.engine.destroy(other.id))
                client.until(
                    lambda: not client.call("container.list")["containers"], LIMIT, "the container's end"
                )
            assert volume_names(client) == [self.NAME]

    def test_a_restart_forgets_none(self, tmp_path: Path) -> None:
        """The container ended while no service ran: the next one destroys the volume."""
        engine = MemoryEngine()
        with MemoryLocation(tmp_path, engine) as first, first.member("alice") as client:
            user = self._used(first, client)
            client.call("volume.destroy", name=self.NAME, when_free=True)
            first.do(engine.save_memory({"unrelated": "x"}))
        engine.remove(user.id)
        with MemoryLocation(tmp_path, engine) as second:
            wait_for(lambda: not self._exists(second), LIMIT, "the volume to be destroyed")

    def test_one_that_somebody_else_got_meanwhile_stays(self, tmp_path: Path) -> None:
        """A container of another session had it when the service came back: it is in the lists again."""
        engine = MemoryEngine()
        with MemoryLocation(tmp_path, engine) as first, first.member("alice") as client:
            user = self._used(first, client)
            client.call("volume.destroy", name=self.NAME, when_free=True)
            pair = client.pair
        engine.remove(user.id)
        with MemoryLocation(tmp_path / "other") as unrelated:
            spec = ContainerSpec(
                "alice", "prod/x/0", "k", DIGEST, ProcessSpec(("true",)), volumes=((self.NAME, "/mnt"),)
            )
            unrelated.do(engine.create_container(spec))
        with MemoryLocation(tmp_path, engine) as second, second.client(pair) as client:
            client.open()
            client.until(lambda: volume_names(client) == [self.NAME], LIMIT, "the volume to be back")
            assert self._exists(second)


class TestConnections:
    """Single pairs beside declared sets."""

    def test_single_pairs_and_sets_side_by_side(self, location: MemoryLocation) -> None:
        """Each opens and closes its own alone; a pair may join a declared and an SDK container."""
        with location.member("alice") as client:
            a, b = (run(location, "alice", f"prod/{name}/0") for name in "ab")
            sdk = run(location, "alice", f"sdk/{ONE}/0", "ab" * 16)
            for container in (a, b, sdk):
                known(client, container)
            client.call("connections.set", environment="prod", pairs=[[a.id, "b", b.id]])
            for _ in range(2):
                client.call("connection.allow", LIMIT, **{"from": sdk.id, "to": a.id})
                client.call("connection.allow", LIMIT, **{"from": a.id, "to": b.id})
            assert location.engine.allowed == {(a.id, b.id), (sdk.id, a.id)}
            client.call("connection.disallow", LIMIT, **{"from": a.id, "to": b.id})
            assert location.engine.allowed == {(a.id, b.id), (sdk.id, a.id)}
            assert location.engine.hosts == {a.id: {"b": b.ip}}
            client.call("connections.set", environment="prod", pairs=[])
            assert location.engine.allowed == {(sdk.id, a.id)}
            for _ in range(2):
                client.call("connection.disallow", LIMIT, **{"from": sdk.id, "to": a.id})
            assert location.engine.allowed == set()

    def test_a_restart_opens_them_again_and_an_end_forgets_them(self, tmp_path: Path) -> None:
        """A pair lives as long as both its containers."""
        engine = MemoryEngine()
        with MemoryLocation(tmp_path, engine) as first, first.member("alice") as client:
            a, b = (run(first, "alice", f"prod/{name}/0") for name in "ab")
            known(client, a)
            known(client, b)
            client.call("connection.allow", LIMIT, **{"from": a.id, "to": b.id})
        engine.allowed = set()
        with MemoryLocation(tmp_path, engine) as second:
            wait_for(lambda: engine.allowed == {(a.id, b.id)}, LIMIT, "the way to be open again")
            second.do(engine.destroy(b.id))
            wait_for(
                lambda: not [key for key in second.do(engine.load_memory()) if key.startswith("allowed.")],
                LIMIT,
                "the pair to be forgotten",
            )


class TestWatch:
    """location.watch: all at once, then each change."""

    def test_everything_is_told_at_once(self, location: MemoryLocation) -> None:
        """Nodes with what they have to spare, and what the account owns."""
        with location.member("alice") as client:
            run(location, "alice", "prod/a/0")
            run(location, "bob", "prod/b/0")
            client.call("keys.set", changes={"a": 1})
            client.call("volume.create", key=ONE)
            told = client.call("location.watch")
            assert {name: type(told[name]) for name in told} == {
                "nodes": list,
                "volumes": list,
                "containers": list,
                "keys": dict,
                "domains": list,
                "web": bool,
                "lease": float,
            }
            assert [each["name"] for each in told["containers"]] == ["prod/a/0"]
            assert told["nodes"][0] == {
                "name": "one",
                "online": True,
                "cpus": 4,
                "load": 0.0,
                "memory_total": 1 << 34,
                "memory_free": 1 << 33,
                "paging": 0.0,
                "containers": 0,
                "idle": 4.0,
                "swapping": 0,
                "start_time": 0.0,
            }
            assert told["keys"] == {"a": 1}
            assert client.call("node.list")["nodes"][0] == told["nodes"][0] | {"images": [DIGEST]}

    def test_nodes_that_come_and_go(self, location: MemoryLocation) -> None:
        """Within some seconds, by themselves."""
        with location.member("alice") as client:
            client.call("location.watch")
            location.engine.node_names = ["two", "three"]
            assert client.wait_event("node.gone") == {"name": "one"}
            assert client.wait_event("node.changed")["node"]["name"] == "three"

    def test_who_does_not_watch_is_told_nothing_new(self, location: MemoryLocation) -> None:
        """A client of the first protocol sees the events that it knows."""
        with location.member("alice") as client, location.client(client.pair) as other:
            other.open().call("volume.create", key=ONE)
            other.call("keys.set", changes={"a": 1})
            client.call("volume.list")
            assert client.events == []

    def test_a_domain_that_the_account_claimed(self, location: MemoryLocation) -> None:
        """Watchers learn of it whoever wrote it into the engine's memory."""
        with location.member("alice") as client, location.member("bob") as other:
            client.call("location.watch")
            other.call("location.watch")
            entry = '{"account": "alice", "shared": false}'
            location.do(location.engine.save_memory({"domain.example.net": entry}))
            assert client.wait_event("domains.changed")["domains"] == [
                {"name": "example.net", "shared": False, "own": True}
            ]
            other.call("keys.get")
            assert other.events == []


class TestImages:
    """image.describe."""

    def test_an_image_without_its_config(self, location: MemoryLocation) -> None:
        """What an older release published has none, which is said; what is not here is not found."""
        with location.member("alice") as client:
            assert "bring it again" in refused(client, "image.describe", image=DIGEST).message
            assert refused(client, "image.describe", image="nothing").code == Code.NOT_FOUND


@pytest.mark.usefixtures("location")
def test_a_location_gives_free_memory_back() -> None:
    """What lost sessions and large messages have left in the heap does not stay in memory."""
    full = leave_hole()

    wait_for(lambda: resident() < full - HOLE // 2, TIDY + LIMIT, "the heap's free pages to go")
