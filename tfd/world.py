"""The supervisor's vocabulary: what it is told of the locations, and what it asks to be done.

Nothing here does anything. A link fills one `LocationView` for its location and carries out
the actions that name it; the proxy carries out `SetRoute` and `Drain`; the log takes `Note`.
All times are seconds of one monotonic clock, all sizes are bytes. Container and volume names
are the ones on the wire, `environment/NAME/replica` and `environment/NAME`.
"""

from collections.abc import Mapping
from enum import StrEnum

from tfd.config.model import Container
from tfd.protocol.dataclass import dataclass, field
from tfd.protocol.logged import Kind
from tfd.protocol.route import Route


class ContainerState(StrEnum):
    """What the location says of a container."""

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"


class Verdict(StrEnum):
    """What the location's probe says of a container, after rise and fall were counted there."""

    UNKNOWN = "unknown"
    GOOD = "good"
    BAD = "bad"


class Level(StrEnum):
    """How much a note matters to the person who reads the log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


# What is observed


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node of a location, as `node.list` last told it; load and paging are 0..1."""

    name: str
    online: bool
    cpus: int
    load: float
    memory_total: int
    memory_free: int
    paging: float
    containers: int
    images: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HealthView:
    """The latest verdict on a container, and when it was received here."""

    verdict: Verdict
    at: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container of the account, as the location last told it; `created` is the location's Unix time."""

    id: str
    name: str
    key: str
    node: str
    image: str
    ip: str
    state: ContainerState
    exit: int | None = None
    reason: str = ""
    created: float = 0.0
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumeView:
    """One volume of the account and the node whose disk holds it."""

    name: str
    node: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class LocationView:
    """One location through its link.

    `since` is when `connected` last changed. `session` grows by one whenever a session was opened that
    does not continue the one before it. `listed` is true once nodes, containers, volumes and names of images
    were all received in the present session; until then, and while not connected, they are what was known
    before. `image_names` maps the canonical names of the images that are there to their digests, and
    `images` an image as the configuration names it once it was brought or looked up. `health` maps a
    container's id to its latest verdict; a container that is gone leaves `containers` and `health` at once.
    """

    name: str
    connected: bool
    since: float
    session: int = 0
    listed: bool = False
    round_trip: float = 0.0
    nodes: Mapping[str, NodeView] = field(default_factory=dict)
    containers: Mapping[str, ContainerView] = field(default_factory=dict)
    volumes: Mapping[str, VolumeView] = field(default_factory=dict)
    image_names: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    health: Mapping[str, HealthView] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """Every joined location by its name; the supervisor knows nothing else of what is."""

    locations: Mapping[str, LocationView]


class ReplicaState(StrEnum):
    """How a declared container fares."""

    WAITING = "waiting"
    CREATING = "creating"
    CHECKING = "checking"
    GOOD = "good"
    FAILED = "failed"
    STOPPED = "stopped"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Report:
    """What `tfd status` says of one declared container, or of one that is on its way out.

    `location`, `node`, `id` and `ip` are empty while there is none. `placement` says why it is on that
    node, `reason` why it is in this state; `since` is when it came into it.
    """

    name: str
    state: ReplicaState
    since: float
    image: str
    location: str = ""
    node: str = ""
    id: str = ""
    ip: str = ""
    restarts: int = 0
    placement: str = ""
    reason: str = ""


# What is to be done. For each action that names a location, its link answers with exactly one of
# `Supervisor.done` and `Supervisor.failed`, after its view shows the result.


@dataclass(frozen=True, slots=True)
class BringImage:
    """Make `image` known at the location; afterwards the view's `images` has its digest.

    An archive is sent if the location lacks it. A name that the location can only get from a registry
    needs nothing: it stays unknown in `images` and the location looks it up when it creates.
    """

    location: str
    image: str


@dataclass(frozen=True, slots=True)
class EnsureVolume:
    """Create a volume on the node unless it exists anywhere at the location."""

    location: str
    volume: str
    node: str | None


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """Create and start a container; the same name and key again give the one that exists.

    `image` is a digest where one is known, `volumes` are pairs of volume name and mount point, and
    `container` has the rest: command, entrypoint, environment, files and limits.
    """

    location: str
    node: str | None
    name: str
    key: str
    image: str
    volumes: tuple[tuple[str, str], ...]
    container: Container


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Start a container that exists and does not run; one that runs is left alone."""

    location: str
    id: str


@dataclass(frozen=True, slots=True)
class StopContainer:
    """Ask a container's process to end, and kill it after `timeout` seconds."""

    location: str
    id: str
    timeout: float


@dataclass(frozen=True, slots=True)
class DestroyContainer:
    """Remove a container, running or not; one that is gone already counts as removed."""

    location: str
    id: str


@dataclass(frozen=True, slots=True)
class Probe:
    """How the location asks a container whether it is good: every `interval` seconds from outside it.

    `path` None means that accepting a TCP connection is enough, otherwise an HTTP GET of it must answer
    2xx or 3xx.
    """

    port: int
    path: str | None
    interval: float
    timeout: float
    rise: int
    fall: int


@dataclass(frozen=True, slots=True)
class WatchHealth:
    """Have the location probe a container from now on, instead of by any earlier probe."""

    location: str
    id: str
    probe: Probe


@dataclass(frozen=True, slots=True)
class SetConnections:
    """The whole set of allowed connections of one environment at one location.

    Each pair is the id of the container that connects, the name it uses, and the id of the container
    it reaches.
    """

    location: str
    environment: str
    pairs: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class SetRoute:
    """Send new connections for the declared container along this route; None holds them."""

    container: str
    route: Route | None


@dataclass(frozen=True, slots=True)
class Drain:
    """Tell `Supervisor.drained` once no connection uses the route any more; none may be added to it."""

    route: Route


@dataclass(frozen=True, slots=True)
class Note:
    """One line for the log, of a kind or of a level, with fields for machines."""

    what: Kind | Level
    message: str
    fields: tuple[tuple[str, str], ...] = ()


LocationAction = (
    BringImage
    | EnsureVolume
    | CreateContainer
    | StartContainer
    | StopContainer
    | DestroyContainer
    | WatchHealth
    | SetConnections
)
Action = LocationAction | SetRoute | Drain | Note
