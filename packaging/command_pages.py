"""The man pages of the commands, from what their parsers know."""

from collections.abc import Iterator
from dataclasses import dataclass

from roff import head, marked, paragraphs, roff, section, see_also, tagged, whole

from tfnz.cli.describing import Command, Option

Rows = tuple[tuple[str, str], ...]

SDK_FILES: Rows = (
    ("~/.20ft/default_location", "the name of the location that is meant where none is named"),
    ("~/.20ft/NAME", "the secret key for location NAME, mode 0600 or 0400"),
    ("~/.20ft/NAME.pub", "its public key"),
    ("~/.20ft/NAME.spub", "the location's public key"),
    ("~/.20ft/NAME.address", "host:port to dial; without this file NAME itself is dialled, at port 2020"),
    ("~/.20ft/host_key", "the key of ssh servers"),
)
SDK_ENVIRONMENT: Rows = (
    ("DOCKER_HOST", "the socket of the local container engine, such as unix:///run/podman/podman.sock"),
)
SDK_CODES: Rows = (
    ("0", "fine"),
    ("1", "it failed; one line on standard error says why"),
    ("2", "wrong command line"),
)
CODES_OF: dict[tuple[str, ...], Rows] = {
    ("tf",): (
        ("the process's", "once the container's process has ended by itself; 128 + n for signal n"),
        *SDK_CODES[1:],
    ),
    ("tf", "exec"): (("the process's", "128 + n where signal n ended it"), *SDK_CODES[1:]),
}
EXAMPLES: dict[tuple[str, ...], Rows] = {
    ("tf",): (
        ("tf nginx", "Run nginx, and reach its port 80 here, on the port that is printed."),
        ("nohup tf --offset 8000 nginx &", "The same on port 8080, outliving the login; no root needed."),
        ("tf -p 8080:80 .", "Run the image that was built last."),
        ("tf -ti alpine", "A shell in a new container."),
        ("tf -m data:/var/lib/data -e NAME=value -s debian", "A volume, a variable, ssh on port 2222."),
        ("tf --systemd ubuntu@vps.example.net tfnz/docs", "A service there that outlives reboots."),
        ("tf --systemd local -p 8080:80 nginx", "A service on this machine."),
        ("tf --systemd toml -p 8080:80 nginx >>/etc/tfd.toml", "Hand it to tfd instead."),
        ("tf ps; tf logs -f NAME; tf exec -ti NAME sh; tf rm NAME", "Look after what runs."),
    ),
    ("tf", "exec"): (("tf exec -ti web sh", "A shell."), ("tf exec -i web sh -c 'cat >/a' <a", "A pipe.")),
    ("tf", "cp"): (
        ("tf cp site/ web:/srv/www", "A directory."),
        ("tf cp web:/var/log/messages -", "A file to standard output."),
    ),
    ("tf", "kv"): (("tf kv set prod/db $ID prod/port 5432", "Two values at once, or none."),),
    ("tf", "init"): (("tf init 'me@192.0.2.7:2020/...'", "The line from an administrator, in quotes."),),
    ("tfdomains",): (("tfdomains prepare my.com", "Then the TXT record, then: tfdomains claim my.com"),),
}


@dataclass(frozen=True)
class Beside:
    """What a command's page tells beside what its parser knows.

    `commands_here` puts its sub-commands on the page; otherwise each has a page of its own.
    """

    codes: Rows
    also: tuple[str, ...]
    signals: Rows = ()
    files: Rows = ()
    environment: Rows = ()
    examples: Rows = ()
    commands_here: bool = False


def of_sdk(command: Command, others: tuple[Command, ...]) -> Beside:
    """Give what the pages of `tf` and its companions tell; `others` are named in SEE ALSO."""
    top = len(command.words) == 1
    return Beside(
        codes=CODES_OF.get(command.words, SDK_CODES),
        also=tuple(f"{'-'.join(one.words)}(1)" for one in others if one.words != command.words),
        files=SDK_FILES if top else (),
        environment=SDK_ENVIRONMENT if top else (),
        examples=EXAMPLES.get(command.words, ()),
    )


def page(command: Command, beside: Beside) -> str:
    """Give a man page (man(7))."""
    lines = [
        *head("-".join(command.words), 1, command.text),
        ".SH SYNOPSIS",
        *_synopsis(command, beside),
        ".SH DESCRIPTION",
        *paragraphs(command.description),
    ]
    if command.arguments:
        lines += [".SH ARGUMENTS", *_arguments(command)]
    if command.options:
        lines += [".SH OPTIONS", *_options(command)]
    if command.commands:
        lines += [".SH COMMANDS", *_commands(command, beside)]
    lines += section("SIGNALS", beside.signals)
    lines += section("EXIT STATUS", beside.codes)
    lines += section("EXAMPLES", beside.examples)
    lines += section("FILES", beside.files)
    lines += section("ENVIRONMENT", beside.environment)
    return whole([*lines, *see_also(beside.also)])


def _synopsis(command: Command, beside: Beside) -> Iterator[str]:
    yield f".B {roff(' '.join(command.words))}"
    if command.options:
        yield "[\\fIoptions\\fR]"
    if command.commands and not command.arguments:
        yield "[\\fICOMMAND\\fR ...]" if beside.commands_here else "\\fICOMMAND\\fR ..."
    yield from _placeholders(command)


def _placeholders(command: Command) -> Iterator[str]:
    for one in command.arguments:
        word = f"\\fI{roff(one.value)}\\fR{' ...' if one.many else ''}"
        yield word if one.required else f"[{word}]"


def _arguments(command: Command) -> Iterator[str]:
    for one in command.arguments:
        yield from tagged(one.value, one.text)


def _options(command: Command) -> Iterator[str]:
    for one in command.options:
        flags = ", ".join(one.flags) + (f" {one.value}" if one.value else "")
        choices = f" ({', '.join(one.choices)})" if one.choices else ""
        yield from tagged(flags, one.text + choices)


def _commands(command: Command, beside: Beside) -> Iterator[str]:
    for inner in command.commands:
        if not beside.commands_here:
            yield from tagged(" ".join(inner.words), f"{inner.text}; see {'-'.join(inner.words)}(1)")
        elif inner.commands:
            yield from _commands(inner, beside)
        else:
            yield f".SS {' '.join([roff(' '.join(inner.words)), *_placeholders(inner)])}"
            yield marked(" ".join((inner.description or f"{inner.text}.").split()))
            yield from _arguments(inner)
            yield from (line for line in _options(_without_help(inner)))


def _without_help(command: Command) -> Command:
    options = tuple(one for one in command.options if "--help" not in one.flags)
    return Command(command.words, command.text, command.description, options, command.arguments)


def with_inner(group: Command) -> Command:
    """Give a group whose options are those of its commands, each said once with the command's words."""
    if not group.commands:
        return group
    options = [
        Option(
            tuple(f"{' '.join(inner.words)} {flag}" for flag in one.flags), one.value, one.text, one.choices
        )
        for inner in group.commands
        for one in inner.options
        if "--help" not in one.flags and "--location" not in one.flags and "--local" not in one.flags
    ]
    return Command(
        group.words,
        group.text,
        f"{group.description}\n\nEach command takes --location LOCATION and --local ADDRESS too.",
        tuple(options),
        group.arguments,
        group.commands,
    )
