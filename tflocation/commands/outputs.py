"""container.output: what a container's process writes, for readers that come again for more."""

from collections.abc import Mapping

from tflocation.commands.call import Body, Call, Handler, Services
from tflocation.outputs import Question


async def output(services: Services, call: Call) -> Body:
    """Tell what follows a reader's place in the output."""
    parameters = call.parameters
    container = services.inventory.own(call.account, parameters["id"])
    question = Question(
        wait=parameters["wait"],
        after=parameters.get("after"),
        tail=parameters.get("tail", b""),
        reader=parameters.get("reader", ""),
        lines=parameters.get("lines", 0),
    )
    return dict(await services.outputs.read(container, question))


HANDLERS: Mapping[str, Handler] = {"container.output": output}
