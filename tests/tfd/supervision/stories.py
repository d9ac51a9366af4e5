"""What the supervisor's stories begin with: a simulation where all is well."""

from tests.tfd.cluster import Location, config, container, one_location
from tests.tfd.simulation import Simulation

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


def at_most_one(simulation: Simulation) -> None:
    """Fail where two of the container run at once."""
    assert len(simulation.copies("web")) <= 1
