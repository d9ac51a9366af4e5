"""Lines wait for a sink that takes none, in order and within a bound, and nothing waits for them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.drivers.journal import WAITING_LIMIT, Entry, Outbox
from tfd.protocol.logged import LINES_DROPPED

LIMIT = 60
ASKING = """
import sys
from tfd.protocol.drivers.journal import journal_is_ours
print(journal_is_ours(sys.argv[1]))
"""


class Moody:
    """A sink that takes as many lines as it is told to."""

    takes_output = False

    def __init__(self) -> None:
        self.room = 0
        self.taken: list[str] = []
        self.closed = False

    def encode(self, entry: Entry) -> bytes:
        """Give the message, as long as the entry is said to be."""
        assert entry.kind in (None, LINES_DROPPED)
        name = f"dropped {entry.fields['count']}" if entry.kind else entry.message
        return name.encode().ljust(int(str(entry.fields.get("size", 0))))

    def send(self, data: bytes) -> bool:
        """Take a line while there is room."""
        if self.room == 0:
            return False
        self.room -= 1
        self.taken.append(data.decode().strip())
        return True

    def close(self) -> None:
        """Be closed."""
        self.closed = True


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, WAITING_LIMIT)), max_size=40))
def test_lines_arrive_in_order_or_are_counted(steps: list[tuple[int, int]]) -> None:
    """Whatever the sink takes when: each line comes once and in order, but for those that are counted."""
    sink = Moody()
    outbox = Outbox(sink)
    for number, (room, size) in enumerate(steps):
        sink.room += room
        outbox.put(Entry("info", str(number), {"size": size}))
        assert outbox.queued <= WAITING_LIMIT
    sink.room = 10_000
    outbox.close()

    numbers = [int(line) for line in sink.taken if line.isdecimal()]
    dropped = [int(line.split()[1]) for line in sink.taken if not line.isdecimal()]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + sum(dropped) == len(steps)
    assert sum(dropped) == outbox.lost
    assert sink.closed


def test_a_loop_sends_what_waits() -> None:
    """It is asked for one call at a time, and for none once nothing waits."""
    calls = []
    sink = Moody()
    outbox = Outbox(sink)
    outbox.attend(lambda seconds, callback: calls.append((seconds, callback)))
    for number in range(3):
        outbox.put(Entry("info", str(number), {}))
    assert len(calls) == 1
    sink.room = 2
    calls.pop()[1]()
    ((seconds, callback),) = calls
    sink.room = 2
    calls.clear()
    callback()

    assert seconds == 0
    assert sink.taken == ["0", "1", "2"]
    assert (calls, outbox.behind) == ([], False)


def test_the_journal_is_ours_where_stderr_leads_to_it_and_it_is_there(tmp_path: Path) -> None:
    """Not where $JOURNAL_STREAM is of another file, nor where the socket is missing or nobody's."""
    address = tmp_path / "journal"
    with (tmp_path / "stderr").open("wb") as stderr:
        status = os.fstat(stderr.fileno())

        def ours(inode: int = status.st_ino) -> bool:
            done = subprocess.run(
                [sys.executable, "-c", ASKING, address],
                env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{inode}"},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                timeout=LIMIT,
                check=True,
            )
            return done.stdout == "True\n"

        assert not ours()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
            journal.bind(str(address))
            assert ours()
            assert not ours(status.st_ino + 1)
        assert address.exists()
        assert not ours()
