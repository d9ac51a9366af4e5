"""What `tf --systemd` would write: the unit of a command line, and the tables of tfd.toml."""

import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfd.config.reader import load
from tfnz.cli import declaring, options, remove_flagged
from tfnz.cli.unit import MARK, Place, environment_text, make_service, service_name, unit_text

PLACE = Place("ubuntu", "users", "/home/ubuntu", "/usr/bin/tf")
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


def service_of(line: str, **environment: str) -> tuple[list[str], dict[str, Path], dict[str, str]]:
    """The words, files and variables of the service that a command line makes."""
    given, image, command = options.split(shlex.split(line))
    assert image is not None
    made = make_service(given, image, command, environment, "home")
    return list(made.words), dict(made.files), dict(made.environment)


def test_the_service_runs_the_same_command_line() -> None:
    """Less what is for the caller alone, and with the location that the caller has."""
    words, files, _ = service_of("--systemd=u@h --identity k -ti -p 80:80 -m db:/db --json j img sh -c 'a b'")

    assert words == ["--location=home", "--publish=80:80", "--mount=db:/db", "--", "img", "sh", "-c", "a b"]
    assert files == {}


def test_what_follows_the_image_is_the_containers() -> None:
    """Options of ours that stand there too."""
    words, _, _ = service_of("--systemd local img prog --systemd x --identity=y")

    assert words == ["--location=home", "--", "img", "prog", "--systemd", "x", "--identity=y"]


def test_files_go_along_by_their_source() -> None:
    """Two of one name get names of their own; a certificate's two files keep theirs."""
    line = "--systemd=u@h -f a/x.cfg:/etc/x -f b/x.cfg:/etc/ -w www.example.com:inner:c/cert img"
    words, files, _ = service_of(line)

    assert words[1:4] == [
        "--file=x.cfg:/etc/x",
        "--file=x-2.cfg:/etc/x.cfg",
        "--web=www.example.com:inner:cert",
    ]
    assert {name: str(path) for name, path in files.items()} == {
        "x.cfg": "a/x.cfg",
        "x-2.cfg": "b/x.cfg",
        "cert.crt": "c/cert.crt",
        "cert.key": "c/cert.key",
    }


def test_a_variable_of_the_callers_environment_stays_secret() -> None:
    """Its value is in a file of its own, not on the command line that everybody may read."""
    words, _, environment = service_of("--systemd=u@h -e SECRET -e PLAIN=1 img", SECRET="s3cret")

    assert words[1:3] == ["--env=SECRET", "--env=PLAIN=1"]
    assert environment == {"SECRET": "s3cret"}


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("tfnz/docs", "tfnz-docs"),
        ("nginx", "tf-nginx"),
        ("docker.io/library/nginx:1.25", "tf-nginx-1.25"),
        ("registry.example.net:5000/a/b@sha256:00", "registry.example.net-5000-a-b-sha256-00"),
        ("../x", "x"),
        ("/", "tf-image"),
    ],
)
def test_names_of_services(image: str, name: str) -> None:
    """The image's with dashes; one that could be Debian's service is told apart."""
    assert service_name(image) == name


@pytest.mark.root
def test_systemd_reads_the_unit_as_it_was_meant(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say to words of any kind."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    place = Place("root", "root", str(tmp_path), "/bin/true")
    words = ["100%", "$HOME", 'quo"te', "a b", "back\\slash", "new\nline", "ä", "'", ";", "%n", ""]
    service = make_service([], "img/x", words, {}, "home")
    unit = tmp_path / f"{service.name}.service"
    unit.write_text(unit_text(service, place))
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False
    )

    assert unit.read_text().startswith(MARK)
    assert (done.returncode, str(unit) in done.stderr) == (0, False), done.stderr


@given(st.lists(WORDS, max_size=5))
def test_a_unit_has_one_line_for_its_command(words: list[str]) -> None:
    """Whatever is in the words; nothing becomes a setting of the unit."""
    text = unit_text(make_service([], "img/x", words, {}, "home"), PLACE)
    settings_in_it = [line.partition("=")[0] for line in text.split("\n") if "=" in line]

    assert settings_in_it.count("ExecStart") == 1
    assert len(settings_in_it) == len(set(settings_in_it)) == 17


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["A", "B"]), WORDS))
def test_an_environment_file_has_a_line_for_each_variable(environment: dict[str, str]) -> None:
    """Quotes, backslashes and dollars are escaped."""
    text = environment_text(environment)

    assert text.count('="') >= len(environment)
    assert text.endswith('"\n') or not environment


def parsed(line: str) -> options.Options:
    """The options of a command line."""
    return options.parse(shlex.split(line), {"HOME": "/root"}, "tf")


def test_tables_for_tfd_are_what_tfd_reads(tmp_path: Path) -> None:
    """The reader of tfd takes the file, and finds in it what was said."""
    source = tmp_path / "x.cfg"
    source.write_text("x")
    image = "tfnz/docs:1"
    line = f"--systemd toml -e A='b \"c\"' -f {source}:/etc/x -m data:/srv -p 8080:80 -p 53:53 {image} run -v"
    text = declaring.text(declaring.tables(parsed(line), image, "home", []))
    file = tmp_path / "tfd.toml"
    file.write_text(text)
    config = load(file)

    (container,) = config.containers.values()
    assert (container.name, str(container.image)) == ("docs", "tfnz/docs:1")
    assert tomllib.loads(text)["container"]["docs"] == {
        "image": "tfnz/docs:1",
        "location": "home",
        "entrypoint": ["run", "-v"],
        "environment": {"A": 'b "c"'},
        "volumes": ["data:/srv"],
        "files": {"/etc/x": str(source)},
    }
    assert [listener.port for listener in config.listeners] == [80, 53]


def test_exposed_ports_become_listeners() -> None:
    """As tf opens them, with the offset; where tf listens on all addresses, so does tfd."""
    document = declaring.tables(parsed("--systemd toml --offset 8000 nginx"), "nginx", "home", [80])

    assert document["listener"] == [{"bind": ["0.0.0.0:8080", "[::]:8080"], "container": "nginx", "port": 80}]


@pytest.mark.parametrize(
    "line", ["-w a.example.com", "-s", "-z", "-ti", "-p 0:80", "-m Über:/x"], ids=lambda line: line[:2]
)
def test_what_tfd_lacks_is_told(line: str) -> None:
    """Nothing is left out in silence."""
    with pytest.raises(ValueError, match="tfd"):
        declaring.tables(parsed(f"--systemd toml {line} nginx"), "nginx", "home", [80])


@pytest.mark.parametrize("name", ["Ünï/cödé", "x" * 300, "///", "a@sha256:00", "UPPER_case:tag"])
def test_container_names_are_tfds(name: str) -> None:
    """Lower-case letters, digits and inner dashes, at most 40."""
    made = declaring.container_name(name)

    assert made
    assert len(made) <= 40
    assert made == made.strip("-")
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.covers("tfnz.cli.remove_flagged")
def test_flags_are_removed_in_both_forms() -> None:
    """With their values, and nothing else with them."""
    assert remove_flagged("--systemd", ["tf", "--systemd", "u@h", "-q", "--systemd=x", "--systemdx=1"]) == [
        "tf",
        "-q",
        "--systemdx=1",
    ]
