"""What is remembered of one container at a location: since when it runs, whether it answers, its watch.

A declared container runs as one replica; each container of the engine that bears the replica's name is a
copy of it. There is one copy in quiet times and there are two during a hand-over.
"""

from tfd.config.model import Restart
from tfd.protocol.route import Route
from tfd.supervision.placement import Place
from tfd.supervision.turn import Turn
from tfd.world import ContainerState, ContainerView, LocationView, Probe, StartContainer, Verdict, WatchHealth

START_LIMIT = 60.0
"""Seconds in which a container has to become good after its start; a verdict is no failure before that."""
SETTLED = 2.0
"""Seconds that a container without a probe has to run before it takes over from another."""

RUNNING = frozenset({ContainerState.STARTING, ContainerState.RUNNING})
ENDED = frozenset({ContainerState.STOPPED, ContainerState.FAILED})


class Copy:
    """One container that bears a replica's name, as it was last seen, and what was seen before.

    `running_since`, `lost_since` are None while it does not run and while its node can be reached.
    `answered` says whether it was good since it was started, `failure` why it needs a restart, `refused` why
    it could not be started since it ended. `held_back` is set while its process is kept from running in
    favour of another copy.
    """

    __slots__ = (
        "_verdict",
        "_verdict_reason",
        "_watched",
        "_watched_at",
        "answered",
        "failure",
        "held_back",
        "lost_since",
        "ref",
        "refused",
        "running_since",
        "view",
    )

    def __init__(self, ref: Route, view: ContainerView) -> None:
        self.ref = ref
        self.view = view
        self.running_since: float | None = None
        self.lost_since: float | None = None
        self.answered = False
        self.failure = ""
        self.refused = ""
        self.held_back = False
        self._verdict = Verdict.UNKNOWN
        self._verdict_reason = ""
        self._watched: tuple[float, Probe] | None = None
        self._watched_at = float("-inf")

    @property
    def place(self) -> Place:
        """The node that it is on."""
        return Place(self.ref.location, self.view.node)

    @property
    def reachable(self) -> bool:
        """Whether its location and node can be asked about it."""
        return self.lost_since is None

    @property
    def runs(self) -> bool:
        """Whether its process may be running, as far as is known."""
        return self.view.state in RUNNING

    @property
    def ended(self) -> bool:
        """Whether its process has ended."""
        return self.view.state in ENDED

    @property
    def ending(self) -> str:
        """How its process ended, or why it could not be started since."""
        if self.refused:
            return f"it cannot be started: {self.refused}"
        code = "" if self.view.exit is None else f" with exit code {self.view.exit}"
        detail = f": {self.view.reason}" if self.view.reason else ""
        return f"its process ended{code}{detail}"

    @property
    def verdict_reason(self) -> str:
        """Why the last probe failed, empty where it did not."""
        return self._verdict_reason if self._verdict is Verdict.BAD else ""

    def observe(self, location: LocationView, view: ContainerView, now: float) -> None:
        """Take in what a location says of it now."""
        self.view = view
        node = location.nodes.get(view.node)
        if not location.connected or not location.listed or (node is not None and not node.online):
            self.lost_since = now if self.lost_since is None else self.lost_since
            return
        self.lost_since = None
        if view.state is not ContainerState.RUNNING:
            self.running_since = None
            self._unwatch()
        elif self.running_since is None:
            self.running_since = now
            self.refused = ""
        self._hear(location)

    def good(self, probe: Probe | None) -> bool:
        """Tell whether it runs and answers; without a probe, running is answering."""
        if self.running_since is None or not self.reachable:
            return False
        return probe is None or self._verdict is Verdict.GOOD

    def settled(self, probe: Probe | None, turn: Turn) -> bool:
        """Tell whether it may take over from another copy."""
        if not self.good(probe) or self.running_since is None:
            return False
        return probe is not None or turn.reached(self.running_since + SETTLED)

    def trouble(self, probe: Probe | None, turn: Turn) -> str:
        """Say why a running copy has to be restarted; empty where it need not be."""
        if probe is None or self.running_since is None or self._verdict is not Verdict.BAD:
            return ""
        if self.answered or turn.reached(self.running_since + START_LIMIT):
            return self.verdict_reason
        return ""

    def finished(self, restart: Restart) -> bool:
        """Tell whether its process has ended and `restart` says that it stays so."""
        if not self.ended or self.refused or self.held_back or not self.reachable:
            return False
        return restart is Restart.NO or (restart is Restart.ON_FAILURE and self.view.exit == 0)

    def watch(self, probe: Probe | None, turn: Turn) -> None:
        """Have it probed from now on: anew in each session, after each start and for each other probe."""
        view = turn.location(self.ref.location)
        if probe is None or view is None or self.running_since is None or not self.reachable:
            return
        wanted = (view.since, probe)
        if wanted != self._watched and turn.ask(WatchHealth(self.ref.location, self.ref.container, probe)):
            self._watched = wanted
            self._watched_at = turn.now

    def watch_failed(self) -> None:
        """Note that the location does not probe it; it is asked to again."""
        self._watched = None

    def start(self, turn: Turn) -> bool:
        """Have its process started; False where that has to wait."""
        if not self.reachable or not turn.ask(StartContainer(self.ref.location, self.ref.container)):
            return False
        self.failure = ""
        self.held_back = False
        return True

    def busy(self, turn: Turn) -> bool:
        """Tell whether it is being created, started, stopped or destroyed."""
        location, container = self.ref.location, self.ref.container
        return (
            turn.pending.busy(("container", location, container))
            or turn.pending.creating(location, self.view.name) == self.view.key
        )

    def shares_volumes(self, other: "Copy") -> bool:
        """Tell whether two copies use a volume of one location together."""
        return self.ref.location == other.ref.location and not set(self.view.volumes).isdisjoint(
            other.view.volumes
        )

    def _unwatch(self) -> None:
        self._watched = None
        self._verdict = Verdict.UNKNOWN
        self.answered = False

    def _hear(self, location: LocationView) -> None:
        health = location.health.get(self.ref.container)
        if health is None or self._watched is None or health.at < self._watched_at:
            return
        if health.verdict is not Verdict.UNKNOWN:
            self._verdict = health.verdict
            self._verdict_reason = health.reason or "it does not answer"
        if health.verdict is Verdict.GOOD:
            self.answered = True
