"""The script that a container starts with, and what it leaves behind."""

import subprocess

from hypothesis import given
from hypothesis import strategies as st

from tflocation.engines.interface import ProcessSpec
from tflocation.engines.lxd.process import hosts_file, parse_exit, start_script

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
NAMES = st.from_regex(r"[A-Za-z_.-][A-Za-z0-9_.-]*", fullmatch=True)


@given(st.lists(TEXT, min_size=1, max_size=4), st.dictionaries(NAMES, TEXT, max_size=3), TEXT)
def test_script_is_a_script_whatever_is_in_it(args: list[str], environment: dict[str, str], cwd: str) -> None:
    """No argument, variable or directory breaks out of its quotes: the script's own lines stay the same."""
    script = start_script(
        ProcessSpec(tuple(args), cwd=f"/{cwd}", environment=environment),
        gateway="10.0.0.1",
        hosts="",
        mounts=[f"/{cwd}"],
    )

    told = subprocess.run(
        ["busybox", "sh", "-c", f"{_line(script, 'set -- ')}\nprintf '%s\\0' \"$@\""],
        capture_output=True,
        check=True,
    )

    assert told.stdout.decode().split("\0")[:-1] == args
    assert subprocess.run(["busybox", "sh", "-n"], input=script.encode(), check=False).returncode == 0


@given(st.integers(0, 255), st.booleans())
def test_exit_is_read(code: int, told: bool) -> None:
    """Code, words and the mark of a requested stop are read."""
    end = parse_exit(f"{code} some words\n" + ("told to stop\n" if told else ""))

    assert end is not None
    assert (end.code, end.reason, end.told) == (code, "some words", told)


@given(TEXT)
def test_spoilt_exit_is_harmless(text: str) -> None:
    """A container may write anything there: it is read as a code and one printable line, or as nothing."""
    end = parse_exit(text)

    assert end is None or (0 <= end.code <= 999 and (end.reason.isprintable() or not end.reason))


def test_hosts_know_the_container_and_its_friends() -> None:
    """The file has this machine, the container, and the others by name."""
    assert hosts_file("tf-1", "10.0.0.2", {"db": "10.0.0.3"}).splitlines()[2:] == [
        "10.0.0.2 tf-1",
        "10.0.0.3 db",
    ]


def _line(script: str, start: str) -> str:
    """Give the command that begins with `start`, over all its lines."""
    return start + script.partition(f"\n{start}")[2].partition("\nmkdir -p ")[0]
