"""volume.*: an account's volumes, declared ones and those that the SDK makes."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tfd.protocol.errors import Code, CommandError
from tflocation.commands.call import Body, Call, Handler, Services
from tflocation.engines.interface import Conflict, ContainerInfo, InUse, NotFound, VolumeInfo
from tflocation.limits import Usage, check_volumes
from tflocation.volumes import MAX_VOLUMES, SDK, Leaving, check_tag, leaving, missing, records

TRIES = 3
"""Lists of volumes asked for anew because one of them changed while the list was on its way."""


async def ensure(
    services: Services, account: str, name: str, node: str | None, size: int | None
) -> VolumeInfo:
    """Give the account's volume of this name, created within its limits where there is none.

    One that the SDK makes is never made here.

    Args:
        services: the parts of the location.
        account: the owner's name.
        name: "environment/NAME".
        node: where to create it; None leaves the choice to the engine.
        size: bytes; None means the account's default for a new one, and no change for one that exists.

    """
    limits = services.config.limits_of(account)
    # One at a time for each account, or two at once could both fit under the same limit.
    async with services.lock(f"volumes of {account}"):
        volumes, leave = await _read(services)
        if (account, name) in leave:
            raise _leaves(name)
        own = [volume for volume in volumes if volume.account == account]
        existing = next((volume for volume in own if volume.name == name), None)
        if existing is None and name.startswith(SDK):
            raise missing(name)
        if existing is not None and (size is None or size <= (existing.size or 0)):
            return existing
        wanted = size or limits.volume_size
        _check_room(services, account, own, wanted, existing)
        volume = await services.engine.ensure_volume(account, name, node, wanted)
        _tell(services, own, volume)
        return volume


async def visible(services: Services) -> list[VolumeInfo]:
    """Give the volumes of all accounts but those that leave."""
    volumes, leave = await _read(services)
    return [volume for volume in volumes if (volume.account, volume.name) not in leave]


async def refresh(services: Services) -> None:
    """Ask the engine for all volumes, and tell the watchers what changed. Raises EngineError."""
    for _ in range(TRIES):
        asked_at = services.watching.stamp
        by_account: dict[str, list[VolumeInfo]] = {}
        for volume in await visible(services):
            by_account.setdefault(volume.account, []).append(_with_users(services, volume))
        fresh = {account: records(own) for account, own in by_account.items()}
        told = services.watching.take_volumes(fresh, asked_at)
        if told is not None:
            services.announce(told)
            return


def use(services: Services, containers: Iterable[ContainerInfo]) -> None:
    """Tell the watchers of the volumes that these containers have, or had."""
    for account, name in {(each.account, volume) for each in containers for volume in each.volumes}:
        users = sorted(user.id for user in services.inventory.users(account, name))
        services.announce(services.watching.use_volume(account, name, users))


async def free(services: Services) -> None:
    """Destroy the volumes that leave and that nobody has any more. Raises EngineError.

    One that somebody else than its holder has got meanwhile stays, and is the account's again.
    """
    for leave in leaving(await services.engine.load_memory()).values():
        async with services.lock(f"volumes of {leave.account}"):
            await _free(services, leave)


async def ensure_volume(services: Services, call: Call) -> Body:
    """Give the volume, created where there is none."""
    node = await _node(services, call)
    name = call.parameters["name"]
    volume = await ensure(services, call.account, name, node, call.parameters.get("size"))
    return {"volume": await _record(services, volume)}


async def create_volume(services: Services, call: Call) -> Body:
    """Create a volume of the SDK; the same key again gives the existing one, as it is."""
    parameters, account = call.parameters, call.account
    node = await _node(services, call)
    name, tag = SDK + parameters["key"], parameters.get("tag")
    async with services.lock(f"volumes of {account}"):
        volumes, leave = await _read(services)
        if (account, name) in leave:
            raise _leaves(name)
        own = [volume for volume in volumes if volume.account == account]
        if not any(volume.name == name for volume in own):
            if tag is not None:
                check_tag(tag, own)
            wanted = parameters.get("size") or services.config.limits_of(account).volume_size
            _check_room(services, account, own, wanted, None)
            volume = await services.engine.create_volume(
                account,
                name,
                node=node,
                size=wanted,
                tag=tag,
                synchronous=parameters.get("synchronous", False),
            )
            return {"volume": _tell(services, own, volume)}
    return {"volume": _pick(services, own, name)}


async def list_volumes(services: Services, call: Call) -> Body:
    """Tell the account's volumes."""
    return {"volumes": records(await _own(services, call.account))}


async def snapshot_volume(services: Services, call: Call) -> Body:
    """Set the volume's point."""
    name = call.parameters["name"]
    own = await _own(services, call.account, name)
    async with services.lock(f"volume {call.account}/{name}"):
        return {"volume": _tell(services, own, await services.engine.snapshot_volume(call.account, name))}


