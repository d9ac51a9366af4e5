"""Anything in any order, then quiet: what must hold whatever happened."""

from functools import partial
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.tfd.cluster import RUNNING, config, container, node, one_location
from tests.tfd.simulation import Simulation
from tfd.config.model import Config, Container
from tfd.world import (
    BringImage,
    ContainerView,
    CreateContainer,
    DestroyContainer,
    EnsureVolume,
    SetConnections,
    StartContainer,
    StopContainer,
    WatchHealth,
)

LOCATIONS = ("home", "work", "shed")
NODES = ("n1", "n2")
KINDS = (
    BringImage,
    EnsureVolume,
    CreateContainer,
    StartContainer,
    StopContainer,
    DestroyContainer,
    WatchHealth,
    SetConnections,
)
CODES = ("engine", "limit", "unavailable", "time-out", "not-found", "busy")
QUIET = 3 * 3600.0
"""Longer than every back-off."""
HAND_OVER = 300.0
"""Longer than a back-off, a start and a drain one after the other."""
STRANGER = ContainerView("stranger", "test/web/0", "key", "n1", "web", "10.1.1.1", RUNNING)

images = st.sampled_from(("web", "web2", "web3"))
containers: st.SearchStrategy[list[Container]] = st.tuples(
    st.builds(container, st.just("web"), images, connects_to=st.just(("db",))),
    st.builds(container, st.just("db"), images, volumes=st.just((("data", "/data"),))),
    st.builds(container, st.just("extra"), images, enabled=st.booleans()),
).map(list)
configs: st.SearchStrategy[Config] = st.tuples(containers, st.integers(1, 3)).map(
    lambda t: config(*t[0][: t[1]])
)


class Chaos(RuleBasedStateMachine):
    """Three locations of two nodes, and everything that can happen to them."""

    simulation: Simulation

    @initialize(configuration=configs)
    def begin(self, configuration: Config) -> None:
        """Start with all locations there."""
        locations = [one_location(*(node(name) for name in NODES), name=name) for name in LOCATIONS]
        locations[0].containers["stranger"] = STRANGER
        self.simulation = Simulation(configuration, *locations)
        self.simulation.checks.append(self.volumes_are_held_once)

    def volumes_are_held_once(self) -> None:
        """Check that never two containers run on one volume."""
        assert len(self.simulation.copies("db")) <= 1, self.simulation.transcript

    @rule(seconds=st.sampled_from((0.1, 0.3, 0.7, 2.0, 15.0, 40.0, 100.0)))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.simulation.run(seconds)

    @rule(name=st.sampled_from(LOCATIONS), listing=st.sampled_from((0.0, 1.0, 40.0)))
    def connect(self, name: str, listing: float) -> None:
        """A session comes."""
        self.simulation.connect(name, listing=listing)

    @rule(name=st.sampled_from(LOCATIONS))
    def disconnect(self, name: str) -> None:
        """A session goes, and with it what was asked."""
        self.simulation.disconnect(name)

    @rule()
    def restart(self) -> None:
        """The daemon is killed and started."""
        self.simulation.restart()

    @rule(configuration=configs)
    def reload(self, configuration: Config) -> None:
        """The file is changed."""
        self.simulation.reload(configuration)

    @rule(data=st.data(), code=st.sampled_from((0, 1, None)))
    def crash(self, data: Any, code: int | None) -> None:
        """A process ends."""
        self._at_a_container(data, lambda location, id_: location.end(id_, code))

    @rule(data=st.data())
    def hang(self, data: Any) -> None:
        """A process answers no longer."""
        self._at_a_container(data, lambda location, id_: location.mute.add(id_))

    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        """A container is removed behind our back."""
        self._at_a_container(data, lambda location, id_: location.remove(id_))

    @rule(location=st.sampled_from(LOCATIONS), name=st.sampled_from(NODES), online=st.booleans())
    def switch_node(self, location: str, name: str, *, online: bool) -> None:
        """A node goes or comes; with it, its processes end."""
        place = self.simulation.locations[location]

        def switch() -> None:
            place.nodes[name] = node(name, online=online)
            for view in list(place.containers.values()):
                if not online and view.node == name and view.name.startswith("prod/"):
                    place.end(view.id, None)

        self.simulation.change(switch)

    @rule(kind=st.sampled_from(KINDS), code=st.sampled_from(CODES))
    def refuse(self, kind: type, code: str) -> None:
        """The next action of a kind fails."""
        self.simulation.errors.setdefault(kind, []).append((code, "for a reason"))

    @rule(delay=st.sampled_from((0.05, 0.2, 3.0, 20.0)))
    def slow(self, delay: float) -> None:
        """The locations become slow, or fast again."""
        self.simulation.delay = delay

    @precondition(lambda self: hasattr(self, "simulation"))
    @rule()
    def quiet(self) -> None:
        """Everything heals and time passes: then all is as declared."""
        simulation = self.simulation
        simulation.errors.clear()
        simulation.delay = 0.2
        for name, location in simulation.locations.items():
            simulation.change(partial(location.nodes.update, {each: node(each) for each in NODES}))
            simulation.connect(name)
        simulation.run(HAND_OVER)
        for name in simulation.config.containers:
            assert len(simulation.copies(name)) <= 1, (name, simulation.copies(name))
        simulation.run(QUIET)
        self._check_quiet()

    def teardown(self) -> None:
        """End each story with quiet."""
        if hasattr(self, "simulation"):
            self.quiet()

    @invariant()
    def others_are_untouched(self) -> None:
        """Another environment's container is as it was."""
        if hasattr(self, "simulation"):
            assert self.simulation.locations["home"].containers["stranger"] == STRANGER

    def _at_a_container(self, data: Any, change: Any) -> None:
        places = [
            (location, view.id)
            for location in self.simulation.locations.values()
            for view in location.containers.values()
            if view.name.startswith("prod/") and view.state is RUNNING
        ]
        if places:
            location, id_ = data.draw(st.sampled_from(places))
            self.simulation.change(lambda: change(location, id_))

    def _check_quiet(self) -> None:
        simulation = self.simulation
        declared = {name for name, each in simulation.config.containers.items() if each.enabled}
        for name in declared:
            state, reason = simulation.state(name)
            everywhere = simulation.copies(name, running=False)
            assert state == "good", (name, state, reason)
            assert len(everywhere) == 1, (name, everywhere)
            assert everywhere == simulation.copies(name)
            route = simulation.routes[name]
            assert everywhere == [(route.location, route.container)]
            view = simulation.locations[route.location].containers[route.container]
            assert view.image == simulation.config.containers[name].image
        left = {
            view.name
            for location in simulation.locations.values()
            for view in location.containers.values()
            if view.name.startswith("prod/")
        }
        assert left == {f"prod/{name}/0" for name in declared}
        assert set(simulation.routes) == declared
        assert simulation.supervisor.ready()
        assert simulation.supervisor.deadline() is None


TestChaos = Chaos.TestCase
TestChaos.settings = settings(
    max_examples=200, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
