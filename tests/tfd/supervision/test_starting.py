"""Stories of a start, a restart of the daemon, and late answers, as transcripts in jumping time."""

from dataclasses import replace

from tests.tfd.cluster import RUNNING, STOPPED, config, container, node, one_location
from tests.tfd.simulation import Simulation
from tests.tfd.supervision.stories import DATA, route_of, up
from tfd.config.model import Health
from tfd.protocol.route import Route
from tfd.supervisor import Supervisor
from tfd.world import (
    BringImage,
    ContainerState,
    ContainerView,
    CreateContainer,
    DestroyContainer,
    HealthView,
    LocationView,
    SetConnections,
    SetRoute,
    StartContainer,
    StopContainer,
    Verdict,
    WatchHealth,
    World,
)


class TestStart:
    """From nothing to a good container."""

    def test_order(self) -> None:
        """Image, creation, watch, route: in that order and each once."""
        simulation = Simulation(config(container()), one_location())
        simulation.run(10)

        kinds = [BringImage, CreateContainer, WatchHealth, SetRoute]
        seen = [type(action) for action in simulation.transcript if type(action) in kinds]

        assert [BringImage, CreateContainer, WatchHealth, SetRoute] == seen
        assert simulation.copies("web") == [route_of(simulation)]
        assert simulation.supervisor.ready()
        assert simulation.supervisor.deadline() is None

    def test_volume_is_created_first(self) -> None:
        """A volume exists on the container's node before the container does."""
        simulation = up(container(volumes=DATA))

        view = simulation.locations["home"]

        assert list(view.volumes) == ["prod/data"]
        assert next(iter(view.containers.values())).volumes == ("prod/data",)

    def test_probe(self) -> None:
        """The declared probe is used, else the listener's port."""
        health = Health(port=81, http="/up", interval=4.0, timeout=1.0, rise=1, fall=5)
        simulation = Simulation(config(container(health=health), container("db")), one_location())
        simulation.run(10)

        probes = [(a.probe.port, a.probe.path, a.probe.interval) for a in simulation.taken(WatchHealth)]  # type: ignore[union-attr]

        assert sorted(probes, key=str) == [
            (80, None, 2.0),
            (81, "/up", 4.0),
        ]

    def test_without_port(self) -> None:
        """Without a listener and without `health`, running is good."""
        simulation = up(container(), portless=("web",))

        assert simulation.taken(WatchHealth) == []

    def test_nothing_is_asked_twice(self) -> None:
        """As long as nothing is answered, deciding again asks for nothing."""
        simulation = Simulation(config(container()), one_location())
        simulation.delay = 30.0
        simulation.run(20)

        again = simulation.supervisor.decide(simulation.world(), simulation.now)

        assert again == []
        assert len(simulation.taken(BringImage)) == 1

    def test_unreachable_location(self) -> None:
        """A location that cannot be reached is waited for; ready comes with the start limit."""
        simulation = Simulation(config(container()), one_location(), connected=False)
        simulation.run(50)
        before = simulation.supervisor.ready()
        simulation.run(11)

        assert (before, simulation.supervisor.ready()) == (False, True)
        assert simulation.state("web") == ("waiting", "waiting for location home")

        simulation.connect("home")
        simulation.run(10)

        assert simulation.state("web")[0] == "good"

    def test_nothing_joined(self) -> None:
        """Without any location the state says what to do."""
        simulation = Simulation(config(container()))
        simulation.run(1)

        assert "tfd join" in simulation.state("web")[1]

    def test_disabled(self) -> None:
        """A container that is not enabled is stopped, and removed if it is there."""
        simulation = up()
        simulation.reload(config(container(enabled=False)))
        simulation.run(10)

        assert simulation.copies("web", running=False) == []
        assert simulation.state("web") == ("stopped", "not enabled")
        assert simulation.routes == {}


