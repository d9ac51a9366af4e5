"""`tfdomains`: the domains under which the account may publish."""

import argparse
from typing import TYPE_CHECKING

from tfnz.cli.generic import base_argparse, generic_cli

if TYPE_CHECKING:
    from tfnz.location import Location


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    top = base_argparse("tfdomains")
    top.description = "Claims domains for the account, so that web endpoints may be published under them."
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    commands.add_parser("list", help="list the domains, one a line")
    for name, text in (
        ("prepare", "ask for the token that proves the domain to be yours"),
        ("claim", "claim the domain once its DNS has the token"),
        ("global", "let every account of the location publish under the domain"),
        ("private", "let this account alone publish under the domain"),
        ("release", "give the domain up"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("domain", metavar="DOMAIN", help="such as my.com")
    return top


def main() -> None:
    """Run the command."""
    generic_cli(
        parser(),
        {
            "list": _list,
            "prepare": _prepare,
            "claim": _claim,
            "global": _share,
            "private": _keep,
            "release": _release,
        },
    )


def _list(location: "Location", _options: argparse.Namespace) -> None:
    for domain in location.connection.call("domain.list", {})["domains"]:
        print(domain["name"])


def _prepare(location: "Location", options: argparse.Namespace) -> None:
    token = location.connection.call("domain.prepare", {"domain": options.domain})["token"]
    print(f"Put this record into the DNS: tf-token.{options.domain} TXT {token}")
    print(f"Then run: tfdomains claim {options.domain}")
    print("The token is good for six hours.")


def _claim(location: "Location", options: argparse.Namespace) -> None:
    location.connection.call("domain.claim", {"domain": options.domain})
    print(f"Claimed: {options.domain}")


def _share(location: "Location", options: argparse.Namespace) -> None:
    location.connection.call("domain.share", {"domain": options.domain, "shared": True})
    print(f"Now global: {options.domain}")


def _keep(location: "Location", options: argparse.Namespace) -> None:
    location.connection.call("domain.share", {"domain": options.domain, "shared": False})
    print(f"Now private: {options.domain}")


def _release(location: "Location", options: argparse.Namespace) -> None:
    location.connection.call("domain.release", {"domain": options.domain})
    print(f"Released: {options.domain}")


if __name__ == "__main__":
    main()
