"""The service that binds ports below 1024 for another one."""

import errno
import os
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.drivers.systemd.low_ports import ask, serve

LIMIT = 30.0
HOSTS = st.one_of(st.sampled_from(["127.0.0.1", "::1", "localhost", "", "0.0.0.0/0"]), st.text(max_size=20))
PORTS = st.one_of(st.sampled_from(["0", "1024", "65536", "-1", "²", "1e2", "00080"]), st.text(max_size=6))


def answer(request: bytes) -> bytes:
    """Give the answer to one request."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(LIMIT)
        ours.sendall(request)
        ours.shutdown(socket.SHUT_WR)
        serve(theirs)
        data, descriptors, _, _ = socket.recv_fds(ours, 64, 4)
    for descriptor in descriptors:
        os.close(descriptor)
    return data


@given(host=HOSTS, port=PORTS, end=st.sampled_from(["\n", "", "\nmore", " \n", "\n\n"]))
def test_what_is_no_request_is_refused(host: str, port: str, end: str) -> None:
    """Names, ports that need no privilege, and junk: the answer is a number of an error, and no socket."""
    if port.isascii() and port.isdecimal() and len(port) < 5 and 0 < int(port) < 1024:
        end = ""  # it would be a request
    assert answer(f"{host} {port}{end}".encode()) == str(errno.EINVAL).encode()


@given(request=st.binary(max_size=64).filter(lambda data: not data.endswith(b"\n")))
def test_bytes_of_any_kind_are_refused(request: bytes) -> None:
    """It ends in order."""
    assert answer(request) == str(errno.EINVAL).encode()


@pytest.mark.root
@pytest.mark.parametrize("name", [("127.0.0.1", 917), ("::1", 917, 0, 0), ("192.0.2.1", 917)])
def test_a_low_port_is_bound_and_handed_over(tmp_path: Path, name: tuple[str | int, ...]) -> None:
    """Also where no interface has the address yet; a second time it is in use."""
    path = os.fspath(tmp_path / "bind.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(path)
        listening.listen()

        def serve_two() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    serve(connection)

        serving = threading.Thread(target=serve_two)
        serving.start()
        bound, there = ask(name, path)
        with bound:
            assert there == (name[0] != "192.0.2.1")
            assert bound.getsockname()[:2] == name[:2]
            assert not bound.get_inheritable()
            bound.listen()
            with pytest.raises(OSError, match="Address already in use"):
                ask(name, path)
        serving.join(LIMIT)


def test_who_does_not_answer_is_told_of(tmp_path: Path) -> None:
    """A socket that is not there, and an end of the connection without an answer."""
    path = os.fspath(tmp_path / "bind.sock")
    with pytest.raises(FileNotFoundError):
        ask(("127.0.0.1", 80), path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(path)
        listening.listen()

        def hang_up() -> None:
            listening.accept()[0].close()

        closing = threading.Thread(target=hang_up)
        closing.start()
        with pytest.raises(OSError, match=r"Protocol error|Broken pipe|reset"):
            ask(("127.0.0.1", 80), path)
        closing.join(LIMIT)
