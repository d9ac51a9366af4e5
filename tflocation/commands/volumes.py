"""volume.*: an account's named volumes."""

from collections.abc import Mapping

from tfd.protocol.errors import Code, CommandError
from tflocation.commands.call import Body, Call, Handler, Services
from tflocation.engines.interface import VolumeInfo
from tflocation.limits import Usage, check_volumes


async def ensure(
    services: Services, account: str, name: str, node: str | None, size: int | None
) -> VolumeInfo:
    """Give the account's volume of this name, created within its limits where there is none.

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
        own = [volume for volume in await services.engine.volumes() if volume.account == account]
        existing = next((volume for volume in own if volume.name == name), None)
        if existing is not None and (size is None or size <= (existing.size or 0)):
            return existing
        wanted = size or limits.volume_size
        used = sum(volume.size or 0 for volume in own)
        check_volumes(limits, Usage(volumes=used), wanted - ((existing.size or 0) if existing else 0))
        return await services.engine.ensure_volume(account, name, node, wanted)


async def ensure_volume(services: Services, call: Call) -> Body:
    """Give the volume, created where there is none."""
    node, size = call.parameters.get("node"), call.parameters.get("size")
    if node is not None and node not in {known.name for known in await services.engine.nodes()}:
        raise CommandError(Code.NOT_FOUND, f"there is no node {node}")
    return {"volume": _record(await ensure(services, call.account, call.parameters["name"], node, size))}


async def list_volumes(services: Services, call: Call) -> Body:
    """Tell the account's volumes."""
    volumes = await services.engine.volumes()
    return {"volumes": [_record(volume) for volume in volumes if volume.account == call.account]}


async def destroy_volume(services: Services, call: Call) -> Body:
    """Destroy the volume and its data."""
    await services.engine.destroy_volume(call.account, call.parameters["name"])
    return {}


def _record(volume: VolumeInfo) -> Body:
    return {"name": volume.name, "node": volume.node, "size": volume.size, "used": volume.used}


HANDLERS: Mapping[str, Handler] = {
    "volume.ensure": ensure_volume,
    "volume.list": list_volumes,
    "volume.destroy": destroy_volume,
}
