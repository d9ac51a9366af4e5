"""What was left to the next process is another version's, damaged, or not all there."""

import pytest

from tests.support.dataplane import is_reset, receive_exactly
from tests.support.stage import WAIT, Stage, opened
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


def test_a_state_of_another_schema_keeps_the_listeners_and_tells_each_loss(stage: Stage) -> None:
    """What cannot be read is reset with a line for each client, and the next client is served."""
    port = stage.serve_echo()
    connections = opened(stage, port, 3)
    stage.leave()
    stage.manager.change("handover-state", lambda state: state.replace(b" 1\n", b" 99\n", 1))
    stage.daemon.start()

    assert [is_reset(connection) for connection in connections] == [True] * 3
    opened(stage, port, 1)
    assert stage.lines("left has schema 99, this one reads 1")
    for connection in connections:
        assert len(stage.lines(f"a connection from 127.0.0.1:{connection.getsockname()[1]} was reset")) == 1


def test_a_state_cut_short_ends_what_is_missing_alone(stage: Stage) -> None:
    """The connections before the cut go on, the others are reset, and the start succeeds."""
    port = stage.serve_echo()
    connections = opened(stage, port, 4)
    stage.leave()
    stage.manager.change("handover-state", lambda state: state[: len(state) * 2 // 3])
    stage.daemon.start()
    wait_for(lambda: stage.lines("taken over"), WAIT, "the second process")
    alive = 0
    for connection in connections:
        try:
            connection.sendall(b"again")
            alive += receive_exactly(connection, 5) == b"again"
        except ConnectionResetError:
            pass

    assert 0 < alive < 4
    assert len(stage.lines("was reset in the restart")) == 4 - alive
    opened(stage, port, 1)


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_state_never_hinders_the_start(stage: Stage, seed: int) -> None:
    """Whatever bytes are in it, the listeners serve, and no process ends."""
    port = stage.serve_echo()
    opened(stage, port, 2)
    stage.leave()

    def damage(state: bytes) -> bytes:
        changed = bytearray(state)
        line = state.index(b"\n") + 1
        for at in range(line + seed, len(changed), 7 + 6 * seed):
            changed[at] ^= 1 << (at % 8)
        return bytes(changed)

    stage.manager.change("handover-state", damage)
    stage.daemon.start()

    opened(stage, port, 1)
    assert not stage.lines("a defect of tfd")


@pytest.mark.parametrize("name", ["handover-state", "handover-sockets"])
def test_half_of_it_is_nothing(stage: Stage, name: str) -> None:
    """Sockets without their state are reset, a state without sockets is told; new clients are served."""
    port = stage.serve_echo()
    (connection,) = opened(stage, port, 1)
    stage.leave()
    stage.manager.drop(name)
    stage.daemon.start()

    assert is_reset(connection)
    opened(stage, port, 1)
    assert stage.lines("was reset in the restart")


def test_a_state_that_nobody_takes_ends_connections_by_a_reset(stage: Stage) -> None:
    """No client ever takes a lost hand-over for the end of what was said."""
    port = stage.serve_echo()
    (connection,) = opened(stage, port, 1)
    stage.leave()
    for name in ("handover-state", "handover-sockets"):
        stage.manager.drop(name)

    assert is_reset(connection)


def test_a_process_that_dies_in_between_takes_nobody_along_twice(stage: Stage) -> None:
    """Killed after it took over, the next one serves new clients; the former connections are reset."""
    port = stage.serve_echo()
    (connection,) = opened(stage, port, 1)
    stage.restart()
    wait_for(lambda: stage.lines("taken over"), WAIT, "the second process")
    stage.daemon.kill()
    stage.daemon.start()
    opened(stage, port, 1)

    assert is_reset(connection)
