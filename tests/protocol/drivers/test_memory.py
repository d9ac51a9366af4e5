"""Memory that only a start needed is given back, and what is left works on."""

import gc
import subprocess
import sys

import pytest

from tests.support.heap import HOLE, leave_hole, resident
from tests.support.recording import RecordingLog
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.drivers.memory import QUIET, Thrift, growing, trim

LIMIT = 60

PROGRAM = """
import os, sys
import zmq
from tfd.protocol.channel import Channel, FrameType, Role, available_ciphers
from tfd.protocol.drivers.memory import give_back

def files():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssFile:"))

def relayed(cipher):
    key = os.urandom(32)
    sender, receiver = Channel(Role.OPENER, key, cipher), Channel(Role.LOCATION, key, cipher)
    return receiver.receive(sender.seal(FrameType.DATA, b"all of it"))[0].payload

assert all(relayed(cipher) == b"all of it" for cipher in available_ciphers())
before = files()
give_back()
after = files()
assert after < before, (before, after)
assert all(relayed(cipher) == b"all of it" for cipher in available_ciphers())
context = zmq.Context()
context.socket(zmq.PAIR).close()
context.destroy(0)
print("works on")
"""


def test_a_program_that_gave_back_works_on_with_less() -> None:
    """Libraries' pages leave the process, and come back as they were when they are used again."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "works on\n", "")


def test_free_pages_leave_the_heap_wherever_they_are() -> None:
    """Also below a block that is in use, which malloc itself does not give back."""
    full = leave_hole()
    assert resident() > full - HOLE // 2

    trim()

    assert resident() < full - HOLE // 2


def test_it_is_done_once_after_the_last_thing_that_was_done() -> None:
    """However often something is done, one call is due, QUIET seconds after the last."""
    loop = Loop(RecordingLog())
    thrift = Thrift(loop)
    try:
        for _ in range(3):
            thrift.stirred()
        due, now = loop.due, loop.now
    finally:
        loop.close()
    assert due is not None
    assert 0 < due - now <= QUIET


def test_garbage_is_looked_for_again_after_much_was_taken() -> None:
    """Also where taking it failed."""

    def take() -> None:
        with growing():
            assert not gc.isenabled()
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        take()
    assert gc.isenabled()
