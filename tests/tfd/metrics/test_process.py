"""Figures of the process itself."""

import os
import time

from tfd.metrics.process import figures


def test_they_are_near_to_what_the_kernel_says() -> None:
    """Descriptors that are opened count, the limit is above them, memory and times are positive."""
    before = figures(100.0)
    opened = [os.open("/", os.O_RDONLY) for _ in range(50)]
    after = figures(100.0)
    for number in opened:
        os.close(number)

    assert after["process_open_fds"] >= before["process_open_fds"] + 40
    assert after["process_open_fds"] < after["process_max_fds"]
    assert after["process_resident_memory_bytes"] > 2**20
    assert after["process_cpu_seconds_total"] >= before["process_cpu_seconds_total"] > 0
    assert abs(time.time() - 100 - after["process_start_time_seconds"]) < 60
