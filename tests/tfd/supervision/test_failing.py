"""Stories of what fails or is lost, and what the supervisor makes of it, as transcripts in jumping time."""

from dataclasses import replace
from functools import partial

import pytest

from tests.tfd.cluster import config, container, node, one_location
from tests.tfd.simulation import Simulation
from tests.tfd.supervision.stories import DATA, route_of, up
from tfd.config.model import Restart
from tfd.supervisor import Supervisor
from tfd.world import (
    BringImage,
    ContainerState,
    ContainerView,
    CreateContainer,
    Drain,
    EnsureVolume,
    LocationView,
    SetRoute,
    StartContainer,
    StopContainer,
    WatchHealth,
    World,
)


class TestFailure:
    """A container's process, its node, its location."""

    @pytest.mark.parametrize("code", [0, 1, None])
    def test_process_dies(self, code: int | None) -> None:
        """It is started again after a back-off, and connections are held until it answers."""
        simulation = up()
        id_ = route_of(simulation)[1]
        home = simulation.locations["home"]
        simulation.change(lambda: home.end(id_, code))
        simulation.run(0.5)
        held = dict(simulation.routes)
        failed = simulation.state("web")
        simulation.run(10)

        assert held == {}
        assert failed[0] == "failed"
        assert "process ended" in failed[1]
        assert simulation.taken(StartContainer) == [StartContainer("home", id_)]
        assert route_of(simulation) == ("home", id_)
        assert simulation.supervisor.report()[0].restarts == 1

    @pytest.mark.parametrize(
        ("restart", "code", "starts"),
        [(Restart.NO, 1, 0), (Restart.NO, 0, 0), (Restart.ON_FAILURE, 0, 0), (Restart.ON_FAILURE, 1, 1)],
    )
    def test_restart_policy(self, restart: Restart, code: int, starts: int) -> None:
        """What `restart` leaves stopped is stopped, and says so."""
        simulation = up(container(restart=restart))
        simulation.change(lambda: simulation.locations["home"].end(route_of(simulation)[1], code))
        simulation.run(10)

        assert len(simulation.taken(StartContainer)) == starts
        if not starts:
            assert simulation.state("web") == ("stopped", f"its process ended with exit code {code}")

    def test_job(self) -> None:
        """A container that ends well under `on-failure` is left alone, and tfd is ready."""
        simulation = Simulation(config(container(image="job", restart=Restart.ON_FAILURE)), one_location())
        simulation.run(30)

        assert simulation.state("web")[0] == "stopped"
        assert simulation.taken(StartContainer) == []
        assert simulation.supervisor.ready()

    def test_crash_loop_is_backed_off(self) -> None:
        """A process that always ends is started at growing intervals, a minute at most."""
        simulation = Simulation(config(container(image="crash")), one_location())
        simulation.run(600)

        starts = len(simulation.taken(StartContainer))

        assert 12 <= starts <= 18
        assert len(simulation.copies("web", running=False)) == 1
        assert simulation.state("web")[0] == "failed"
        assert simulation.supervisor.ready()

    def test_hangs(self) -> None:
        """One that no longer answers is stopped and started again."""
        simulation = up()
        id_ = route_of(simulation)[1]
        simulation.change(lambda: simulation.locations["home"].mute.add(id_))
        simulation.run(30)

        order = [
            type(a) for a in simulation.transcript if isinstance(a, StopContainer | StartContainer | SetRoute)
        ]

        assert order == [SetRoute, StopContainer, StartContainer, SetRoute]
        assert route_of(simulation) == ("home", id_)

    def test_slow_start_is_no_hang(self) -> None:
        """Before it first answered, a container has the start limit."""
        simulation = Simulation(config(container(image="mute")), one_location())
        simulation.run(55)

        assert simulation.taken(StopContainer) == []
        assert simulation.state("web") == ("checking", "connection refused")

        simulation.run(30)

        assert len(simulation.taken(StopContainer)) == 1

    def test_start_is_refused(self) -> None:
        """The location's reason is told and not how the process ended before; it is tried again."""
        simulation = up()
        id_ = route_of(simulation)[1]
        simulation.errors[StartContainer] = [("engine", "no room")] * 2
        simulation.change(lambda: simulation.locations["home"].end(id_, 0))
        simulation.run(4)
        failed = simulation.state("web")
        simulation.run(30)

        assert failed == ("failed", "it cannot be started: no room")
        assert simulation.notes().count("on n1 at home: it cannot be started: no room; trying again in") == 2
        assert simulation.notes().count("its process ended") == 1
        assert simulation.taken(StartContainer) == [StartContainer("home", id_)] * 3
        assert simulation.state("web") == ("good", "")

    def test_refused_start_is_no_good_end(self) -> None:
        """One that was stopped since it hung, and could not be started, has not ended well for all that."""
        simulation = up(container(restart=Restart.ON_FAILURE))
        id_ = route_of(simulation)[1]
        simulation.errors[StartContainer] = [("engine", "no room")]
        simulation.change(lambda: simulation.locations["home"].mute.add(id_))
        simulation.run(60)

        assert simulation.taken(StartContainer) == [StartContainer("home", id_)] * 2
        assert simulation.state("web") == ("good", "")

    def test_refused_start_is_told_no_longer(self) -> None:
        """Once it was started after all, its end is told, also where nobody saw it run."""
        simulation = Simulation(config(container(image="crash")), one_location())
        simulation.errors[StartContainer] = [("engine", "no room")]
        simulation.run(20)

        assert simulation.notes().count("it cannot be started: no room; trying again in") == 1
        assert simulation.state("web") == ("failed", "its process ended with exit code 1")

    def test_repeated_failures_move_it(self) -> None:
        """After three failures on a node another node is tried; the first is then cleared."""
        simulation = up(locations=(one_location(node("n1"), node("n2")),))
        home = simulation.locations["home"]
        first = home.containers[route_of(simulation)[1]].node
        for _ in range(3):
            [id_] = [view.id for view in home.containers.values() if view.node == first]
            simulation.change(partial(home.end, id_, 1))
            simulation.run(9)
        simulation.run(60)

        [view] = home.containers.values()

        assert view.node != first
        assert "0 failures" in simulation.supervisor.report()[0].placement

    def test_deleted_behind_our_back(self) -> None:
        """It is created anew."""
        simulation = up()
        id_ = route_of(simulation)[1]
        simulation.change(lambda: simulation.locations["home"].remove(id_))
        simulation.run(15)

        assert simulation.state("web")[0] == "good"
        assert simulation.copies("web") == [route_of(simulation)]
        assert route_of(simulation)[1] != id_

    def test_absent_image(self) -> None:
        """The container is failed with the reason, tried again at growing intervals; others run."""
        simulation = Simulation(config(container(image="absent"), container("db")), one_location())
        simulation.run(300)

        assert simulation.state("web")[0] == "failed"
        assert "nobody has it" in simulation.state("web")[1]
        assert simulation.state("db")[0] == "good"
        assert 7 <= len(simulation.taken(CreateContainer)) <= 14

    @pytest.mark.parametrize(
        ("kind", "code"),
        [
            (BringImage, "digest"),
            (CreateContainer, "limit"),
            (CreateContainer, "engine"),
            (EnsureVolume, "limit"),
        ],
    )
    def test_refused(self, kind: type, code: str) -> None:
        """What the location refuses is told, and tried again."""
        simulation = Simulation(config(container(volumes=DATA)), one_location())
        simulation.errors[kind] = [(code, "no space left")]
        simulation.run(0.9)
        state = simulation.state("web")
        simulation.run(20)

        assert state[0] == "failed"
        assert "no space left" in state[1]
        assert simulation.state("web") == ("good", "")

    def test_one_that_was_seen_and_could_not_be_finished(self) -> None:
        """The creation's answer is the reason, though its container was seen to come and go before."""
        supervisor = Supervisor(config(container()), 0.0)
        empty = LocationView("home", connected=True, since=0.0, session=1, listed=True, nodes={"n1": node()})
        (bring,) = [a for a in supervisor.decide(World({"home": empty}), 1.0) if isinstance(a, BringImage)]
        supervisor.done(bring, 1.1)
        decided = supervisor.decide(World({"home": empty}), 1.1)
        (create,) = [action for action in decided if isinstance(action, CreateContainer)]
        half = ContainerView(
            id="c1",
            name=create.name,
            key=create.key,
            node="n1",
            image="i",
            ip="",
            state=ContainerState.CREATED,
        )

        supervisor.decide(World({"home": replace(empty, containers={"c1": half})}), 1.2)
        supervisor.decide(World({"home": empty}), 1.3)
        supervisor.failed(create, "engine", "no space left", 1.4)
        supervisor.decide(World({"home": empty}), 1.4)

        (told,) = supervisor.report()
        assert (told.state, told.reason) == ("failed", "creating it: no space left")

    def test_busy_engine_is_no_failure(self) -> None:
        """A passing error leaves the attempt and its key as they are."""
        simulation = Simulation(config(container()), one_location())
        simulation.errors[CreateContainer] = [("unavailable", "engine restarts"), ("time-out", "no answer")]
        simulation.run(20)

        keys = {action.key for action in simulation.taken(CreateContainer)}  # type: ignore[union-attr]

        assert len(keys) == 1
        assert simulation.state("web") == ("good", "")

    def test_no_memory(self) -> None:
        """Where no node has the memory, the reason names node and figures; it starts when there is."""
        home = one_location(node(memory_free=100 << 20))
        simulation = Simulation(config(container(memory=200 << 20)), home)
        simulation.run(10)

        assert simulation.state("web") == (
            "failed",
            "n1 at home has 100 MiB of memory free of the 200 MiB that are its limit",
        )

        simulation.change(lambda: home.nodes.update(n1=node()))
        simulation.run(10)

        assert simulation.state("web")[0] == "good"


