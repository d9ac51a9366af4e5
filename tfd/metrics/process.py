"""Figures of this process, under the names that Prometheus's own clients give them."""

import os
import resource
import time


def figures(uptime: float) -> dict[str, float]:
    """Give them; `uptime` is the seconds since the start. What /proc does not tell is left at 0."""
    used = os.times()
    return {
        "process_start_time_seconds": time.time() - uptime,
        "process_cpu_seconds_total": used.user + used.system,
        "process_resident_memory_bytes": _resident(),
        "process_open_fds": _open_descriptors(),
        "process_max_fds": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }


def _resident() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, ValueError):
        return 0


def _open_descriptors() -> int:
    """Give their number without looking at each: with 20,000, a list of them took 28 to 125 ms here."""
    try:
        # Linux 6.2 and later tell it as the directory's size (proc_pid_fd(5)), earlier ones 0.
        number = os.stat("/proc/self/fd").st_size
        if number:
            return number
        # The lowest number that is free: all below it are open, and few above it.
        number = os.open("/", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return 0
    os.close(number)
    return number
