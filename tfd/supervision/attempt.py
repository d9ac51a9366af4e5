"""Bringing up one new copy of a replica on a chosen node: image, volumes, creation, in that order.

An attempt ends when its copy has taken over, or with a `failure`; the replica then decides on the next.
A step that failed for a passing reason (a lost session, a busy engine) is simply taken again, under the
same key, so a location that did create the container gives that one.
"""

from collections.abc import Iterable

from tfd.protocol.route import Route
from tfd.supervision.copies import Copy
from tfd.supervision.declared import Declared
from tfd.supervision.placement import Place
from tfd.supervision.turn import TRANSIENT, Turn
from tfd.world import BringImage, ContainerState, CreateContainer, EnsureVolume, LocationAction, StopContainer

STOP_TIMEOUT = 10.0
"""Seconds that a process has to end by itself before it is killed."""


class Attempt:
    """One try to have a new copy.

    `ref` is the copy once it is seen, `step` what is being done. `existed` says that the copy was there
    before, `stops` that others are stopped for it, `started` that it was told to start. `seen_at` is when it
    could first run, `lost_since` since when its location cannot be asked.
    """

    __slots__ = (
        "_brought",
        "created",
        "declared",
        "existed",
        "failure",
        "key",
        "lost_since",
        "place",
        "ref",
        "seen_at",
        "started",
        "step",
        "stops",
    )

    def __init__(self, declared: Declared, place: Place, key: str, ref: Route | None = None) -> None:
        self.declared = declared
        self.place = place
        self.key = key
        self.ref = ref
        self.step = ""
        self.failure = ""
        self.existed = ref is not None
        self.created = self.existed
        self.started = False
        self.stops = False
        self.seen_at: float | None = None
        self.lost_since: float | None = None
        self._brought = ref is not None

    @property
    def brings(self) -> bool:
        """Whether its image is still to come to the location, or on the way there."""
        return not self._brought

    def advance(self, turn: Turn, copies: Iterable[Copy]) -> bool:
        """Take the next step that can be taken now; True once the copy is there and may run.

        `copies` are all those of the replica.
        """
        if turn.location(self.place.location) is None:
            self.lost_since = turn.now if self.lost_since is None else self.lost_since
            self.step = f"waiting for location {self.place.location}"
            return False
        self.lost_since = None
        copies = list(copies)
        self._find(copies)
        if self.failure:
            return False
        if self.ref is None and not (self._image(turn) and self._volumes(turn)):
            return False
        if not self._make_way(turn, copies):
            return False
        if not self.created:
            # One that is seen may yet fail to be finished; the answer says why.
            self._create(turn)
        return self.ref is not None and self.created

    def owns(self, copy: Copy) -> bool:
        """Tell whether a copy is the one that this attempt made."""
        return copy.ref.location == self.place.location and copy.view.key == self.key

    def may_start(self, copy: Copy) -> bool:
        """Tell whether a copy that does not run is to be started: once, if it was there before."""
        return not self.started and (self.existed or copy.view.state is ContainerState.CREATED)

    def answered(self, action: LocationAction, code: str, message: str) -> None:
        """Take in how an action ended; `code` is empty where it succeeded."""
        if action.location != self.place.location:
            return
        match action:
            case BringImage(_, image) if image == self.declared.container.image and not self._brought:
                self._brought = not code
            case CreateContainer(key=key) if key == self.key:
                self.created = not code
            case EnsureVolume(_, volume, _) if self._uses(volume):
                pass
            case _:
                return
        if code and code not in TRANSIENT:
            self.failure = f"{_what(action)}: {message}"
        elif code:
            self.step = f"{_what(action)}: {message}; trying again"

    def _uses(self, volume: str) -> bool:
        return any(volume == name for name, _ in self.declared.volumes)

    def _find(self, copies: list[Copy]) -> None:
        """Look for the copy; one that was there and is not any more was removed."""
        found = [copy.ref for copy in copies if self.owns(copy)]
        if found:
            self.ref = found[0]
            return
        self.ref = None
        if self.created:
            self.failure = "its container is gone"

    def _image(self, turn: Turn) -> bool:
        if not self._brought:
            self._say(f"bringing image {self.declared.container.image}", turn, "image")
            turn.ask(BringImage(self.place.location, self.declared.container.image))
        return self._brought

    def _volumes(self, turn: Turn) -> bool:
        view = turn.location(self.place.location)
        missing = [name for name, _ in self.declared.volumes if view is None or name not in view.volumes]
        for name in missing:
            self._say(f"creating volume {name}", turn, "volume", name)
            turn.ask(EnsureVolume(self.place.location, name, self.place.node))
        return not missing

    def _make_way(self, turn: Turn, copies: list[Copy]) -> bool:
        """Stop the copies that use the same volumes: two never do at once."""
        ours = {name for name, _ in self.declared.volumes}
        rivals = [
            copy
            for copy in copies
            if copy.ref != self.ref
            and copy.ref.location == self.place.location
            and not ours.isdisjoint(copy.view.volumes)
        ]
        self.stops = bool(rivals)
        running = [copy for copy in rivals if copy.runs or copy.busy(turn)]
        for copy in rivals:
            copy.held_back = True
        for copy in running:
            self.step = "stopping the one before it, which holds its volumes"
            turn.ask(StopContainer(copy.ref.location, copy.ref.container, STOP_TIMEOUT))
        return not running

    def _create(self, turn: Turn) -> None:
        self._say(f"creating on {self.place}", turn, "create", self.declared.wire_name)
        view = turn.location(self.place.location)
        image = self.declared.container.image
        turn.ask(
            CreateContainer(
                location=self.place.location,
                node=self.place.node,
                name=self.declared.wire_name,
                key=self.key,
                image=view.images.get(image, image) if view else image,
                volumes=self.declared.volumes,
                container=self.declared.container,
            )
        )

    def _say(self, step: str, turn: Turn, kind: str, name: str | None = None) -> None:
        """Tell what is being done, but keep the reason of a step that waits to be taken again."""
        subject = (kind, self.place.location, name or self.declared.container.image)
        if not turn.pending.failing(subject):
            self.step = step


def _what(action: LocationAction) -> str:
    match action:
        case BringImage(_, image):
            return f"image {image}"
        case EnsureVolume(_, volume, _):
            return f"volume {volume}"
        case _:
            return "creating it"
