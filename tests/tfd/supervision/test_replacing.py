"""Stories of a changed file, and of who may reach whom, as transcripts in jumping time."""

from dataclasses import replace

import pytest

from tests.tfd.cluster import RUNNING, Location, config, container, node, one_location
from tests.tfd.supervision.stories import DATA, at_most_one, route_of, up
from tfd.config.model import Restart
from tfd.protocol.route import Route
from tfd.world import CreateContainer, DestroyContainer, Drain, SetConnections, SetRoute, StopContainer


class TestReplacement:
    """A changed file."""

    def test_start_first(self) -> None:
        """The new one runs and is good before the route changes, then the old one is drained and goes."""
        simulation = up()
        old = route_of(simulation)
        simulation.reload(config(container(image="web2")))
        simulation.run(30)
        new = route_of(simulation)

        kinds = (CreateContainer, SetRoute, Drain, StopContainer, DestroyContainer)
        order = [action for action in simulation.transcript if isinstance(action, kinds)]

        assert [type(action) for action in order] == list(kinds)
        assert order[1] == SetRoute("web", Route(*new))
        assert order[2] == Drain(Route(*old))
        assert simulation.copies("web", running=False) == [new]

    def test_drain_has_a_limit(self) -> None:
        """Connections that do not end keep the old one for five minutes, no longer."""
        simulation = up()
        simulation.drain_time = None
        simulation.reload(config(container(image="web2")))
        simulation.run(290)
        during = len(simulation.copies("web"))
        draining = [report.state for report in simulation.supervisor.report()]
        simulation.run(30)

        assert (during, len(simulation.copies("web", running=False))) == (2, 1)
        assert [str(state) for state in draining] == ["good", "draining"]

    def test_stop_first_with_volumes(self) -> None:
        """With a volume the old one is stopped before the new one is created; connections are held."""
        simulation = up(container(volumes=DATA))
        simulation.checks.append(lambda: at_most_one(simulation))
        simulation.reload(config(container(image="web2", volumes=DATA)))
        simulation.run(30)

        kinds = (CreateContainer, SetRoute, StopContainer, DestroyContainer)
        order = [action for action in simulation.transcript if isinstance(action, kinds)]

        assert [type(a) for a in order] == [
            StopContainer,
            SetRoute,
            CreateContainer,
            SetRoute,
            DestroyContainer,
        ]
        assert order[1] == SetRoute("web", None)
        assert simulation.copies("web", running=False) == [route_of(simulation)]

    @pytest.mark.parametrize("image", ["crash", "mute", "absent"])
    def test_new_one_is_no_good(self, image: str) -> None:
        """The old one stays in force, the state says why, and it is tried again."""
        simulation = up()
        old = route_of(simulation)
        simulation.reload(config(container(image=image)))
        simulation.run(300)

        state, reason = simulation.state("web")

        assert route_of(simulation) == old
        assert simulation.taken(SetRoute) == []
        assert state == "good"
        assert reason
        assert len(simulation.taken(CreateContainer)) > 1
        assert len(simulation.copies("web", running=False)) <= 2

        simulation.reload(config(container(image="web3")))
        simulation.run(30)

        assert route_of(simulation) != old
        assert simulation.copies("web", running=False) == [route_of(simulation)]

    @pytest.mark.parametrize("image", ["crash", "mute"])
    def test_new_one_with_a_volume_is_no_good(self, image: str) -> None:
        """The old one is started again, and the new one is not tried again for some minutes."""
        simulation = up(container(volumes=DATA))
        simulation.checks.append(lambda: at_most_one(simulation))
        old = route_of(simulation)
        simulation.reload(config(container(image=image, volumes=DATA)))
        simulation.run(200)

        assert route_of(simulation) == old
        assert simulation.copies("web", running=False) == [old]
        assert len(simulation.taken(CreateContainer)) == 1
        assert simulation.state("web")[0] == "good"
        assert simulation.state("web")[1]

        simulation.run(300)

        assert len(simulation.taken(CreateContainer)) == 2

    def test_back_to_the_first(self) -> None:
        """A file changed back while the old one still drains takes that one into force again."""
        simulation = up()
        old = route_of(simulation)
        simulation.drain_time = None
        simulation.reload(config(container(image="web2")))
        simulation.run(20)
        simulation.reload(config(container()))
        simulation.run(20)

        assert route_of(simulation) == old
        assert len(simulation.taken(CreateContainer)) == 1

    def test_back_while_the_new_one_is_created(self) -> None:
        """A creation that is not wanted any more is removed when it appears, and the old one runs again."""
        simulation = up(container(volumes=DATA))
        old = route_of(simulation)
        simulation.checks.append(lambda: at_most_one(simulation))
        simulation.reload(config(container(image="web2", volumes=DATA)))
        simulation.run(0.5)
        assert len(simulation.taken(CreateContainer)) == 1
        simulation.reload(config(container(volumes=DATA)))
        simulation.run(30)

        assert route_of(simulation) == old
        assert simulation.copies("web", running=False) == [old]

    def test_a_twin_that_holds_the_volume_and_does_not_answer(self) -> None:
        """It is removed, so that the one in force can be started."""
        simulation = up(container(volumes=DATA))
        where, id_ = route_of(simulation)
        home = simulation.locations[where]

        def twin() -> None:
            home.end(id_, 1)
            home.containers["twin"] = replace(home.containers[id_], id="twin", state=RUNNING)
            home.mute.add("twin")

        simulation.change(twin)
        simulation.run(30)

        assert simulation.copies("web", running=False) == [(where, id_)]

    def test_unchanged_are_left_alone(self) -> None:
        """A reload touches nothing that did not change, nor what may change in place."""
        simulation = up(container(), container("db"))
        simulation.reload(config(container(restart=Restart.NO), container("db"), container("more")))
        simulation.run(20)

        kinds = (StopContainer, DestroyContainer, Drain)

        assert [action for action in simulation.transcript if isinstance(action, kinds)] == []
        assert len(simulation.taken(CreateContainer)) == 1

    def test_moved_by_location(self) -> None:
        """A changed `location` moves it, start-first."""
        simulation = up(locations=(one_location(), one_location(name="other")))
        where, _ = route_of(simulation)
        other = "other" if where == "home" else "home"
        simulation.reload(config(container(locations=(other,))))
        simulation.run(30)

        assert [location for location, _ in simulation.copies("web", running=False)] == [other]
        assert simulation.taken(SetRoute) == [SetRoute("web", Route(*route_of(simulation)))]


