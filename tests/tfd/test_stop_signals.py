"""Which signals leave connections to the next process, and which end them."""

import signal

import pytest

from tests.support.dataplane import receive_exactly
from tests.support.stage import WAIT, Stage, connect, opened
from tests.support.waiting import wait_for
from tfd.protocol.errors import Code, CommandError

pytestmark = pytest.mark.slow


def test_a_restart_right_before_a_stop_signal_is_a_restart(stage: Stage) -> None:
    """Systemd's SIGTERM may come at the same moment as the unit's SIGUSR2; the connection lives."""
    port = stage.serve_echo()
    with connect(port) as connection:
        connection.sendall(b"a")
        assert receive_exactly(connection, 1) == b"a"
        stage.daemon.signal(signal.SIGSTOP)
        stage.daemon.signal(signal.SIGUSR2)
        stage.daemon.signal(signal.SIGTERM)
        stage.daemon.signal(signal.SIGCONT)
        assert stage.daemon.process is not None
        assert stage.daemon.process.wait(WAIT) == 0
        stage.daemon.start()
        connection.sendall(b"b")

        assert receive_exactly(connection, 1) == b"b"


def test_a_stop_signal_of_systemd_alone_leaves_connections(stage: Stage) -> None:
    """While it reloads, systemd runs no ExecStop=: a SIGTERM may mean a restart and is taken for one."""
    port = stage.serve_echo()
    (connection,) = opened(stage, port, 1)
    stage.daemon.signal(signal.SIGHUP)
    assert stage.daemon.stop() == 0
    stage.daemon.start()
    connection.sendall(b"again")

    assert receive_exactly(connection, 5) == b"again"


def test_a_stop_signal_before_it_is_ready_leaves_connections_too(stage: Stage) -> None:
    """While it starts, systemd runs no ExecStop=: a SIGTERM may mean a restart and is taken for one."""
    port = stage.serve_echo()
    (connection,) = opened(stage, port, 1)
    stage.leave()
    stage.peer.fail["container.list"] = CommandError(Code.ENGINE, "not now")
    stage.daemon.start()
    wait_for(lambda: stage.lines("taken over"), WAIT, "the second process")
    assert stage.daemon.stop() == 0
    stage.daemon.start()
    connection.sendall(b"again")

    assert receive_exactly(connection, 5) == b"again"


def test_a_stop_still_ends_connections(stage: Stage) -> None:
    """SIGINT: what is open gets its few seconds and is then reset; nothing is left for anybody."""
    port = stage.serve_echo()
    with connect(port) as connection:
        connection.sendall(b"a")
        assert receive_exactly(connection, 1) == b"a"
        assert stage.daemon.stop(signal.SIGINT) == 0
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    wait_for(lambda: stage.manager.kept == [], WAIT, "the store to be empty")
