"""Whether a load balancer should send clients to this tfd."""

from collections.abc import Mapping
from typing import Any, Final

_NOT_MEANT_TO_RUN: Final = ("draining", "stopped")


def trouble(document: Mapping[str, Any]) -> str:
    """Give why clients should go elsewhere, in one line; "" while this tfd serves them.

    It serves them when it has started and does not stop, each listener is bound, a location is connected, and
    at least one of the containers that are to run is good. One bad container among good ones is no reason:
    clients of the others would lose theirs. `trouble_of` asks for one alone.
    """
    if document["stopping"]:
        return "stopping"
    if not document["ready"]:
        return f"starting: {document['summary']}"
    deaf = [listener["name"] for listener in document["listeners"] if not listener["listening"]]
    if deaf:
        return f"not listening on {deaf[0]}"
    if not document["locations"]:
        return "no location joined"
    if not any(location["connected"] for location in document["locations"]):
        return "no location connected"
    meant = [told for told in document["containers"] if told["state"] not in _NOT_MEANT_TO_RUN]
    if meant and not any(told["state"] == "good" for told in meant):
        return "no container is good"
    return ""


def trouble_of(document: Mapping[str, Any], container: str) -> str | None:
    """Give why clients of one declared container should go elsewhere; None where none has that name."""
    states = [told["state"] for told in document["containers"] if told["name"] == container]
    if not states:
        return None
    if document["stopping"]:
        return "stopping"
    return "" if "good" in states else f"container {container} is {states[0]}"
