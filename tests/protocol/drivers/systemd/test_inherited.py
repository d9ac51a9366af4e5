"""What a process takes over from the service manager, whatever its environment says."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.service_manager import service_manager
from tfd.protocol.drivers.systemd.inherited import Inherited, take_inherited

SHOW = """
import os
from tfd.protocol.drivers.systemd.inherited import take_inherited
inherited = take_inherited()
found = [(name, descriptor, os.get_inheritable(descriptor)) for name in dict.fromkeys(inherited.names)
         for descriptor in inherited.take(name)]
print(found, [name for name in os.environ if name.startswith("LISTEN_")])
"""
VALUES = st.one_of(
    st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])),
    st.integers().map(str),
    st.just(str(os.getpid())),
)


def test_descriptors_come_by_name_once_and_are_closed_on_exec(tmp_path: Path) -> None:
    """Several may share a name; the variables are gone, so that no child takes them for its own."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
        socket.create_server(("127.0.0.1", 0)) as three,
        service_manager(tmp_path) as manager,
    ):
        for name, bound in (("web", one), ("mail", two), ("web", three)):
            manager.pass_socket(name, bound)
        shown = subprocess.run(
            [*manager.prefix(), sys.executable, "-c", SHOW],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    assert shown.strip() == "[('web', 3, False), ('web', 5, False), ('mail', 4, False)] []"


def test_another_process_s_descriptors_are_left_alone() -> None:
    """LISTEN_PID of a parent means that the parent did not clean its environment."""
    environment = {"LISTEN_PID": str(os.getppid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}

    assert take_inherited(environment).names == []
    assert environment == {}


@given(pid=VALUES, names=VALUES)
def test_wrong_values_mean_that_nothing_was_passed(pid: str, names: str) -> None:
    """No text in the variables raises; all of them are gone afterwards, and others are not."""
    environment = {"LISTEN_PID": pid, "LISTEN_FDS": "0", "LISTEN_FDNAMES": names, "LANG": "C"}

    assert take_inherited(environment).names == []
    assert environment == {"LANG": "C"}


@pytest.mark.parametrize("count", ["", "-1", "2.5", "1e3", "²", "9" * 5000, "many", "0x1"])
def test_a_wrong_count_is_none(count: str) -> None:
    """It is read as a decimal number or not at all."""
    assert take_inherited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}).names == []


def test_a_count_beyond_what_is_open_ends_there(tmp_path: Path) -> None:
    """The descriptors up to the first that is not open are taken, and no error."""
    with socket.create_server(("127.0.0.1", 0)) as bound, service_manager(tmp_path) as manager:
        manager.pass_socket("web", bound)
        code = SHOW.replace("take_inherited()", "take_inherited({**os.environ, 'LISTEN_FDS': '999999999'})")
        shown = subprocess.run(
            [*manager.prefix(), sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    assert shown.startswith("[('web', 3, False)]")


def test_what_nobody_takes_is_closed() -> None:
    """Descriptors without a reader do not stay open."""
    read, write = os.pipe()
    inherited = Inherited([("one", read), ("two", write)])
    assert inherited.take("one") == [read]
    assert inherited.take("one") == []
    inherited.close()

    assert inherited.names == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        fcntl.fcntl(write, fcntl.F_GETFD)
    os.close(read)
