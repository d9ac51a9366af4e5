"""One decision: what is observed, what is asked for, and when to decide again.

`Pending` outlives the decision. It keeps the answer to two questions: was this asked for already, and
is it too early to ask again after it failed.
"""

from tfd.protocol.backoff import Backoff
from tfd.protocol.dataclass import dataclass
from tfd.protocol.logged import Kind
from tfd.world import (
    Action,
    BringImage,
    CreateContainer,
    EnsureVolume,
    Level,
    LocationAction,
    LocationView,
    Note,
    SetConnections,
    StopContainer,
    WatchHealth,
    World,
)

Subject = tuple[str, ...]

PATIENCE: dict[type[LocationAction], float] = {
    BringImage: 3600.0,  # gigabytes over a home line
    CreateContainer: 2400.0,  # the location may have to pull the image first
    EnsureVolume: 60.0,
    WatchHealth: 15.0,
    SetConnections: 30.0,
}
"""Seconds after which an action that nobody answered counts as failed, where not `OTHER_PATIENCE`."""
OTHER_PATIENCE = 60.0

TRANSIENT = frozenset({"unavailable", "busy", "time-out", "lost"})
"""Codes of failures that say nothing of the container: the same step is tried again."""


def subject_of(action: LocationAction) -> Subject:
    """Name what an action works on: of two on the same subject, the second waits for the first."""
    match action:
        case BringImage(location, image):
            return ("image", location, image)
        case EnsureVolume(location, volume, _):
            return ("volume", location, volume)
        case CreateContainer(location=location, name=name):
            return ("create", location, name)
        case WatchHealth(location, container):
            return ("watch", location, container)
        case SetConnections(location):
            return ("connections", location)
        case _:
            return ("container", action.location, action.id)


@dataclass(frozen=True, slots=True)
class Asked:
    """An action that was handed out, the session that it belongs to, and when to give it up."""

    action: LocationAction
    session: int
    expires: float


class Pending:
    """The actions that were handed out and not answered yet, and the subjects that wait after a failure."""

    __slots__ = ("_asked", "_failures")

    def __init__(self) -> None:
        self._asked: dict[Subject, Asked] = {}
        self._failures: dict[Subject, Backoff] = {}

    def begin(self, action: LocationAction, session: int, now: float) -> None:
        """Note that an action is handed out."""
        patience = PATIENCE.get(type(action), OTHER_PATIENCE)
        if isinstance(action, StopContainer):
            patience += action.timeout
        self._asked[subject_of(action)] = Asked(action, session, now + patience)

    def busy(self, subject: Subject) -> bool:
        """Tell whether something is being done to the subject."""
        return subject in self._asked

    def creating(self, location: str, name: str) -> str:
        """Give the key of the container of this name that is being created there, empty where none is."""
        asked = self._asked.get(("create", location, name))
        return asked.action.key if asked is not None and isinstance(asked.action, CreateContainer) else ""

    def wait(self, subject: Subject, now: float) -> float | None:
        """Give the time to wait for before the subject may be worked on, None for no wait."""
        asked = self._asked.get(subject)
        if asked is not None:
            return asked.expires
        failure = self._failures.get(subject)
        return failure.until if failure is not None and failure.until > now else None

    def done(self, action: LocationAction) -> bool:
        """Note that an action succeeded; False where nobody waits for it any more."""
        subject = subject_of(action)
        if not self._forget(action):
            return False
        self._failures.pop(subject, None)
        return True

    def failed(self, action: LocationAction, code: str, now: float) -> bool:
        """Note that an action failed and hold its subject back; False where nobody waits for it any more.

        A creation that was refused for good is not held back here: its replica decides when to try again,
        and a changed declaration need not wait.
        """
        subject = subject_of(action)
        if not self._forget(action):
            return False
        if code not in TRANSIENT and isinstance(action, BringImage | EnsureVolume | CreateContainer):
            self._failures.pop(subject, None)
            return True
        self._failures.setdefault(subject, Backoff("\0".join(subject))).failed(now)
        return True

    def failing(self, subject: Subject) -> bool:
        """Tell whether the last thing done to the subject failed."""
        return subject in self._failures

    def expired(self, world: World, now: float) -> list[LocationAction]:
        """Forget what was asked in a session that is over; return what nobody answered in time."""
        late: list[LocationAction] = []
        for subject, asked in list(self._asked.items()):
            view = world.locations.get(asked.action.location)
            if view is None or view.session != asked.session or (now >= asked.expires and not view.connected):
                del self._asked[subject]
            elif now >= asked.expires:
                late.append(asked.action)
        return late

    def expiries(self) -> list[float]:
        """Give the times at which the actions handed out will be given up."""
        return [asked.expires for asked in self._asked.values()]

    def clear(self, live: set[Subject]) -> None:
        """Forget the failures of containers that are gone; `live` are the subjects of those that exist."""
        for subject in [s for s in self._failures if s[0] in ("container", "watch") and s not in live]:
            del self._failures[subject]

    def _forget(self, action: LocationAction) -> bool:
        subject = subject_of(action)
        asked = self._asked.get(subject)
        if asked is None or asked.action != action:
            return False
        del self._asked[subject]
        return True


class Turn:
    """What one decision knows and collects. `wake` is when the next is due, if nothing happens before."""

    __slots__ = ("actions", "now", "pending", "wake", "world")

    def __init__(self, world: World, now: float, pending: Pending) -> None:
        self.world = world
        self.now = now
        self.pending = pending
        self.actions: list[Action] = []
        self.wake: float | None = None

    def reached(self, when: float) -> bool:
        """Tell whether a time has come; where not, the next decision is due then at the latest."""
        if when <= self.now:
            return True
        self.wake = when if self.wake is None else min(self.wake, when)
        return False

    def ask(self, action: LocationAction) -> bool:
        """Hand an action out, unless its subject is busy or held back, or its location cannot be asked."""
        view = self.location(action.location)
        if view is None:
            return False
        wait = self.pending.wait(subject_of(action), self.now)
        if wait is not None:
            self.reached(wait)
            return False
        self.pending.begin(action, view.session, self.now)
        self.actions.append(action)
        return True

    def location(self, name: str) -> LocationView | None:
        """Give a location that is connected and listed, else None."""
        view = self.world.locations.get(name)
        return view if view is not None and view.connected and view.listed else None

    def note(self, what: Kind | Level, message: str, **fields: str) -> None:
        """Have a line logged, of a kind or of a level."""
        self.actions.append(Note(what, message, tuple(fields.items())))
