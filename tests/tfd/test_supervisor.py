"""Stories: what goes wrong, and what the supervisor makes of it. Each is a transcript in jumping time."""

from dataclasses import replace
from functools import partial

import pytest

from tests.tfd.cluster import (
    RUNNING,
    STOPPED,
    Location,
    Simulation,
    config,
    container,
    node,
    one_location,
)
from tfd.config.model import Health, Restart
from tfd.supervisor import Supervisor
from tfd.world import (
    BringImage,
    ContainerState,
    ContainerView,
    CreateContainer,
    DestroyContainer,
    Drain,
    EnsureVolume,
    HealthView,
    LocationView,
    Route,
    SetConnections,
    SetRoute,
    StartContainer,
    StopContainer,
    Verdict,
    WatchHealth,
    World,
)

DATA = (("data", "/data"),)


def up(*containers: object, locations: tuple[Location, ...] = (), **settings: object) -> Simulation:
    """Give a simulation whose containers are all good."""
    declared = containers or (container(),)
    simulation = Simulation(
        config(*declared, **settings),  # type: ignore[arg-type]
        *(locations or (one_location(),)),
    )
    simulation.run(10)
    assert {state for state, _ in (simulation.state(each.name) for each in declared)} == {"good"}  # type: ignore[attr-defined]
    simulation.transcript.clear()
    return simulation


def route_of(simulation: Simulation, name: str = "web") -> tuple[str, str]:
    """Give location and id that the proxy leads to."""
    route = simulation.routes[name]
    return route.location, route.container


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
        simulation.checks.append(lambda: _at_most_one(simulation))
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
        simulation.checks.append(lambda: _at_most_one(simulation))
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
        simulation.checks.append(lambda: _at_most_one(simulation))
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


def _at_most_one(simulation: Simulation) -> None:
    assert len(simulation.copies("web")) <= 1


def test_states_are_the_wire_s() -> None:
    """The container states are those that the location sends."""
    assert {str(state) for state in ContainerState} == {"created", "starting", "running", "stopped", "failed"}
    assert STOPPED == "stopped"
