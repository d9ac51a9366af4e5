"""The choice of a node."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tflocation.engines.interface import NodeInfo
from tflocation.placement import FAILURE_MEMORY, Failures, best_node, load_of

IDLE = NodeInfo("a", True, 4, 0.0, 100, 100, 0.0, 0)
B = replace(IDLE, name="b")


def test_each_reason_counts_more_than_all_after_it() -> None:
    """Failures before copies before load."""
    busy = replace(IDLE, load=0.9)
    assert best_node("e/n/0", [busy, B], {"b": 1}, {"a": 3}).node == "a"  # type: ignore[union-attr]
    assert best_node("e/n/0", [busy, B], {}, {"b": 1}).node == "a"  # type: ignore[union-attr]
    choice = best_node("e/n/0", [busy, B], {}, {})
    assert choice is not None
    assert (choice.node, choice.reason) == ("b", "failures 0, copies 0, load 0.0, of 2 online")


def test_a_node_that_is_offline_is_never_chosen() -> None:
    """Without any other there is no choice."""
    assert best_node("e/n/0", [replace(IDLE, online=False)], {}, {}) is None


@given(st.permutations([IDLE, B, replace(IDLE, name="c")]), st.text(max_size=5))
def test_the_order_of_the_nodes_does_not_matter(nodes: list[NodeInfo], name: str) -> None:
    """Equal nodes are told apart by name alone, the same way each time."""
    assert best_node(name, nodes, {}, {}) == best_node(name, sorted(nodes, key=lambda n: n.name), {}, {})


def test_load_is_the_busiest_resource_rounded() -> None:
    """Processor, memory and paging count alike, and small differences not at all."""
    assert load_of(replace(IDLE, load=0.34)) == load_of(replace(IDLE, load=0.26)) == 0.3
    assert load_of(replace(IDLE, memory_free=20)) == 0.8
    assert load_of(replace(IDLE, paging=0.5)) == 0.5
    assert load_of(replace(IDLE, memory_total=0)) == 1.0


def test_failures_are_forgotten_after_five_minutes() -> None:
    """A node gets its next chance."""
    failures = Failures()
    failures.add("alice", "e/n/0", "a", 0.0)
    assert failures.count("alice", "e/n/0", "a", FAILURE_MEMORY - 1) == 1
    assert failures.count("bob", "e/n/0", "a", 1.0) == 0
    assert failures.count("alice", "e/n/0", "a", FAILURE_MEMORY) == 0
