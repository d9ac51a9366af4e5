"""When a load balancer should send its clients elsewhere."""

from typing import Any

import pytest

from tests.tfd.metrics.documents import document
from tfd.metrics.health import trouble, trouble_of


def test_one_good_container_and_one_location_are_health() -> None:
    """Whatever else is wrong."""
    told = document()
    told["containers"].append(told["containers"][0] | {"name": "other", "state": "failed"})
    told["locations"].append(told["locations"][0] | {"name": "other", "connected": False})

    assert trouble(told) == ""
    assert trouble_of(told, "web") == ""
    assert trouble_of(told, "other") == "container other is failed"
    assert trouble_of(told, "nobody") is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stopping": True}, "stopping"),
        ({"ready": False}, "starting"),
        ({"locations": []}, "no location joined"),
        ({"locations": document(connected=False)["locations"]}, "no location connected"),
        ({"containers": document(state="failed")["containers"]}, "no container is good"),
        ({"listeners": [document()["listeners"][0] | {"listening": False}]}, "not listening on web"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changes: dict[str, Any], words: str) -> None:
    """The gravest first."""
    said = trouble(document() | changes)

    assert words in said
    assert "\n" not in said


def test_containers_that_are_not_to_run_are_not_missed() -> None:
    """One that is not enabled, one that has ended as it should, and none at all."""
    assert trouble(document(state="stopped")) == ""
    assert trouble(document() | {"containers": []}) == ""
