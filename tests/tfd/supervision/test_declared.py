"""The configuration in the words of the wire."""

from tests.tfd.cluster import config, container
from tfd.config.model import Health
from tfd.supervision.declared import declared
from tfd.world import Probe


def test_names() -> None:
    """Names carry the environment; what is not enabled is not declared."""
    found = declared(
        config(
            container("web", volumes=(("data", "/d"),)),
            container("off", enabled=False),
            environment="test",
        )
    )

    assert list(found) == ["web"]
    assert found["web"].wire_name == "test/web/0"
    assert found["web"].volumes == (("test/data", "/d"),)


def test_keys() -> None:
    """A key tells whether a container was created from this declaration, and for which time."""
    web, other = declared(config(container("web"), container("other", image="b"))).values()

    assert web.generation(web.key(7)) == 7
    assert other.generation(web.key(7)) is None
    assert web.generation("") is None
    assert web.generation(f"{web.digest}-x") is None
    assert len(web.key(10**6)) <= 64


def test_fits() -> None:
    """A container at a location that is not allowed does not fit."""
    (web,) = declared(config(container("web", locations=("home",)))).values()

    assert web.fits("home", web.key(0))
    assert not web.fits("other", web.key(0))
    assert not web.fits("home", "else-0")


def test_probe() -> None:
    """Health is as declared, else a TCP connection to the first listener's port, else nothing."""
    health = Health(port=81, http="/up")
    found = declared(config(container("a", health=health), container("b"), container("c"), portless=("c",)))

    assert found["a"].probe == Probe(81, "/up", 2.0, 2.0, 2, 3)
    assert found["b"].probe == Probe(80, None, 2.0, 2.0, 2, 3)
    assert found["c"].probe is None
