"""The sub-commands of `tf` that manage what is at a location: one module for each noun."""

from collections.abc import Sequence

WORDS = (
    *("ps", "rm", "logs", "exec", "cp", "ssh"),
    *("volume", "kv", "node", "image", "account", "init", "help"),
)
"""The first words by which `tf` knows a sub-command; an image of such a name needs `tf run`."""


def dispatch(argv: Sequence[str]) -> int:
    """Do what a sub-command with its arguments asks for, and give the exit code.

    `argv` begins with one of WORDS. A wrong command line is SystemExit(2) (argparse), a failure is told in
    one line on stderr and is 1; `tf exec` gives the exit code of its process.
    """
    from tfnz.cli.generic import failures_told
    from tfnz.cli.manage.parser import parser

    options = parser().parse_args(list(argv))
    try:
        with failures_told(options.program):
            code: int = options.action(options)
            return code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
