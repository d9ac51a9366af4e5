"""What is known of the containers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.errors import Code, CommandError
from tflocation.engines.interface import ContainerInfo, State
from tflocation.inventory import Changed, Gone, Inventory
from tflocation.limits import Usage


def container(number: int, account: str = "alice", state: State = State.RUNNING) -> ContainerInfo:
    """Give a container."""
    return ContainerInfo(
        f"tf-{number}", account, f"prod/c{number}/0", "k", "one", "d", "10.0.0.1", state, None, "", 0.0, ()
    )


def test_differences_are_told_once() -> None:
    """The same list again says nothing new."""
    inventory = Inventory()
    assert inventory.replace([container(1)], inventory.stamp) == [Changed(container(1))]
    assert inventory.replace([container(1)], inventory.stamp) == []
    assert inventory.put(container(1, state=State.FAILED)) == [Changed(container(1, state=State.FAILED))]
    assert inventory.replace([], inventory.stamp) == [Gone(container(1, state=State.FAILED))]
    assert inventory.drop("tf-1") == []


def test_a_list_older_than_what_is_known_takes_nothing_back() -> None:
    """A container made or destroyed while the list was on its way stays as it is known."""
    inventory = Inventory()
    inventory.replace([container(1)], 0)
    asked_at = inventory.stamp
    inventory.put(container(2))
    inventory.drop("tf-1")

    assert inventory.replace([container(1)], asked_at) == []

    assert inventory.all() == [container(2)]


def test_another_accounts_container_does_not_exist() -> None:
    """The error is the same as for one that nobody has; before the first list it is unknown."""
    inventory = Inventory()
    with pytest.raises(CommandError) as caught:
        inventory.own("bob", "tf-1")
    assert caught.value.code == Code.UNAVAILABLE
    inventory.replace([container(1)], 0)
    messages = []
    for container_id in ("tf-1", "tf-9"):
        with pytest.raises(CommandError) as caught:
            inventory.own("bob", container_id)
        messages.append(caught.value.message.replace(container_id, ""))
        assert caught.value.code == Code.NOT_FOUND
    assert messages[0] == messages[1]
    assert inventory.own("alice", "tf-1") == container(1)


def test_usage_counts_what_declares_no_memory() -> None:
    """A container without a limit counts as the default."""
    inventory = Inventory()
    inventory.replace([container(1), container(2), container(3, "bob")], 0)
    assert inventory.usage("alice", 5) == Usage(2, 10)


def test_probes_learn_where_to_go() -> None:
    """An address is given for what runs."""
    inventory = Inventory()
    inventory.replace([container(1), container(2, state=State.STOPPED)], 0)
    assert inventory.whereabouts("tf-1") == ("10.0.0.1", "running")
    assert inventory.whereabouts("tf-2") == (None, "stopped")
    assert inventory.whereabouts("tf-3") == (None, "gone")


@given(st.lists(st.sets(st.integers(0, 5))))
def test_differences_rebuild_what_is_known(lists: list[set[int]]) -> None:
    """Who follows the differences knows what the inventory knows."""
    inventory, followed = Inventory(), {}
    for numbers in lists:
        for difference in inventory.replace([container(n) for n in numbers], inventory.stamp):
            if isinstance(difference, Changed):
                followed[difference.container.id] = difference.container
            else:
                del followed[difference.container.id]
        assert sorted(followed.values(), key=str) == sorted(inventory.all(), key=str)
        assert set(followed) == {f"tf-{n}" for n in numbers}