class TestConnections:
    """Who may reach whom."""

    def test_pairs(self) -> None:
        """`connects_to` becomes the ids, renewed when one is replaced and after each reconnect."""
        simulation = up(container(connects_to=("db",)), container("db"))
        home = simulation.locations["home"]
        web, db = (route_of(simulation, name)[1] for name in ("web", "db"))
        assert home.connections == ((web, "db", db),)

        simulation.reload(config(container(connects_to=("db",)), container("db", image="db2")))
        simulation.run(30)
        assert home.connections == ((web, "db", route_of(simulation, "db")[1]),)

        simulation.disconnect("home")
        simulation.connect("home")
        simulation.run(5)
        assert simulation.locations["home"].connections == ((web, "db", route_of(simulation, "db")[1]),)

    def test_removed(self) -> None:
        """A set that a former run left is replaced, even by nothing."""
        simulation = up(locations=(Location("home", {"n1": node()}, connections=(("a", "b", "c"),)),))

        assert simulation.locations["home"].connections == ()

        simulation.errors[SetConnections] = [("engine", "no")]
        simulation.disconnect("home")
        simulation.connect("home")
        simulation.run(10)

        assert [a for a in simulation.taken(SetConnections) if a.pairs] == []  # type: ignore[union-attr]
        assert len(simulation.taken(SetConnections)) == 2
