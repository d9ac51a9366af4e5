#!/usr/bin/python3
"""Serves a PostgreSQL on a local port, and takes a snapshot of its volume every night at three.

    nightly_snapshot.py [--port PORT] [--tag TAG] [--password-file FILE] [--now | --rollback]

The volume is found by its tag, so the data outlives this program. `--now` takes the snapshot at once and goes
on; `--rollback` starts from the last one.
"""

import argparse
import datetime as dt
import logging
import secrets
import signal
import sys
import threading
from pathlib import Path

from tfnz.components.postgresql import Postgresql
from tfnz.location import Location
from tfnz.volume import Volume

HOUR = dt.time(3, 0)


def seconds_until(hour: dt.time, now: dt.datetime) -> float:
    """Give the seconds from `now` until the clock next shows `hour`."""
    following = dt.datetime.combine(now.date(), hour)
    if following <= now:
        following += dt.timedelta(days=1)
    return (following - now).total_seconds()


def snapshot(database: Postgresql, volume: Volume) -> None:
    """Have PostgreSQL write all that it holds, so that the snapshot recovers at once; then take it."""
    database.run_process("psql -U postgres -c CHECKPOINT")
    volume.snapshot()
    logging.info("snapshot taken")


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="PostgreSQL with a nightly snapshot.")
    parser.add_argument("--port", type=int, default=5432)
    parser.add_argument("--tag", default="nightly-db")
    parser.add_argument("--password-file", type=Path, default=Path("nightly-db.password"))
    parser.add_argument("--now", action="store_true")
    parser.add_argument("--rollback", action="store_true")
    args = parser.parse_args()
    # As systemd stops it; the container then ends at once, and not after the lease.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    if not args.password_file.exists():
        args.password_file.touch(mode=0o600)
        args.password_file.write_text(secrets.token_urlsafe(16))
    with Location() as location:
        volume = location.ensure_volume(args.tag)
        if args.rollback:
            volume.rollback()
        database = Postgresql(
            location.best_node(), volume, password=args.password_file.read_text(), image="postgres"
        )
        database.wait_until_ready()
        database.attach_tunnel(5432, localport=args.port, bind="127.0.0.1")
        if args.now:
            snapshot(database, volume)
        stopped = threading.Event()
        while not stopped.wait(seconds_until(HOUR, dt.datetime.now())):
            snapshot(database, volume)


if __name__ == "__main__":
    main()