class TestAdoption:
    """After a restart of the daemon everything is as it was."""

    def test_restart_changes_nothing(self) -> None:
        """Containers are adopted: nothing is created, stopped or destroyed."""
        simulation = up(container(), container("db", volumes=DATA))
        before = simulation.copies("web"), simulation.copies("db")
        simulation.restart()
        simulation.run(60)

        assert before == (simulation.copies("web"), simulation.copies("db"))
        assert not any(simulation.taken(kind) for kind in (CreateContainer, StopContainer, DestroyContainer))
        assert sorted(simulation.routes) == ["db", "web"]

    def test_slow_location_is_waited_for(self) -> None:
        """A location that answers late has its container adopted, not doubled elsewhere."""
        simulation = up(locations=(one_location(), one_location(name="other")))
        (where, _), *_ = simulation.copies("web")
        simulation.restart()
        simulation.disconnect(where)
        simulation.run(20)
        simulation.connect(where, listing=5.0)
        simulation.run(30)

        assert simulation.taken(CreateContainer) == []
        assert simulation.state("web")[0] == "good"

    def test_absent_location_is_not_waited_for_for_ever(self) -> None:
        """After a lease the container runs elsewhere; the extra one goes when its location is back."""
        simulation = up(locations=(one_location(), one_location(name="other")))
        (where, _), *_ = simulation.copies("web")
        simulation.restart()
        simulation.disconnect(where)
        simulation.run(45)
        elsewhere = route_of(simulation)[0]

        simulation.connect(where)
        simulation.run(60)

        assert elsewhere != where
        assert simulation.copies("web", running=False) == [route_of(simulation)]
        assert route_of(simulation)[0] == elsewhere

    def test_duplicates(self) -> None:
        """Of two copies the older good one is kept, the other destroyed once the kept one is good."""
        simulation = up(locations=(one_location(), one_location(name="other")))
        (where, kept), *_ = simulation.copies("web")
        other = simulation.locations["other" if where == "home" else "home"]
        view = simulation.locations[where].containers[kept]
        other.containers["twin"] = replace(view, id="twin", created=view.created + 5)
        simulation.restart()
        simulation.run(60)

        assert simulation.copies("web", running=False) == [(where, kept)]

    def test_interrupted_hand_over(self) -> None:
        """A restart between creation and take-over ends with the new one alone."""
        simulation = up()
        simulation.reload(config(container(image="web2")))
        simulation.run(1.0)
        assert len(simulation.copies("web")) == 2
        simulation.restart()
        simulation.run(60)

        [(_, id_)] = simulation.copies("web", running=False)

        assert simulation.locations["home"].containers[id_].image == "web2"

    def test_undeclared_goes_and_others_stay(self) -> None:
        """What the file no longer declares is destroyed; other environments are never touched."""
        home = one_location()
        for name in ("prod/old/0", "prod/web/7", "production/web/0", "test/web/0"):
            home.containers[name] = ContainerView(name, name, "k", "n1", "i", "", RUNNING)
        simulation = up(locations=(home,))
        simulation.run(30)

        left = {view.name for view in home.containers.values()}

        assert left == {"prod/web/0", "production/web/0", "test/web/0"}


class TestStale:
    """Answers and verdicts that come late."""

    def test_old_verdict(self) -> None:
        """A verdict from before the watch was asked for says nothing."""
        supervisor = Supervisor(config(container()), 0.0)
        key = config(container()).containers["web"].identity().hex()[:24]
        view = LocationView(
            "home",
            connected=True,
            since=0.0,
            session=1,
            listed=True,
            nodes={"n1": node()},
            containers={"c": ContainerView("c", "prod/web/0", f"{key}-0", "n1", "i", "", RUNNING)},
            health={"c": HealthView(Verdict.GOOD, 0.5)},
        )
        supervisor.decide(World({"home": view}), 1.0)

        late = supervisor.decide(World({"home": view}), 2.0)
        fresh = supervisor.decide(
            World({"home": replace(view, health={"c": HealthView(Verdict.GOOD, 2.0)})}), 2.0
        )

        assert SetRoute("web", Route("home", "c")) not in late
        assert SetRoute("web", Route("home", "c")) in fresh

    def test_unknown_answers(self) -> None:
        """Answers that nobody waits for change nothing."""
        simulation = up()
        supervisor = simulation.supervisor
        for action in (StartContainer("home", "x"), SetConnections("home", "prod", ()), BringImage("x", "y")):
            supervisor.done(action, simulation.now)
            supervisor.failed(action, "engine", "x", simulation.now)
        supervisor.drained(Route("home", "x"), simulation.now)

        assert supervisor.decide(simulation.world(), simulation.now) == []


def test_states_are_the_wire_s() -> None:
    """The container states are those that the location sends."""
    assert {str(state) for state in ContainerState} == {"created", "starting", "running", "stopped", "failed"}
    assert STOPPED == "stopped"
