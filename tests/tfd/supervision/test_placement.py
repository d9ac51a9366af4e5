"""The best node, and why."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tfd.cluster import GIBIBYTE, node
from tfd.supervision.placement import NoPlace, Place, Placement, Request, best_node, load_of
from tfd.world import LocationView, NodeView, VolumeView, World

HOME = Place("home", "n1")
VOLUME = Request("prod/db/0", "db", volumes=("prod/data",))


def view(name: str = "home", *nodes: NodeView, **settings: object) -> LocationView:
    """Give a location that is connected and listed."""
    location = LocationView(
        name,
        connected=True,
        since=0.0,
        session=1,
        listed=True,
        round_trip=0.01,
        nodes={each.name: each for each in nodes or (node(),)},
    )
    return replace(location, **settings)  # type: ignore[arg-type]


def choose(
    request: Request,
    *views: LocationView,
    failures: dict[Place, int] | None = None,
    copies: dict[Place, int] | None = None,
) -> Placement | NoPlace:
    """Ask for the best node."""
    return best_node(
        request,
        World({each.name: each for each in views}),
        lambda place: (failures or {}).get(place, 0),
        lambda place: (copies or {}).get(place, 0),
    )


def place(choice: Placement | NoPlace) -> Place:
    """Give the chosen place."""
    assert isinstance(choice, Placement), choice
    return choice.place


WEB = Request("prod/web/0", "web")
HAS_IMAGE = frozenset({"sha256:1"})


@pytest.mark.parametrize(
    ("better", "worse", "failures", "copies"),
    [
        (node("a", load=0.9), node("b"), {Place("home", "b"): 1}, {}),
        (node("a", load=0.9), node("b"), {}, {Place("home", "b"): 1}),
        (node("a", load=0.5), node("b", load=0.6, images=HAS_IMAGE), {}, {}),
        (node("a"), node("b", memory_free=GIBIBYTE), {}, {}),
        (node("a"), node("b", paging=0.3), {}, {}),
        (node("a", load=0.52, images=HAS_IMAGE), node("b", load=0.49), {}, {}),
    ],
)
def test_order(
    better: NodeView, worse: NodeView, failures: dict[Place, int], copies: dict[Place, int]
) -> None:
    """Failures come before copies, then load in tenths, then the image."""
    home = view("home", better, worse, images={"web": "sha256:1"})

    assert place(choose(WEB, home, failures=failures, copies=copies)).node == better.name


def test_round_trip_decides_last() -> None:
    """Among equals the nearer location is taken."""
    assert place(choose(WEB, view("far", round_trip=0.2), view("near"))).location == "near"


def test_ties_are_stable_and_spread() -> None:
    """Equal nodes are told apart by name and node: always the same, not the same for all names."""
    nodes = [node(f"n{number}") for number in range(5)]
    chosen = [place(choose(Request(f"prod/c{n}/0", "i"), view("home", *nodes))) for n in range(20)]
    again = [place(choose(Request(f"prod/c{n}/0", "i"), view("home", *nodes[::-1]))) for n in range(20)]

    assert chosen == again
    assert len(set(chosen)) > 2


def test_reason() -> None:
    """The reason is one line with every part of the tuple."""
    choice = choose(WEB, view("home", node("a", load=0.31), node("b", load=0.9)))

    assert isinstance(choice, Placement)
    assert choice.reason == (
        "best of 2: 0 failures in 5 min, 0 copies, load 0.3, image absent, round trip 10 ms"
    )


@pytest.mark.parametrize("name", ["web", "web:latest", "docker.io/library/web", "sha256:1"])
def test_image_is_known_by_each_of_its_names(name: str) -> None:
    """The node that has the image is preferred, and the reason says so, before anything was asked for it."""
    names = {"web:latest": "sha256:1"}
    has, lacks = view("has", node(images=HAS_IMAGE), image_names=names), view("lacks", node())

    choice = choose(replace(WEB, image=name), has, replace(lacks, round_trip=0.001))

    assert isinstance(choice, Placement)
    assert choice.place.location == "has"
    assert "image present" in choice.reason


@pytest.mark.parametrize(
    ("request_", "views", "reason", "waiting"),
    [
        (WEB, [], "no location is joined: see `tfd join`", True),
        (WEB, [view(listed=False)], "waiting for location home", True),
        (WEB, [view(connected=False)], "waiting for location home", True),
        (WEB, [view("home", node(online=False))], "n1 at home is offline", False),
        (replace(WEB, locations=("x",)), [view()], "location x is not joined: see `tfd join`", False),
        (
            replace(WEB, memory=9 * GIBIBYTE),
            [view()],
            "n1 at home has 8192 MiB of memory free of the 9216 MiB that are its limit",
            False,
        ),
        (
            VOLUME,
            [view(connected=False, volumes={"prod/data": VolumeView("prod/data", "n1")}), view("x")],
            "waiting for location home, which holds volume prod/data",
            True,
        ),
        (
            VOLUME,
            [view("x"), LocationView("home", connected=False, since=0.0)],
            "waiting for location home, which may hold volume prod/data",
            True,
        ),
        (
            VOLUME,
            [view("home", node(online=False), volumes={"prod/data": VolumeView("prod/data", "n1")})],
            "volume prod/data lies on node n1 at home, which is offline",
            False,
        ),
        (
            VOLUME,
            [view(volumes={"prod/data": VolumeView("prod/data", "n9")})],
            "volume prod/data lies on node n9 at home, which is no longer part of it",
            False,
        ),
        (
            replace(VOLUME, locations=("x",)),
            [view(volumes={"prod/data": VolumeView("prod/data", "n1")}), view("x")],
            "volume prod/data lies at location home, which `location` does not allow",
            False,
        ),
        (
            replace(VOLUME, volumes=("prod/a", "prod/b")),
            [
                view(
                    "home",
                    node("n1"),
                    node("n2"),
                    volumes={"prod/a": VolumeView("prod/a", "n1"), "prod/b": VolumeView("prod/b", "n2")},
                )
            ],
            "its volumes lie on different nodes: n1 at home, n2 at home",
            False,
        ),
    ],
)
def test_no_place(request_: Request, views: list[LocationView], reason: str, *, waiting: bool) -> None:
    """Where no node will do, the reason says which and why, and whether waiting may help."""
    assert choose(request_, *views) == NoPlace(reason, waiting)


def test_volume_decides() -> None:
    """A container goes where its volume lies, whatever the load there."""
    busy = node("n1", load=1.0)
    home = view("home", busy, node("n2"), volumes={"prod/data": VolumeView("prod/data", "n1")})

    assert place(choose(VOLUME, home, view("x"))) == HOME


def test_volume_in_the_making() -> None:
    """A volume that was asked for and is not listed yet decides as well."""
    request = replace(VOLUME, homes={"prod/data": HOME})

    assert place(choose(request, view("home", node("n1", load=1.0), node("n2")))) == HOME


def test_allowed_locations() -> None:
    """`location` is kept to."""
    assert place(choose(replace(WEB, locations=("b",)), view("a"), view("b"))).location == "b"


shares = st.floats(-1, 2)


@given(load=shares, paging=shares, total=st.integers(0, 1 << 40), free=st.integers(0, 1 << 40))
def test_load_is_a_share(load: float, paging: float, total: int, free: int) -> None:
    """Whatever a location tells, the load is 0..1 in tenths."""
    tenths = load_of(node(load=load, paging=paging, memory_total=total, memory_free=free)) * 10

    assert 0 <= tenths <= 10
    assert tenths == pytest.approx(round(tenths))


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 1), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_best_is_least(nodes: list[tuple[int, int, float, bool]]) -> None:
    """No node that may be used has a smaller rank than the one chosen."""
    names = [f"n{number}" for number in range(len(nodes))]
    home = view("home", *(node(name, load=each[2]) for name, each in zip(names, nodes, strict=True)))
    failures = {Place("home", name): each[0] for name, each in zip(names, nodes, strict=True)}
    copies = {Place("home", name): each[1] for name, each in zip(names, nodes, strict=True)}

    choice = choose(WEB, home, failures=failures, copies=copies)

    assert isinstance(choice, Placement)
    assert choice.among == len(nodes)
    ranks = [(each[0], each[1], round(each[2], 1)) for each in nodes]
    assert (choice.rank.failures, choice.rank.copies, choice.rank.load) == min(ranks)
