"""The command line of `tf`: what each option means, and what is said of a wrong one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfnz.cli.options import ROWS, Options, WrongUsageError, parse, split
from tfnz.cli.values import Web

ENVIRONMENT = {"HOME": "/home/ü", "LANG": "C"}


def parsed(*words: str) -> Options:
    """Parse as `tf`."""
    return parse(words, ENVIRONMENT, "tf")


@pytest.mark.covers("tf", "tfnz")
def test_an_image_alone() -> None:
    """Everything else has its default."""
    options = parsed("nginx")

    assert options.source == "nginx"
    assert options.command is None
    assert not options.interactive
    assert options.publish == ()


def test_what_follows_the_image_is_the_containers() -> None:
    """Dashes, our own options and double dashes too."""
    assert parsed("-q", "alpine", "-p", "1:2", "--", "--help").command == ("-p", "1:2", "--", "--help")
    assert parsed("--", "alpine", "--", "ls").command == ("--", "ls")


SAME = {
    "interactive": (["-ti"], ["-it"], ["-t"], ["-i"], ["--interactive"], ["--inter"], ["-zi", "-t"]),
    "sleep": (["-z"], ["--sleep"], ["-qz"]),
    "verbose": (["-v"], ["-vv"], ["--verbose", "-v"]),
    "quiet": (["-q"], ["--quiet"]),
}


@pytest.mark.covers("tf --verbose", "tf --quiet", "tf -ti", "tf -t", "tf -i", "tf --sleep")
@pytest.mark.parametrize(("name", "words"), [(name, words) for name, all_ in SAME.items() for words in all_])
def test_spellings_of_flags(name: str, words: list[str]) -> None:
    """Old and new, long and short, abbreviated and in one word."""
    assert getattr(parsed(*words, "alpine", "x"), name) is True


MEANINGS: list[tuple[list[str], str, object]] = [
    (["-e", "A=1", "--env=B=x=y"], "environment", (("A", "1"), ("B", "x=y"))),
    (["--environment", "HOME"], "environment", (("HOME", "/home/ü"),)),
    (["-eA="], "environment", (("A", ""),)),
    (["-p", "8080:80", "--publish=0:53"], "publish", ((8080, 80), (0, 53))),
    (["-p8080:80"], "publish", ((8080, 80),)),
    (["-m", "db:/var/db/", "-m", "u:t:/srv"], "mounts", (("db", "/var/db"), ("u:t", "/srv"))),
    (["-m", "a:/mnt", "-m", "b:/mnt2"], "mounts", (("a", "/mnt"), ("b", "/mnt2"))),
    (["-s"], "ssh", 2222),
    (["-s", "2022"], "ssh", 2022),
    (["-s2022"], "ssh", 2022),
    (["--ssh", "22"], "ssh", 22),
    (["-zs"], "ssh", 2222),
    (["-w", "a.example.com"], "web", Web("a.example.com")),
    (["-w", "a.example.com:b"], "web", Web("a.example.com", "b")),
    (["--offset", "8000"], "offset", 8000),
    (["--offset=-1000"], "offset", -1000),
    (["--bind", "[::1]"], "bind", "::1"),
    (["--public"], "bind", None),
    (["-c", "/bin/sh"], "command", ("/bin/sh",)),
    (["--entrypoint", "/bin/sh"], "command", ("/bin/sh",)),
    (["--location", "home"], "location", "home"),
    (["--loc", "home"], "location", "home"),
    (["--local", "10.0.0.1"], "local", "10.0.0.1"),
    (["--local_broker", "10.0.0.1"], "local", "10.0.0.1"),
    (["--browser", "--domain", "a.local", "--path", "x"], "domain", "a.local"),
]


@pytest.mark.covers("tf --env", "tf --environment", "tf --publish", "tf --mount", "tf --ssh", "tf -s")
@pytest.mark.covers("tf --web", "tf --offset", "tf --command", "tf --entrypoint", "tf --public")
@pytest.mark.parametrize(("words", "name", "value"), MEANINGS)
def test_values(words: list[str], name: str, value: object) -> None:
    """Each option's value, as it is understood."""
    assert getattr(parsed(*words, "alpine"), name) == value


def test_a_command_after_its_program() -> None:
    """--command replaces the program; the words after the image are its arguments."""
    assert parsed("-c", "ls", "alpine", "-l", "/").command == ("ls", "-l", "/")


