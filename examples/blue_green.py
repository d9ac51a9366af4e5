#!/usr/bin/python3
"""Blue/green by hand: the new version is started beside the old one, and takes over when a person says so.

    blue_green.py FQDN BLUE_IMAGE GREEN_IMAGE

FQDN must be under a domain of the account (`tfdomains list`). Enter changes over, Enter again takes it back,
and so on until the end of input. No connection is dropped: the web endpoint adds one container before it
removes the other.
"""

import argparse
import sys

from tfnz.endpoint import Cluster
from tfnz.location import Location


def main() -> None:
    """Serve until the end of input."""
    parser = argparse.ArgumentParser(description="Changes between two versions of a web site.")
    parser.add_argument("fqdn")
    parser.add_argument("blue")
    parser.add_argument("green")
    args = parser.parse_args()
    with Location(quiet=True) as location:
        node = location.best_node()
        live, spare = node.spawn_container(args.blue), node.spawn_container(args.green)
        for container in (live, spare):
            container.wait_tcp(80)
        cluster = Cluster(containers=[live])
        location.endpoint_for(args.fqdn).publish(cluster, args.fqdn)
        print(f"{args.fqdn} is served by {live.image}; Enter changes to {spare.image}", flush=True)
        for _ in sys.stdin:
            cluster.add_container(spare)
            cluster.remove_container(live)
            live, spare = spare, live
            print(f"{args.fqdn} is served by {live.image}; Enter changes to {spare.image}", flush=True)


if __name__ == "__main__":
    main()
