"""What tflocation leaves to the next one on a restart: channels to containers' ports, and unused tickets.

Pipes (processes, files, consoles) do not go along: what is behind them lives in this process alone.
"""

import logging
from typing import Final

from tfd.protocol import __version__
from tfd.protocol.drivers import handover
from tfd.protocol.drivers.handover import MOST, Incoming, Outgoing
from tfd.protocol.drivers.relaying.sockets import close, peer_name, peer_of
from tfd.protocol.drivers.systemd.inherited import Inherited
from tfd.protocol.drivers.systemd.notify import Notifier
from tfd.protocol.errors import UsageError
from tfd.protocol.handover import Unreadable
from tflocation import logged
from tflocation.channels import ChannelServer
from tflocation.logs import told
from tflocation.suspended import SuspendedChannel, SuspendedNewcomer, SuspendedTicket
from tflocation.tickets import Grant, PortTarget, Tickets

PROGRAM: Final = "tflocation"
KINDS: Final = (SuspendedTicket, SuspendedNewcomer, SuspendedChannel)

log = logging.getLogger(__name__)


def leave(channels: ChannelServer, tickets: Tickets, notifier: Notifier, now: float) -> None:
    """Leave the channels to containers' ports to the next process; this one relays nothing more on them.

    Beyond `MOST`, and where there is no room for more, those that have been silent longest are reset. `now`
    is the time of the tickets. Never raises.
    """
    try:
        outgoing = Outgoing(PROGRAM, __version__)
    except OSError as error:
        _tell_lost(f"no channel can be handed over: {error.strerror}")
        return
    for grant in tickets.unused(now):
        if isinstance(grant.target, PortTarget):
            outgoing.add(_suspended(grant, grant.target, now))
    left = closed = 0
    for state, plain, channel in channels.suspend():
        if left < MOST and outgoing.add(state, plain, channel):
            left += plain is not None
            continue
        channel.close()
        if plain is not None:
            closed += 1
            close(plain, reset=True)
    in_time = handover.leave(outgoing, notifier)
    closed += outgoing.dropped
    left -= outgoing.dropped
    if closed:
        which = f"{closed} channels are reset, those that have been silent longest"
        _tell_lost(f"{which}: {left} is the most that can be handed over")
    if not in_time:
        _tell_lost(f"the service manager has not taken over {left} channels in time")
    log.info("channels are left to the next process", extra=told(logged.HANDED_OVER, count=left))


def take_over(
    channels: ChannelServer, tickets: Tickets, inherited: Inherited, notifier: Notifier, now: float
) -> None:
    """Go on with what the process before left. Never raises."""
    incoming = handover.take(inherited, notifier, PROGRAM, KINDS)
    if incoming is None:
        return
    taken = 0
    for record in incoming:
        if isinstance(record, SuspendedTicket):
            tickets.take_over(_grant(record, now))
        elif isinstance(record, SuspendedNewcomer):
            connection = incoming.claim(record.channel)
            if connection is not None:
                channels.await_ticket(record, connection)
        elif isinstance(record, SuspendedChannel):
            taken += _go_on(channels, incoming, record)
        elif isinstance(record, Unreadable):
            _tell_lost(f"a record of the process before cannot be used: {record.reason}")
    if incoming.trouble:
        _tell_lost(incoming.trouble)
    for plain in incoming.unclaimed():
        trouble = incoming.trouble or "its state cannot be used"
        _tell_lost(f"a channel to {peer_name(peer_of(plain))} was reset in the restart: {trouble}")
    incoming.close()
    log.info("channels were taken over from the process before", extra=told(logged.TAKEN_OVER, count=taken))


def _go_on(channels: ChannelServer, incoming: Incoming, state: SuspendedChannel) -> bool:
    plain, channel = incoming.claim(state.plain), incoming.claim(state.channel)
    try:
        if plain is None or channel is None:
            raise UsageError("its sockets have not come along")
        channels.go_on(state, plain, channel)
    except (UsageError, OSError) as error:
        for found in (plain, channel):
            if found is not None:
                found.close()
        _tell_lost(f"a channel to container {state.container} was reset in the restart: {error}")
        return False
    return True


def _suspended(grant: Grant, target: PortTarget, now: float) -> SuspendedTicket:
    remaining = grant.expires - now
    return SuspendedTicket(
        grant.id, grant.key, grant.cipher, grant.account, grant.container, target, remaining
    )


def _grant(ticket: SuspendedTicket, now: float) -> Grant:
    return Grant(
        ticket.id,
        ticket.key,
        ticket.cipher,
        ticket.account,
        ticket.container,
        ticket.target,
        now + ticket.remaining,
    )


def _tell_lost(reason: str) -> None:
    log.error("%s", reason)
