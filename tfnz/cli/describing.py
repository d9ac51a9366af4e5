"""What the commands' parsers know, as plain data: man pages and completion are made of it."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    """An option by its spellings, or an argument (no spellings); `value` is the word for its value.

    `choices` are the values that are allowed, empty for any; `many` says that there may be several.
    """

    flags: tuple[str, ...]
    value: str
    text: str
    choices: tuple[str, ...] = ()
    many: bool = False
    required: bool = True


@dataclass(frozen=True, slots=True)
class Command:
    """A command with what may follow it; `words` are how it is called."""

    words: tuple[str, ...]
    text: str
    description: str
    options: tuple[Option, ...]
    arguments: tuple[Option, ...]
    commands: tuple["Command", ...] = ()


def all_commands() -> tuple[Command, ...]:
    """Describe every command of the package; those of `tf` that manage belong to `tf`."""
    from tfnz.cli import (
        options,
        tfacctbak,
        tfcache,
        tfdescribe,
        tfdomains,
        tflocations,
        tfresources,
        tfvolumes,
    )
    from tfnz.cli.manage import parser as managing

    run = describe(options.parser("tf"), ("tf",), "run a container at a location, and manage what is there")
    manage = describe(managing.parser(), ("tf",), "")
    tf = Command(
        run.words,
        run.text,
        run.description,
        run.options,
        run.arguments,
        (*manage.commands, _run_command(run)),
    )
    old = (tfvolumes, tfdomains, tfacctbak, tflocations, tfresources, tfcache, tfdescribe)
    described = (describe(module.parser(), (module.__name__.rpartition(".")[2],)) for module in old)
    return (tf, *described)


def describe(parser: argparse.ArgumentParser, words: tuple[str, ...], text: str = "") -> Command:
    """Describe one parser and those of its sub-commands."""
    options: list[Option] = []
    arguments: list[Option] = []
    commands: list[Command] = []
    for action in parser._actions:  # noqa: SLF001 - argparse tells its options nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - likewise
            commands += _commands(action, words)
        elif action.help != argparse.SUPPRESS:
            (options if action.option_strings else arguments).append(_option(action))
    description = parser.description or ""
    line = text or description.partition(".")[0]
    return Command(words, line, description, tuple(options), tuple(arguments), tuple(commands))


def _commands(
    action: "argparse._SubParsersAction[argparse.ArgumentParser]", words: tuple[str, ...]
) -> Iterator[Command]:
    lines = {choice.dest: choice.help or "" for choice in action._get_subactions()}  # noqa: SLF001 - likewise
    for name, parser in action.choices.items():
        yield describe(parser, (*words, name), lines.get(name, ""))


def _option(action: argparse.Action) -> Option:
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    many = action.nargs in ("*", "+", argparse.REMAINDER) or isinstance(action, argparse._AppendAction)  # noqa: SLF001 - likewise
    text = (
        (action.help or "") % {"default": action.default, "prog": ""}
        if "%(" in (action.help or "")
        else action.help or ""
    )
    return Option(
        flags=tuple(sorted(action.option_strings, key=len)),
        value=value,
        text=text,
        choices=tuple(str(choice) for choice in action.choices or ()),
        many=many,
        required=action.nargs not in ("?", "*", argparse.REMAINDER),
    )


def _run_command(tf: Command) -> Command:
    return Command(
        (*tf.words, "run"),
        "run an image that is called like a command of tf",
        "The same as tf without run; for an image that is called like one of the commands of tf.",
        tf.options,
        tf.arguments,
    )