@pytest.mark.covers("tf --file")
def test_files_keep_their_name_in_a_directory() -> None:
    """A destination that ends in a slash gets the source's name."""
    options = parsed("-f", "some/where.txt:/etc/", "-f", "b:/c/d", "alpine")

    assert [(str(source), destination) for source, destination in options.files] == [
        ("some/where.txt", "/etc/where.txt"),
        ("b", "/c/d"),
    ]


WRONG = {
    "": "an image is missing",
    "-q": "an image is missing",
    "-v -q x": "--verbose and --quiet contradict",
    "--pubish 1:2 x": "is --publish meant",
    "-x y": "there is no option -x",
    "-qx y": "there is no option -qx",
    "--lo h x": "--lo may mean --local, --location",
    "--quiet=1 x": "--quiet takes no value",
    "-p": "-p needs a value",
    "-p 80 x": "--publish '80': allowed is LOCAL:REMOTE",
    "-p a:80 x": "allowed is a port from 0 to 65535",
    "-p 1:0 x": "allowed is a port from 1 to 65535",
    "-p 1:99999 x": "allowed is a port from 1 to 65535",
    "-p ²:80 x": "allowed is a port",
    "-p 80:80 -p 80:81 x": "local port 80 is given twice",
    "-e A.B=1 x": "--env 'A.B=1'",
    "-e A=1 -e A=2 x": "--env A is given twice",
    "-e NOT_SET x": "not set in this environment",
    "-f a x": "--file 'a': allowed is SOURCE:DESTINATION",
    "-f a:b:c x": "allowed is SOURCE:DESTINATION",
    "-f a:rel x": "from / on",
    "-f a:/x/../y x": "is no place for a file",
    "-f a:/x -f b:/x x": "/x is given twice",
    "-m v x": "--mount 'v': allowed is VOLUME:MOUNTPOINT",
    "-m v:rel x": "from / on",
    "-m v:/ x": "is no place for a volume",
    "-m v:/a/.. x": "is no place for a volume",
    "-m v:/a -m w:/a/b x": "/a/b and /a overlap",
    "-m v:/a -m w://a x": "overlap",
    "-w -x y": "allowed is NAME",
    "-w a:b:c:d y": "allowed is NAME",
    "-w a:b: y": "the certificate's name is empty",
    "--ssh 0 x": "--ssh '0': allowed is a port",
    "--offset many x": "--offset 'many'",
    "--bind here x": "--bind 'here'",
    "--bind 127.0.0.1 --public x": "contradict",
    "--identity k x": "--identity is for --systemd alone",
    "--domain d x": "for --browser alone",
    "-ti -": "'-' reads the image from standard input",
    "--systemd a@b -": "--systemd needs an image",
}


@pytest.mark.parametrize(("line", "said"), WRONG.items())
def test_wrong_options(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says which option is wrong and what is allowed; the exit code is 2."""
    with pytest.raises(SystemExit) as ended:
        parsed(*line.split())

    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert said in error
    assert error.count("\n") == 1
    assert error.startswith("tf: ")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes to stdout, names every option, and is no failure."""
    with pytest.raises(SystemExit) as ended:
        parsed("--help")

    printed = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(row.flags[0] in printed for row in ROWS)


WORDS = st.one_of(
    st.sampled_from([flag for row in ROWS for flag in row.flags]),
    st.sampled_from(
        ["nginx", ".", "-", "--", "-h", "80:80", "A=1", "a:/b", "a:b:c", "2222", "--publish=x", "-sz"]
    ),
    st.text(max_size=12),
    st.text("-=:/.0123456789abz", max_size=12),
)


@given(st.lists(WORDS, max_size=8))
@example(["-s"])
@example(["-e"])
@example(["--bind", "--", "nginx"])
def test_no_command_line_is_a_traceback(words: list[str]) -> None:
    """Every list of words is either understood, or ends with a line and exit code 2, or 0 for the help."""
    try:
        options = parse(words, ENVIRONMENT, "tfnz")
    except SystemExit as ended:
        code = ended.code
    else:
        code = 0 if options.source in words else "a source from nowhere"

    assert code in (0, 2)


@given(st.lists(WORDS, max_size=6), st.lists(st.text(max_size=8), max_size=6))
def test_the_containers_words_are_left_alone(options: list[str], command: list[str]) -> None:
    """Whatever stands after the image comes out unchanged."""
    try:
        _, source, left = split([*options, "--", "image", *command])
    except WrongUsageError:
        return
    if source == "image":
        assert left[len(left) - len(command) :] == command
