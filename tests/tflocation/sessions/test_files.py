"""Files of containers, over pipes, on a real engine."""

import os
from typing import Any

import msgpack
import pytest

from tests.support.piping import PipeClient
from tests.tflocation.sessions.conftest import Holder
from tfd.protocol.pipe import Kind

pytestmark = [pytest.mark.engine, pytest.mark.root]


def infos(pipe: PipeClient) -> list[dict[str, Any]]:
    """Give what was told before the data."""
    return [msgpack.unpackb(piece.payload) for piece in pipe.received if piece.kind is Kind.INFO]


def test_a_file_comes_back_as_it_went(ann: Holder, container: dict[str, Any]) -> None:
    """Directories are made, the mode is kept, and it is there once it is whole."""
    content = os.urandom(3 << 20)
    put = ann.pipe("file.put", id=container["id"], path="/new/ä b/file", mode=0o640, size=len(content))
    put.send(Kind.DATA, content)
    assert ann.run(container, "ls '/new/ä b/file'")[0] != 0
    put.send(Kind.END)
    assert put.finish() == {}
    fetched = ann.pipe("file.fetch", id=container["id"], path="/new/ä b/file")

    assert fetched.finish() == {}
    assert fetched.output() == content
    assert infos(fetched) == [{"kind": "file", "size": len(content), "mode": 0o640, "entries": []}]


def test_what_is_cut_leaves_nothing(ann: Holder, container: dict[str, Any]) -> None:
    """Neither a pipe that is closed nor fewer bytes than announced change what was there."""
    ann.run(container, "mkdir /kept; echo before >/kept/file")
    for size in (None, 10):
        put = ann.pipe("file.put", id=container["id"], path="/kept/file", size=size)
        put.send(Kind.DATA, b"half")
        if size is None:
            ann.call("pipe.close", pipe=put.id)
        else:
            put.send(Kind.END)
            put.finish()
            assert put.last is not None
            assert put.last.kind is Kind.FAIL

    assert ann.run(container, "cat /kept/*; ls -A /kept") == (0, b"before\nfile\n")


def test_a_directory_of_any_length_is_listed(ann: Holder, container: dict[str, Any]) -> None:
    """More names than fit into one piece come in several."""
    count = 1200
    script = f"mkdir /many; cd /many; i=0; while [ $i -lt {count} ]; do >$(printf %064d $i); i=$((i+1)); done"
    ann.run(container, script)
    pipe = ann.pipe("file.fetch", id=container["id"], path="/many")
    assert pipe.finish() == {}

    told = infos(pipe)
    assert len(told) > 1
    assert told[0]["kind"] == "directory"
    assert [name for info in told for name in info["entries"]] == [f"{i:064d}" for i in range(count)]


@pytest.mark.parametrize(("path", "code"), [("/nowhere", "not-found"), ("/dev/null", "engine")])
def test_what_cannot_be_read_is_told(ann: Holder, container: dict[str, Any], path: str, code: str) -> None:
    """A file that is not there, and one that is no file."""
    pipe = ann.pipe("file.fetch", id=container["id"], path=path)

    assert pipe.finish()["code"] == code


def test_sftp(ann: Holder, container: dict[str, Any]) -> None:
    """The first message of the protocol is answered, and the end of input ends it."""
    pipe = ann.pipe("sftp.open", id=container["id"])
    pipe.send(Kind.DATA, b"\x00\x00\x00\x05\x01\x00\x00\x00\x03")
    pipe.until(lambda: len(pipe.output()) > 4, "the server's version")
    assert pipe.output()[4] == 2
    pipe.send(Kind.END)

    assert pipe.finish() == {}
