"""A program that is a command of its own, made of what the SDK's commands are made of."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.user import LIMIT, User

pytestmark = pytest.mark.engine

PROGRAM = """
import json
from tfnz.cli import base_argparse, generic_cli

def nodes(location, options):
    print(json.dumps([options.location, location.location, len(location.nodes)]))

def wrong(location, options):
    raise ValueError("that will not do")

parser = base_argparse("counting")
commands = parser.add_subparsers(dest="command")
commands.add_parser("nodes")
commands.add_parser("wrong")
generic_cli(parser, {"nodes": nodes, "wrong": wrong})
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The program's file."""
    file = tmp_path / "counting.py"
    file.write_text(PROGRAM)
    return file


def run(user: User, program: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the program as a person would."""
    return subprocess.run(
        [sys.executable, program, *arguments],
        env=user.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.mark.covers("tfnz.cli.base_argparse", "tfnz.cli.generic_cli")
def test_a_command_of_ones_own(user: User, program: Path) -> None:
    """It connects, does what was asked for, and tells a ValueError on stdout with exit code 1."""
    done = run(user, program, "--location", "sdk-home", "nodes")
    failed = run(user, program, "wrong")
    helped = run(user, program)

    assert (done.returncode, json.loads(done.stdout)) == (0, ["sdk-home", "sdk-home", 1]), done.stderr
    assert (failed.returncode, failed.stdout, failed.stderr) == (1, "that will not do\n", "")
    assert helped.returncode == 0
    assert "{nodes,wrong}" in helped.stdout


@pytest.mark.covers("tf --location", "tf --local")
def test_a_location_by_its_name_and_at_another_address(user: User) -> None:
    """`--location` says which keys are meant, `--local` where the location is dialled instead."""
    done = user.run("-q", "--location", "sdk-home", "busybox", "echo", "there")
    address = (user.home / ".20ft" / "sdk-home.address").read_text().split()[0]
    dialled = user.run("-q", "--local", address, "busybox", "echo", "there")
    dead = user.run("-q", "--local", "127.0.0.1:1", "busybox", "echo", "there")

    assert (done.returncode, done.stdout) == (0, b"there\r\n"), done.stderr
    assert (dialled.returncode, dialled.stdout) == (0, b"there\r\n"), dialled.stderr
    assert dead.returncode == 1
    assert b"127.0.0.1" in dead.stderr