class TestLocationLost:
    """Sessions end, nodes go, and come back."""

    def test_blip(self) -> None:
        """Within the lease nothing happens but a new watch; the route stays."""
        simulation = up(locations=(one_location(), one_location(name="other")))
        where, id_ = route_of(simulation)
        simulation.disconnect(where)
        simulation.run(25)
        during = route_of(simulation), simulation.state("web")
        simulation.connect(where)
        simulation.run(20)

        assert during == ((where, id_), ("waiting", f"waiting for location {where}"))
        assert [a for a in simulation.transcript if isinstance(a, CreateContainer | SetRoute | Drain)] == []
        assert simulation.taken(WatchHealth) != []
        assert simulation.state("web") == ("good", "")

    def test_lost_for_longer(self) -> None:
        """After the lease it runs elsewhere; when the location is back, the extra one is destroyed."""
        simulation = up(locations=(one_location(), one_location(name="other")))
        where, _ = route_of(simulation)
        simulation.disconnect(where)
        simulation.run(40)
        moved = route_of(simulation)
        simulation.connect(where)
        simulation.run(30)

        assert moved[0] != where
        assert simulation.copies("web", running=False) == [moved]

    def test_back_before_the_other_is_good(self) -> None:
        """If the location is back first, the one in the making is given up."""
        simulation = up(locations=(one_location(), one_location(name="other")))
        where, id_ = route_of(simulation)
        simulation.disconnect(where)
        simulation.run(30.5)
        simulation.connect(where)
        simulation.run(30)

        assert simulation.copies("web", running=False) == [(where, id_)]
        assert route_of(simulation) == (where, id_)

    def test_volume_stays(self) -> None:
        """With a volume it is never started elsewhere, and the state says what is waited for."""
        simulation = up(container(volumes=DATA), locations=(one_location(), one_location(name="other")))
        where, id_ = route_of(simulation)
        simulation.disconnect(where)
        simulation.run(600)

        assert simulation.state("web") == (
            "waiting",
            f"waiting for location {where}, which holds volume prod/data",
        )
        assert simulation.taken(CreateContainer) == []

        simulation.connect(where)
        simulation.run(10)

        assert simulation.copies("web", running=False) == [(where, id_)]

    def test_volume_of_a_location_that_never_answered(self) -> None:
        """After a restart, a volume is not created anew while it may lie at a location that is away."""
        simulation = up(container(volumes=DATA), locations=(one_location(), one_location(name="other")))
        where, id_ = route_of(simulation)
        simulation.restart()
        simulation.disconnect(where)
        simulation.run(600)

        assert simulation.taken(CreateContainer) == []
        assert simulation.state("web")[0] == "waiting"

        simulation.connect(where)
        simulation.run(10)

        assert route_of(simulation) == (where, id_)

    def test_node_offline(self) -> None:
        """A node that stays offline loses its container to another; with a volume it is failed."""
        home = one_location(node("n1"), node("n2"))
        simulation = up(container(), container("db", volumes=DATA), locations=(home,))
        lost = home.containers[route_of(simulation, "db")[1]].node
        simulation.change(lambda: home.nodes.update({lost: node(lost, online=False)}))
        simulation.run(60)

        web = home.containers[route_of(simulation)[1]]

        assert web.node != lost
        assert simulation.state("db") == (
            "failed",
            f"node {lost} at home is offline, which holds volume prod/data",
        )

        simulation.change(lambda: home.nodes.update({lost: node(lost)}))
        simulation.run(90)

        assert {simulation.state(name)[0] for name in ("web", "db")} == {"good"}
        assert len(home.containers) == 2

    def test_session_lost_while_creating(self) -> None:
        """The creation is asked for again under the same key."""
        simulation = Simulation(config(container()), one_location())
        simulation.delay = 2.0
        simulation.run(3.0)
        simulation.disconnect("home")
        simulation.run(1.0)
        simulation.connect("home")
        simulation.run(30)

        keys = [action.key for action in simulation.taken(CreateContainer)]  # type: ignore[union-attr]

        assert len(keys) == 2
        assert len(set(keys)) == 1
        assert simulation.copies("web", running=False) == [route_of(simulation)]

    def test_nobody_answers(self) -> None:
        """An action without an answer is given up after its time and asked for again."""
        simulation = up()
        simulation.delay = 10_000.0
        simulation.change(lambda: simulation.locations["home"].end(route_of(simulation)[1], 1))
        simulation.run(70)

        assert len(simulation.taken(StartContainer)) == 2

    def test_unlisted_session(self) -> None:
        """A session that has not told what it runs is asked nothing."""
        supervisor = Supervisor(config(container()), 0.0)
        view = LocationView("home", connected=True, since=0.0, session=1)

        assert supervisor.decide(World({"home": view}), 0.0) == []
