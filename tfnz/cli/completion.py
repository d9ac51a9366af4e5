"""Completion for bash(1), made from what the parsers know.

Names of containers, volumes, locations and images are asked for with the commands that list them.
"""

from collections.abc import Iterator, Sequence

from tfnz.cli.describing import Command, Option

_HEAD = r"""# Completion for bash of tf and its companions. Made from their parsers.

_tfnz_names() {
    local format='{{.Repository}}:{{.Tag}}'
    case "$1" in
        CONTAINER) tf ps --quiet 2>/dev/null ;;
        VOLUME|VOLUME:MOUNTPOINT) tf volume list --quiet 2>/dev/null ;;
        LOCATION) tflocations list 2>/dev/null | sed 's/ .*//' ;;
        IMAGE|SOURCE) { docker image ls --format "$format" || podman image ls --format "$format"; } \
            2>/dev/null | grep -v '<none>' ;;
        *) return 1 ;;
    esac
}

_tfnz_complete() {
    local cur="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"
    local path="${COMP_WORDS[0]##*/}" word index options="" names="" values=""
    COMPREPLY=()
    [ "$path" = tfnz ] && path=tf
    for ((index = 1; index < COMP_CWORD; index++)); do
        word="${COMP_WORDS[index]}"
        case " $(_tfnz_words "$path") " in *" $word "*) path="$path $word" ;; *) break ;; esac
    done
    values="$(_tfnz_value "$path" "$previous")"
    if [ -n "$values" ]; then
        case "$values" in
            choices:*) mapfile -t COMPREPLY < <(compgen -W "${values#choices:}" -- "$cur") ;;
            *) if names="$(_tfnz_names "$values")"; then
                   mapfile -t COMPREPLY < <(compgen -W "$names" -- "$cur")
               else
                   mapfile -t COMPREPLY < <(compgen -f -- "$cur")
               fi ;;
        esac
        return
    fi
    case "$cur" in
        -*) mapfile -t COMPREPLY < <(compgen -W "$(_tfnz_options "$path")" -- "$cur"); return ;;
    esac
    names="$(_tfnz_words "$path")"
    values="$(_tfnz_argument "$path")"
    if [ -n "$values" ] && options="$(_tfnz_names "$values")"; then names="$names $options"; fi
    mapfile -t COMPREPLY < <(compgen -W "$names" -- "$cur")
    case "$values" in
        FILE|SOURCE|DESTINATION) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur") ;;
    esac
}
"""


def script(commands: Sequence[Command]) -> str:
    """Give the script that completes all these commands and their sub-commands."""
    every = [command for top in commands for command in _with_inner(top)]
    lines = [
        _HEAD,
        *_function(
            "_tfnz_words", ((one, " ".join(inner.words[-1] for inner in one.commands)) for one in every)
        ),
        *_function("_tfnz_options", ((one, " ".join(_flags(one))) for one in every)),
        *_function(
            "_tfnz_argument", ((one, one.arguments[0].value if one.arguments else "") for one in every)
        ),
        *_values(every),
        f"complete -F _tfnz_complete {' '.join(command.words[0] for command in commands)} tfnz",
        "",
    ]
    return "\n".join(lines)


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


def _values(commands: Sequence[Command]) -> list[str]:
    """Give the shell function that prints what follows an option, nothing after one without a value."""
    body = []
    for command in commands:
        for option in command.options:
            if option.value:
                words = " ".join(command.words)
                patterns = "|".join(f"'{words} {flag}'" for flag in option.flags)
                body.append(f"    {patterns}) echo '{_kind(option)}' ;;")
    return ["_tfnz_value() {", '    case "$1 $2" in', *body, "    esac", "}", ""]


def _kind(option: Option) -> str:
    return f"choices:{' '.join(option.choices)}" if option.choices else option.value
