"""The machines of a location, as a real engine and the kernel tell them."""

import os

import pytest

from tests.support.engine import shell
from tflocation.engines.lxd.engine import LxdEngine
from tflocation.engines.lxd.nodes import paging


@pytest.mark.engine
async def test_lone_machine(engine: LxdEngine) -> None:
    """One machine is one node, with its processors, load, memory and containers."""
    container = await engine.create_container(shell("exec sleep 99"))

    (node,) = await engine.nodes()

    assert (container.node, True, os.cpu_count(), 1) == (node.name, node.online, node.cpus, node.containers)
    assert 0 <= node.load <= 1
    assert 0 <= node.paging <= 1
    assert 0 < node.memory_free < node.memory_total


def test_paging_is_the_share_of_time_that_some_task_waited() -> None:
    """The `some` line counts, in hundredths; a kernel without it counts as not paging."""
    text = (
        "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n"
    )

    assert paging(text) == 0.125
    assert paging("") == 0.0
