"""`tf account`: one's own account, and for an administrator all of them."""

import argparse
import base64
from typing import TYPE_CHECKING

from tfd.protocol.keys import z85_decode
from tfnz import account
from tfnz.cli.generic import connected
from tfnz.cli.manage.adding import add_command, add_group, json_option
from tfnz.cli.manage.amounts import seconds
from tfnz.cli.manage.tables import show_json, show_table

if TYPE_CHECKING:
    from tfnz.cli.manage.adding import Commands

DAY = 86400


def add(commands: "Commands") -> None:
    """Add the commands of this file."""
    group = add_group(commands, "account", "show the account; an administrator manages all of them")
    json_option(add_command(group, "show", "show the account that this location knows you by", _show))
    json_option(add_command(group, "list", "list the accounts (administrators)", _list))
    invite = add_command(group, "invite", "print an invite for a new account (administrators)", _invite)
    invite.add_argument("--role", choices=("user", "admin"), default="user", help="default: user")
    invite.add_argument("--expires", type=seconds, metavar="TIME", default=DAY, help="default: 1d")
    invite.add_argument(
        "--address", metavar="HOST:PORT", help="where the location is reached (default: as it is from here)"
    )
    invite.add_argument("name", metavar="NAME", help="the new account's name")
    revoke = add_command(
        group, "revoke", "end an account, its sessions and its channels (administrators)", _revoke
    )
    revoke.add_argument("name", metavar="NAME", help="the account's name")


def _show(options: argparse.Namespace) -> int:
    with connected(options) as location:
        welcome = location.connection.welcome
        document = {
            "location": location.location,
            "account": welcome.account,
            "role": welcome.role.name.lower(),
            "key": base64.b64encode(location.user_pk).decode(),
        }
    if options.json:
        print(show_json(document))
    else:
        for name, value in document.items():
            print(f"{name:10} {value}")
    return 0


def _list(options: argparse.Namespace) -> int:
    with connected(options) as location:
        listed = location.connection.call("account.list", {})["accounts"]
    if options.json:
        print(show_json(listed))
        return 0
    rows = [
        (one["name"], one["role"], "revoked" if one["revoked"] else "joined", _base64(one["key"]))
        for one in sorted(listed, key=lambda one: str(one["name"]))
    ]
    print(show_table(("NAME", "ROLE", "STATE", "KEY"), rows))
    return 0


def _base64(key: str) -> str:
    """Give a key as it stands in ~/.20ft; the location tells it in z85."""
    return base64.b64encode(z85_decode(key)).decode()


def _invite(options: argparse.Namespace) -> int:
    with connected(options) as location:
        address = options.address or account.load(location.location).addresses[0]
        parameters = {
            "name": options.name,
            "role": options.role,
            "expires": float(options.expires),
            "address": str(address),
        }
        print(location.connection.call("account.invite", parameters)["invite"])
    return 0


def _revoke(options: argparse.Namespace) -> int:
    with connected(options) as location:
        location.connection.call("account.revoke", {"name": options.name})
    return 0
