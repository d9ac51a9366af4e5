"""The handlers of all commands, by name; which parameters reach them is the protocol's one table."""

from collections.abc import Mapping

from tflocation.commands import (
    accounts,
    connections,
    containers,
    domains,
    endpoints,
    files,
    health,
    held,
    images,
    keyvalues,
    nodes,
    outputs,
    processes,
    tickets,
    volumes,
    watching,
)
from tflocation.commands.call import Handler

HANDLERS: Mapping[str, Handler] = {
    **accounts.HANDLERS,
    **connections.HANDLERS,
    **domains.HANDLERS,
    **endpoints.HANDLERS,
    **containers.HANDLERS,
    **files.HANDLERS,
    **health.HANDLERS,
    **held.HANDLERS,
    **images.HANDLERS,
    **keyvalues.HANDLERS,
    **nodes.HANDLERS,
    **outputs.HANDLERS,
    **processes.HANDLERS,
    **tickets.HANDLERS,
    **volumes.HANDLERS,
    **watching.HANDLERS,
}
