"""What tfd leaves to the next tfd on a restart, and what that one makes of it: counts and connections.

Everything is left at once and nothing is waited for: bytes that no socket has taken go along as bytes.
"""

import time
from collections import Counter

from tfd import __version__
from tfd.log import Log
from tfd.protocol import logged
from tfd.protocol.dataclass import dataclass
from tfd.protocol.drivers import handover
from tfd.protocol.drivers.handover import MOST, Incoming, Outgoing
from tfd.protocol.drivers.relaying.driver import Counts, Traffic
from tfd.protocol.drivers.relaying.sockets import close, peer_name, peer_of
from tfd.protocol.drivers.relaying.suspended import ConnectionState
from tfd.protocol.drivers.systemd.inherited import Inherited
from tfd.protocol.drivers.systemd.notify import Notifier
from tfd.protocol.errors import UsageError
from tfd.protocol.handover import Unreadable
from tfd.protocol.route import Route
from tfd.proxy import Proxy

PROGRAM = "tfd"


@dataclass(frozen=True, slots=True)
class ListenerCounts:
    """What one listener did so far; see tfd.proxy.ListenerStatistics."""

    name: str
    accepted: int
    bytes_in: int
    bytes_out: int
    refused: tuple[tuple[str, int], ...]


KINDS = (ListenerCounts, ConnectionState)


def leave(proxy: Proxy, notifier: Notifier, log: Log, most: int = MOST) -> None:
    """Leave the connections to the next process; this one relays nothing any more. Never raises.

    Beyond `most`, and where there is no room for more, those that have been silent longest are reset.
    """
    begun = time.monotonic()
    statistics = proxy.statistics()
    proxy.leave_listeners()
    try:
        outgoing = Outgoing(PROGRAM, __version__)
    except OSError as error:
        _tell_lost(log, f"no connection can be handed over: {error.strerror}")
        return
    for name, counts in statistics.items():
        refused = tuple(counts.refused.items())
        outgoing.add(ListenerCounts(name, counts.accepted, counts.bytes_in, counts.bytes_out, refused))
    left = closed = 0
    for state, client, channel in proxy.suspend():
        if left < most and outgoing.add(state, client, channel):
            left += 1
            continue
        closed += 1
        close(client, reset=True)
        if channel is not None:
            channel.close()
    in_time = handover.leave(outgoing, notifier)
    closed += outgoing.dropped
    left -= outgoing.dropped
    if closed:
        which = f"{closed} connections are reset, those that have been silent longest"
        _tell_lost(log, f"{which}: {left} is the most that can be handed over", count=closed)
    if not in_time:
        _tell_lost(log, f"the service manager has not taken over {left} connections in time")
    seconds = round(time.monotonic() - begun, 3)
    message = f"{left} connections are left to the next process, in {seconds} s"
    log.event(logged.HANDED_OVER, message, count=left, seconds=seconds)


def take_over(proxy: Proxy, inherited: Inherited, notifier: Notifier, log: Log) -> set[Route]:
    """Go on with what the process before left, and give the routes that its connections use. Never raises."""
    begun = time.monotonic()
    incoming = handover.take(inherited, notifier, PROGRAM, KINDS)
    if incoming is None:
        return set()
    routes: set[Route] = set()
    taken = 0
    for record in incoming:
        if isinstance(record, ListenerCounts):
            refused = Counter(dict(record.refused))
            counts = Counts(0, 0, record.accepted, Traffic(record.bytes_in, record.bytes_out), refused)
            proxy.add_counts(record.name, counts)
        elif isinstance(record, ConnectionState):
            if _go_on(proxy, incoming, record, log):
                taken += 1
                if record.route is not None:
                    routes.add(record.route)
        elif isinstance(record, Unreadable):
            _tell_lost(log, f"a record of the process before cannot be used: {record.reason}")
    trouble = incoming.trouble or "its state cannot be used"
    if incoming.trouble:
        _tell_lost(log, incoming.trouble)
    for client in incoming.unclaimed():
        peer = peer_name(peer_of(client))
        _tell_lost(log, f"a connection from {peer} was reset in the restart: {trouble}", peer=peer)
    incoming.close()
    seconds = round(time.monotonic() - begun, 3)
    message = f"{taken} connections were taken over from the process before, in {seconds} s"
    log.event(logged.TAKEN_OVER, message, count=taken, seconds=seconds)
    return routes


def _go_on(proxy: Proxy, incoming: Incoming, state: ConnectionState, log: Log) -> bool:
    client, channel = incoming.claim(state.client), incoming.claim(state.channel)
    try:
        if client is None:
            raise UsageError("its client's socket has not come along")
        proxy.resume(state, client, channel)
    except (UsageError, OSError) as error:
        for found in (client, channel):
            if found is not None:
                found.close()
        listener = state.listener.name
        _tell_lost(log, f"a connection to {listener} was reset in the restart: {error}", listener=listener)
        return False
    return True


def _tell_lost(log: Log, reason: str, **fields: object) -> None:
    log.event(logged.CONNECTION_LEFT_BEHIND, reason, reason=reason, **fields)
