"""Completion for bash(1), made from what the parsers know.

Names of containers, volumes, locations and images are asked for with the commands that list them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tfnz.cli.describing import Command, Option


@dataclass(frozen=True, slots=True)
class Lists:
    """Where a script has names from: for words such as CONTAINER, the command that prints what they mean.

    `prefix` begins the names of the script's functions, since a shell has one space of names for all scripts;
    `alias` is another name of the first command.
    """

    prefix: str
    commands: tuple[tuple[str, str], ...]
    alias: str = ""


_IMAGES = (
    "{ docker image ls --format '{{.Repository}}:{{.Tag}}' || podman image ls --format "
    "'{{.Repository}}:{{.Tag}}'; } 2>/dev/null | grep -v '<none>'"
)
OF_SDK = Lists(
    prefix="_tfnz",
    commands=(
        ("CONTAINER", "tf ps --quiet 2>/dev/null"),
        ("VOLUME|VOLUME:MOUNTPOINT", "tf volume list --quiet 2>/dev/null"),
        ("LOCATION", "tflocations list 2>/dev/null | sed 's/ .*//'"),
        ("IMAGE|SOURCE", _IMAGES),
    ),
    alias="tfnz",
)

_HEAD = r"""# Completion for bash. Made from the parsers of the commands.

PREFIX_complete() {
    local cur="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"
    local path="${COMP_WORDS[0]##*/}" word index options="" names="" values=""
    COMPREPLY=()
    [ "$path" = "ALIAS" ] && path="FIRST"
    for ((index = 1; index < COMP_CWORD; index++)); do
        word="${COMP_WORDS[index]}"
        case " $(PREFIX_words "$path") " in *" $word "*) path="$path $word" ;; *) break ;; esac
    done
    values="$(PREFIX_value "$path" "$previous")"
    if [ -n "$values" ]; then
        case "$values" in
            choices:*) mapfile -t COMPREPLY < <(compgen -W "${values#choices:}" -- "$cur") ;;
            *) if names="$(PREFIX_names "$values")"; then
                   mapfile -t COMPREPLY < <(compgen -W "$names" -- "$cur")
               else
                   mapfile -t COMPREPLY < <(compgen -f -- "$cur")
               fi ;;
        esac
        return
    fi
    case "$cur" in
        -*) mapfile -t COMPREPLY < <(compgen -W "$(PREFIX_options "$path")" -- "$cur"); return ;;
    esac
    names="$(PREFIX_words "$path")"
    values="$(PREFIX_argument "$path")"
    if [ -n "$values" ] && options="$(PREFIX_names "$values")"; then names="$names $options"; fi
    mapfile -t COMPREPLY < <(compgen -W "$names" -- "$cur")
    case "$values" in
        FILE|SOURCE|DESTINATION) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur") ;;
    esac
}
"""


def script(commands: Sequence[Command], lists: Lists = OF_SDK) -> str:
    """Give the script that completes all these commands and their sub-commands."""
    every = [command for top in commands for command in _with_inner(top)]
    first, prefix = commands[0].words[0], lists.prefix
    head = _HEAD.replace("PREFIX", prefix).replace("ALIAS", lists.alias).replace("FIRST", first)
    names = [command.words[0] for command in commands] + ([lists.alias] if lists.alias else [])
    lines = [
        head,
        *_names(lists),
        *_function(
            f"{prefix}_words", ((one, " ".join(inner.words[-1] for inner in one.commands)) for one in every)
        ),
        *_function(f"{prefix}_options", ((one, " ".join(_flags(one))) for one in every)),
        *_function(
            f"{prefix}_argument", ((one, one.arguments[0].value if one.arguments else "") for one in every)
        ),
        *_values(f"{prefix}_value", every),
        f"complete -F {prefix}_complete {' '.join(names)}",
        "",
    ]
    return "\n".join(lines)


def _names(lists: Lists) -> list[str]:
    """Give the shell function that prints the names that a word stands for, and fails for other words."""
    body = [f"    {words}) {command} ;;" for words, command in lists.commands]
    return [
        f"{lists.prefix}_names() {{",
        '    case "$1" in',
        *body,
        "    *) return 1 ;;",
        "    esac",
        "}",
        "",
    ]


def _with_inner(command: Command) -> Iterator[Command]:
    yield command
    for inner in command.commands:
        yield from _with_inner(inner)


def _flags(command: Command) -> list[str]:
    return [flag for option in command.options for flag in option.flags if flag.startswith("--")]


def _function(name: str, rows: Iterator[tuple[Command, str]]) -> list[str]:
    """Give a shell function that prints, for a command, what belongs to it."""
    body = [f"    '{' '.join(command.words)}') echo '{text}' ;;" for command, text in rows if text]
    return [f"{name}() {{", '    case "$1" in', *body, "    esac", "}", ""]


def _values(name: str, commands: Sequence[Command]) -> list[str]:
    """Give the shell function that prints what follows an option, nothing after one without a value."""
    body = []
    for command in commands:
        for option in command.options:
            if option.value:
                words = " ".join(command.words)
                patterns = "|".join(f"'{words} {flag}'" for flag in option.flags)
                body.append(f"    {patterns}) echo '{_kind(option)}' ;;")
    return [f"{name}() {{", '    case "$1 $2" in', *body, "    esac", "}", ""]


def _kind(option: Option) -> str:
    return f"choices:{' '.join(option.choices)}" if option.choices else option.value