async def rollback_volume(services: Services, call: Call) -> Body:
    """Take the volume back to its point."""
    name = call.parameters["name"]
    own = await _own(services, call.account, name)
    async with services.lock(f"volume {call.account}/{name}"):
        return {"volume": _tell(services, own, await services.engine.rollback_volume(call.account, name))}


async def destroy_volume(services: Services, call: Call) -> Body:
    """Destroy the volume and its data, at once or when the session's last container has let go of it."""
    account, name = call.account, call.parameters["name"]
    await _own(services, account, name)
    if call.parameters.get("when_free"):
        holder = call.client.holder
        async with services.lock(f"volumes of {account}"):
            if others := _others(services, account, name, holder):
                raise _busy(name, others)
            if services.inventory.users(account, name):
                leave = Leaving(account, name, holder)
                await services.engine.save_memory({leave.key: leave.value})
                services.announce(services.watching.drop_volume(account, name))
                return {}
    try:
        await services.engine.destroy_volume(account, name)
    except NotFound as error:
        raise missing(name) from error
    except InUse as error:
        users = services.inventory.users(account, name)
        raise (_busy(name, users) if users else error) from error
    services.announce(services.watching.drop_volume(account, name))
    return {}


async def _free(services: Services, leave: Leaving) -> None:
    account, name = leave.account, leave.name
    if _others(services, account, name, leave.holder):
        await _forget(services, leave)
        await refresh(services)
        return
    if services.inventory.users(account, name):
        return
    try:
        await services.engine.destroy_volume(account, name)
    except NotFound:
        pass
    except InUse:
        return
    await _forget(services, leave)


async def _forget(services: Services, leave: Leaving) -> None:
    try:
        await services.engine.save_memory({leave.key: None}, expect={leave.key: leave.value})
    except Conflict:
        return  # it has another holder now, and is looked at again


async def _read(services: Services) -> tuple[list[VolumeInfo], Mapping[tuple[str, str], Leaving]]:
    return await services.engine.volumes(), leaving(await services.engine.load_memory())


async def _own(services: Services, account: str, name: str | None = None) -> list[VolumeInfo]:
    """Give the account's volumes. Raises CommandError not-found where one of this name is not among them."""
    own = [_with_users(services, each) for each in await visible(services) if each.account == account]
    if name is not None and all(volume.name != name for volume in own):
        raise missing(name)
    return own


async def _node(services: Services, call: Call) -> str | None:
    node: str | None = call.parameters.get("node")
    if node is not None and node not in {known.name for known in await services.engine.nodes()}:
        raise CommandError(Code.NOT_FOUND, f"there is no node {node}")
    return node


async def _record(services: Services, volume: VolumeInfo) -> Body:
    own = [each for each in await _own(services, volume.account) if each.name != volume.name]
    return _pick(services, [*own, volume], volume.name)


def _tell(services: Services, own: Iterable[VolumeInfo], volume: VolumeInfo) -> Body:
    """Tell the watchers of a volume as the engine gave it just now; gives its record."""
    others = [each for each in own if each.name != volume.name]
    record = _pick(services, [*others, volume], volume.name)
    services.announce(services.watching.take_volume(volume.account, record))
    return record


def _pick(services: Services, own: Iterable[VolumeInfo], name: str) -> dict[str, Any]:
    """Give the record of one of an account's volumes; whether its tag is its own depends on the others."""
    own = [_with_users(services, volume) for volume in own]
    return next(record for record in records(own) if record["name"] == name)


def _with_users(services: Services, volume: VolumeInfo) -> VolumeInfo:
    users = services.inventory.users(volume.account, volume.name)
    return replace(volume, users=tuple(user.id for user in users))


def _check_room(
    services: Services, account: str, own: list[VolumeInfo], wanted: int, existing: VolumeInfo | None
) -> None:
    limits = services.config.limits_of(account)
    if existing is None and len(own) >= MAX_VOLUMES:
        raise CommandError(Code.LIMIT, f"volumes: the account's limit is {MAX_VOLUMES}, and all exist")
    used = sum(volume.size or 0 for volume in own)
    check_volumes(limits, Usage(volumes=used), wanted - ((existing.size or 0) if existing else 0))


def _others(services: Services, account: str, name: str, holder: str) -> list[ContainerInfo]:
    users = services.inventory.users(account, name)
    return [user for user in users if not holder or user.holder != holder]


def _busy(name: str, users: Iterable[ContainerInfo]) -> CommandError:
    ids = ", ".join(sorted(user.id for user in users))
    return CommandError(Code.BUSY, f"volume {name} is mounted in {ids}: destroy that first")


def _leaves(name: str) -> CommandError:
    return CommandError(Code.BUSY, f"volume {name} is being destroyed: it goes when its last container ends")


HANDLERS: Mapping[str, Handler] = {
    "volume.ensure": ensure_volume,
    "volume.create": create_volume,
    "volume.list": list_volumes,
    "volume.snapshot": snapshot_volume,
    "volume.rollback": rollback_volume,
    "volume.destroy": destroy_volume,
}
