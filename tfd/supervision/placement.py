"""The best node for one new container, and why: an ordered tuple, compared from left to right.

There are no weights to tune, and nothing here moves what runs: it is asked only when a container
has to be created. The answer can be printed in one line, which is what `Placement.reason` is.
"""

from collections.abc import Callable, Iterator, Mapping
from zlib import crc32

from tfd.protocol.dataclass import dataclass
from tfd.protocol.image_name import canonical
from tfd.world import LocationView, NodeView, World

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """One node of one location."""

    location: str
    node: str

    def __str__(self) -> str:
        return f"{self.node} at {self.location}"


@dataclass(frozen=True, slots=True)
class Request:
    """What a container needs of its node.

    `memory` is its limit in bytes. `locations` are those allowed, empty for all. `volumes` are names on the
    wire, and `homes` says where volumes lie that no location has listed yet because they are being created.
    """

    name: str
    image: str
    memory: int | None = None
    locations: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    homes: Mapping[str, Place] | None = None


@dataclass(frozen=True, slots=True, order=True)
class Rank:
    """How good a node is for a container; the least is the best."""

    failures: int
    copies: int
    load: float
    image_absent: bool
    round_trip_ms: int
    tie: int

    def __str__(self) -> str:
        image = "absent" if self.image_absent else "present"
        return (
            f"{self.failures} failures in 5 min, {self.copies} copies, load {self.load:.1f}, "
            f"image {image}, round trip {self.round_trip_ms} ms"
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where to create a container, and the rank that it had among so many nodes."""

    place: Place
    rank: Rank
    among: int

    @property
    def reason(self) -> str:
        """One line for the log and for `tfd status`."""
        return f"best of {self.among}: {self.rank}" if self.among > 1 else f"the only node: {self.rank}"


@dataclass(frozen=True, slots=True)
class NoPlace:
    """No node will do for now. `waiting` says that a location may still bring one when it is reached."""

    reason: str
    waiting: bool


def best_node(
    request: Request,
    world: World,
    failures: Callable[[Place], int],
    copies: Callable[[Place], int],
) -> Placement | NoPlace:
    """Choose the node for a container.

    `failures` counts how often this container failed on a node in the last 5 minutes, `copies` how many of
    its copies are to stay there.
    """
    volumes = _volumes_home(request, world)
    if isinstance(volumes, NoPlace):
        return volumes
    if isinstance(volumes, Place):
        missing = _unusable_home(request, volumes, world)
        if missing:
            return missing
    ranked: list[tuple[Rank, Place]] = []
    refusals: list[str] = []
    for view, node in _nodes(request, world):
        place = Place(view.name, node.name)
        if isinstance(volumes, Place) and place != volumes:
            continue
        refusal = _refusal(request, node, place)
        if refusal:
            refusals.append(refusal)
        else:
            ranked.append((_rank(request, view, node, failures(place), copies(place)), place))
    if not ranked:
        return _nowhere(request, world, refusals)
    rank, place = min(ranked, key=lambda entry: entry[0])
    return Placement(place, rank, len(ranked))


def allowed_locations(locations: tuple[str, ...], world: World) -> list[LocationView]:
    """Give the joined locations that a container may use, in the order of their names."""
    return [world.locations[name] for name in sorted(locations or world.locations) if name in world.locations]


def load_of(node: NodeView) -> float:
    """How busy a node is, 0..1 and rounded to a tenth: the busiest of processor, memory and paging."""
    memory = 1 - node.memory_free / node.memory_total if node.memory_total else 0.0
    return round(min(max(node.load, memory, node.paging, 0.0), 1.0), 1)


def _nodes(request: Request, world: World) -> Iterator[tuple[LocationView, NodeView]]:
    for view in allowed_locations(request.locations, world):
        if view.connected and view.listed:
            for node in view.nodes.values():
                yield view, node


def _refusal(request: Request, node: NodeView, place: Place) -> str:
    if not node.online:
        return f"{place} is offline"
    if request.memory is not None and node.memory_free < request.memory:
        free, limit = node.memory_free // MEBIBYTE, request.memory // MEBIBYTE
        return f"{place} has {free} MiB of memory free of the {limit} MiB that are its limit"
    return ""


def _rank(request: Request, view: LocationView, node: NodeView, failures: int, copies: int) -> Rank:
    named = view.image_names.get(canonical(request.image), request.image)
    digest = view.images.get(request.image, named)
    return Rank(
        failures=failures,
        copies=copies,
        load=load_of(node),
        image_absent=digest not in node.images,
        round_trip_ms=round(view.round_trip * 1000),
        tie=crc32(f"{request.name}\0{view.name}\0{node.name}".encode()),
    )


def _volumes_home(request: Request, world: World) -> Place | NoPlace | None:
    """Where the volumes lie, None where the container has none or they are still to be created."""
    homes: set[Place] = set()
    missing: list[str] = []
    for volume in request.volumes:
        found = _homes(request, volume, world)
        if found:
            homes |= found
        else:
            missing.append(volume)
    if len(homes) > 1:
        allowed = {place for place in homes if not request.locations or place.location in request.locations}
        homes = allowed or homes
    if len(homes) > 1:
        where = ", ".join(sorted(f"{place}" for place in homes))
        return NoPlace(f"its volumes lie on different nodes: {where}", waiting=False)
    if homes:
        return homes.pop()
    for volume in missing:
        for view in allowed_locations(request.locations, world):
            if not view.listed and not view.nodes:
                return NoPlace(
                    f"waiting for location {view.name}, which may hold volume {volume}", waiting=True
                )
    return None


def _homes(request: Request, volume: str, world: World) -> set[Place]:
    found = {
        Place(view.name, view.volumes[volume].node)
        for view in world.locations.values()
        if volume in view.volumes
    }
    if not found and request.homes and volume in request.homes:
        found = {request.homes[volume]}
    return found


def _unusable_home(request: Request, home: Place, world: World) -> NoPlace | None:
    names = ", ".join(request.volumes)
    if request.locations and home.location not in request.locations:
        return NoPlace(
            f"volume {names} lies at location {home.location}, which `location` does not allow", waiting=False
        )
    view = world.locations.get(home.location)
    if view is None or not (view.connected and view.listed):
        return NoPlace(f"waiting for location {home.location}, which holds volume {names}", waiting=True)
    node = view.nodes.get(home.node)
    if node is None:
        return NoPlace(f"volume {names} lies on node {home}, which is no longer part of it", waiting=False)
    if not node.online:
        return NoPlace(f"volume {names} lies on node {home}, which is offline", waiting=False)
    return None


def _nowhere(request: Request, world: World, refusals: list[str]) -> NoPlace:
    unknown = sorted(set(request.locations) - set(world.locations))
    silent = [
        view.name
        for view in allowed_locations(request.locations, world)
        if not (view.connected and view.listed)
    ]
    if not world.locations:
        return NoPlace("no location is joined: see `tfd join`", waiting=True)
    if silent:
        return NoPlace(f"waiting for location {', '.join(silent)}", waiting=True)
    if refusals:
        return NoPlace("; ".join(refusals), waiting=False)
    if unknown:
        return NoPlace(f"location {', '.join(unknown)} is not joined: see `tfd join`", waiting=False)
    return NoPlace("no location has a node", waiting=False)
