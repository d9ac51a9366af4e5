"""What is told of a replica: its state in one word, and the reason in one line."""

from tfd.supervision.replica import Replica
from tfd.world import ReplicaState, World


def judge(replica: Replica, world: World) -> tuple[ReplicaState, str]:
    """Give the state of a declared container and why it is in it."""
    copy = replica.current
    if copy is None:
        return _without_copy(replica)
    if not copy.reachable:
        return _unreachable(replica, world)
    if copy.finished(replica.declared.container.restart):
        return ReplicaState.STOPPED, copy.ending
    if copy.failure:
        return ReplicaState.FAILED, replica.history.reason or copy.failure
    if copy.good(replica.declared.probe):
        return ReplicaState.GOOD, _replacement(replica)
    return ReplicaState.CHECKING, copy.verdict_reason or replica.history.reason


def _without_copy(replica: Replica) -> tuple[ReplicaState, str]:
    attempt, no_place = replica.attempt, replica.no_place
    if attempt is not None:
        lost = attempt.lost_since is not None
        return ReplicaState.WAITING if lost else ReplicaState.CREATING, attempt.step
    if no_place is not None:
        return ReplicaState.WAITING if no_place.waiting else ReplicaState.FAILED, no_place.reason
    if replica.history.reason:
        return ReplicaState.FAILED, replica.history.reason
    return ReplicaState.WAITING, "waiting for the locations to tell what they run"


def _unreachable(replica: Replica, world: World) -> tuple[ReplicaState, str]:
    copy = replica.current
    assert copy is not None
    view = world.locations.get(copy.ref.location)
    volumes = ", ".join(copy.view.volumes)
    holding = f", which holds volume {volumes}" if volumes else ""
    if view is not None and view.connected and view.listed:
        state = ReplicaState.FAILED if volumes else ReplicaState.WAITING
        return state, f"node {copy.place} is offline{holding}"
    return ReplicaState.WAITING, f"waiting for location {copy.ref.location}{holding}"


def _replacement(replica: Replica) -> str:
    """Say how the replacement of a good copy fares."""
    if replica.attempt is not None:
        return f"being replaced: {replica.attempt.step}"
    if replica.no_place is not None:
        return f"cannot be replaced: {replica.no_place.reason}"
    return replica.history.reason
