"""`tf node`: the machines of the location."""

import argparse
from typing import TYPE_CHECKING

from tfnz.cli.generic import connected
from tfnz.cli.manage.adding import add_command, add_group, json_option
from tfnz.cli.manage.tables import amount, show_json, show_table

if TYPE_CHECKING:
    from tfnz.cli.manage.adding import Commands


def add(commands: "Commands") -> None:
    """Add the commands of this file."""
    group = add_group(commands, "node", "list the nodes of the location")
    json_option(add_command(group, "list", "list the nodes and how busy they are", _list))


def _list(options: argparse.Namespace) -> int:
    with connected(options) as location:
        nodes = location.connection.call("node.list", {})["nodes"]
    if options.json:
        print(show_json(nodes))
        return 0
    rows = [
        (
            node["name"],
            "online" if node["online"] else "offline",
            node["cpus"],
            f"{node['load']:.0%}",
            amount(node["memory_free"]),
            amount(node["memory_total"]),
            f"{node['paging']:.0%}",
            node["containers"],
        )
        for node in sorted(nodes, key=lambda node: str(node["name"]))
    ]
    print(show_table(("NODE", "STATE", "CPUS", "LOAD", "FREE", "MEMORY", "PAGING", "CONTAINERS"), rows))
    return 0
