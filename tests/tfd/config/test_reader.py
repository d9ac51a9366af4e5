"""Reading configuration files: right ones, wrong ones, and ones that nobody would write."""

import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tfd.config.documents import junk_documents, toml, toml_tables, valid_documents
from tfd.config.model import Config, Container, Daemon, Health, Listener, Restart
from tfd.config.problems import LIMIT, ConfigErrors, Problem
from tfd.config.reader import SIZE_LIMIT, load, parse
from tfd.protocol.address import Address
from tfd.protocol.drivers.relaying.proxy_protocol import ProxyProtocol

BAD = Path(__file__).parent / "bad"
BAD_FILES = sorted(BAD.glob("*.toml"))
ROOT = Path(__file__).parents[3]

NOBODY = 65534

MINIMAL = """\
[container.web]
image = "nginx"

[[listener]]
bind = "127.0.0.1:8080"
container = "web"
port = 80
"""

EVERYTHING = """\
[daemon]
environment = "test"
log_level = "debug"
heartbeat = "500ms"
lease = "1m"

[container.app]
image = "oci-archive:app.tar"
command = ["serve", ""]
entrypoint = ["/app"]
environment = { B = "2", A = "1" }
volumes = ["data:/srv/data", "data:/srv/again"]
memory = "1.5G"
cpus = 2
processes = 100
restart = "on-failure"
health = { http = "/health?x=1", port = 8000, interval = 5, timeout = "1s", rise = 1, fall = 2 }
location = ["Attic", "cellar.example"]
connects_to = ["db"]
enabled = false

[container.app.files]
"/etc/motd" = "motd"
"/etc/key" = { content = "secret", mode = "0400" }

[container.db]
image = "postgres"
location = "attic"

[[listener]]
bind = ["Web.example:80", "[2001:DB8:0::1]:80", "unix:/run/app.sock", "[fe80::1%eth0]:80"]
container = "app"
port = 8000
proxy_protocol = "v2"
connect_timeout = 0
max_connections = 5
allow = ["192.0.2.1", "2001:db8::/32"]

[location.attic]
address = ["attic.example:2020", "192.0.2.7:2020"]
"""


def read(text: str, known_locations: list[str] | None = None) -> Config:
    """Parse a configuration given as text."""
    return parse(text.encode(), "tfd.toml", "/nowhere", known_locations)


def messages(text: str | bytes, known_locations: list[str] | None = None) -> list[str]:
    """Give the problems of a wrong configuration, one line each."""
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ConfigErrors) as caught:
        parse(data, "tfd.toml", "/nowhere", known_locations)
    return str(caught.value).splitlines()


def complaint(path: Path) -> str:
    """Give the one line that load() says about a file."""
    with pytest.raises(ConfigErrors) as caught:
        load(path)
    (line,) = str(caught.value).splitlines()
    return line.replace(str(path), "FILE")


def test_corpus_is_not_empty() -> None:
    """There are bad files to test with."""
    assert len(BAD_FILES) > 30


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_bad_file(path: Path) -> None:
    """Each bad file gets exactly the messages that lie beside it."""
    with pytest.raises(ConfigErrors) as caught:
        load(path)

    found = str(caught.value).replace(f"{BAD}/", "").replace(str(BAD), ".")
    assert path.with_suffix(".txt").read_text() == found + "\n"


def test_each_expectation_has_its_file() -> None:
    """No expectation is left of a bad file that has gone."""
    assert {path.stem for path in BAD.glob("*.txt")} == {path.stem for path in BAD_FILES}


def test_minimal() -> None:
    """The smallest file that does something gets the documented defaults."""
    expected = Config(
        daemon=Daemon("prod", "info", 2.0, 30.0),
        containers={"web": Container("web", "nginx")},
        listeners=(Listener("127.0.0.1:8080", (Address("127.0.0.1", 8080),), "web", 80),),
    )

    assert expected == read(MINIMAL)


def test_sample_is_valid() -> None:
    """The sample configuration is the minimal one."""
    assert read(MINIMAL) == load(ROOT / "conf" / "tfd.toml")


def test_sample_hints_are_valid(tmp_path: Path) -> None:
    """The keys that the sample configuration has in comments are valid once the comment signs are gone."""
    lines = (ROOT / "conf" / "tfd.toml").read_text().splitlines()
    is_hint = re.compile(r"# (\[|\w+ = )").match
    hints = [line.removeprefix("# ") if is_hint(line) else line for line in lines]
    path = tmp_path / "tfd.toml"
    path.write_text("\n".join(hints))

    assert load(path).containers["web"].memory == 256 * 2**20


@pytest.fixture
def everything(tmp_path: Path) -> Config:
    """What is read from a file with every key of the table."""
    (tmp_path / "motd").write_text("hello")
    (tmp_path / "app.tar").write_bytes(b"")
    path = tmp_path / "tfd.toml"
    path.write_text(EVERYTHING)
    return load(path)


def test_every_key_of_a_container(everything: Config, tmp_path: Path) -> None:
    """Each arrives in the values, with its units."""
    app = everything.containers["app"]
    files = dict(app.files)
    assert f"oci-archive:{tmp_path}/app.tar" == app.image
    assert app.image_stamp.startswith("0-")
    assert (app.command, app.entrypoint) == (("serve", ""), ("/app",))
    assert app.environment == (("A", "1"), ("B", "2"))
    assert app.volumes == (("data", "/srv/data"), ("data", "/srv/again"))
    assert (app.memory, app.cpus, app.processes) == (3 * 2**29, 2.0, 100)
    assert app.restart == Restart.ON_FAILURE
    assert Health(8000, "/health?x=1", 5.0, 1.0, 1, 2) == app.health
    assert app.locations == ("Attic", "cellar.example")
    assert app.connects_to == ("db",)
    assert not app.enabled
    assert (str(tmp_path / "motd"), None, 0o644) == (
        files["/etc/motd"].path,
        files["/etc/motd"].content,
        files["/etc/motd"].mode,
    )
    assert (
        files["/etc/key"].path,
        files["/etc/key"].content,
        files["/etc/key"].mode,
    ) == (None, b"secret", 0o400)


def test_every_key_of_the_other_tables(everything: Config) -> None:
    """Each arrives in the values, with its units."""
    listener = everything.listeners[0]
    assert Daemon("test", "debug", 0.5, 60.0) == everything.daemon
    assert everything.containers["db"].locations == ("attic",)
    assert listener.name == "Web.example:80"
    assert [str(address) for address in listener.binds] == [
        "web.example:80",
        "[2001:db8::1]:80",
        "unix:/run/app.sock",
        "[fe80::1%eth0]:80",
    ]
    assert (
        listener.proxy_protocol,
        listener.connect_timeout,
        listener.max_connections,
    ) == (ProxyProtocol.V2, 0.0, 5)
    assert [str(network) for network in listener.allow] == ["192.0.2.1/32", "2001:db8::/32"]
    assert [(address.host, address.port) for address in everything.locations["attic"].addresses] == [
        ("attic.example", 2020),
        ("192.0.2.7", 2020),
    ]


def test_unknown_location() -> None:
    """A location that is neither joined nor declared is an error when the joined ones are known."""
    text = '[container.web]\nimage = "nginx"\nlocation = "atic"\n[location.cellar]\naddress = "c:1"\n'

    assert messages(text, ["attic"]) == [
        (
            "tfd.toml:3: container.web.location: found 'atic', which is neither joined nor declared; "
            "allowed: cellar, attic; did you mean 'attic'?"
        )
    ]
    assert read(text).containers["web"].locations == ("atic",)
    assert read(text, ["atic"]).containers["web"].locations == ("atic",)


def test_listener_of_a_disabled_container() -> None:
    """A listener may stay while its container is disabled."""
    config = read(MINIMAL.replace('"nginx"', '"nginx"\nenabled = false'))

    assert not config.containers["web"].enabled


def test_empty() -> None:
    """An empty file is a configuration that declares nothing."""
    assert Config() == read("")


def test_directory(tmp_path: Path) -> None:
    """A directory in the place of the file is named as such."""
    assert complaint(tmp_path) == "FILE: found a directory; allowed: a TOML file"


def test_missing(tmp_path: Path) -> None:
    """A file that is not there gets a way out."""
    expected = "FILE: found no such file; allowed: a TOML file; write it, or name another one with --config"

    assert expected == complaint(tmp_path / "tfd.toml")


def test_named_pipe(tmp_path: Path) -> None:
    """A named pipe is refused at once, though nobody writes into it."""
    os.mkfifo(tmp_path / "pipe")

    assert complaint(tmp_path / "pipe") == "FILE: found a named pipe; allowed: a TOML file"


def test_device() -> None:
    """A device without an end is not read."""
    assert complaint(Path("/dev/zero")) == "FILE: found a device; allowed: a TOML file"


def test_socket(tmp_path: Path) -> None:
    """A socket in the place of the file is named as such."""
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))

        assert complaint(tmp_path / "socket") == "FILE: found a socket; allowed: a TOML file"


def test_file_in_the_place_of_a_directory(tmp_path: Path) -> None:
    """An error of the system is told in its own words."""
    (tmp_path / "file").write_text("")

    assert (
        complaint(tmp_path / "file" / "tfd.toml")
        == "FILE: found a file that cannot be read: Not a directory; allowed: a TOML file"
    )


def test_unreadable(tmp_path: Path) -> None:
    """A file without permission is named with the reason."""
    path = tmp_path / "tfd.toml"
    path.write_text(MINIMAL)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # root may read every file
        os.seteuid(NOBODY)
    try:
        found = complaint(path)
    finally:
        os.seteuid(user)

    assert found == "FILE: found a file that cannot be read: Permission denied; allowed: a TOML file"


def test_too_large(tmp_path: Path) -> None:
    """3 MB of brackets are refused before they are parsed."""
    path = tmp_path / "tfd.toml"
    path.write_bytes(b"[" * 3_000_000)

    assert f"FILE: found more than {SIZE_LIMIT} bytes; allowed: at most {SIZE_LIMIT}" == complaint(path)


def test_deep() -> None:
    """Brackets within the limit of size that no parser's stack holds are one problem."""
    found = ["tfd.toml: found lists or tables too deep in each other; allowed: a depth of at most 4"]

    assert found == messages("a = " + "[" * 1_000_000)
    assert found == messages("a = " + "{a=" * 300_000)


@pytest.mark.parametrize("part", ["a.", '"a" . ', "'a'.", "a ."])
def test_long_key(part: str) -> None:
    """A key of a million parts, for which the parser would need days, is refused at once."""
    assert messages("\n" + part * (1_000_000 // len(part)) + "a = 1") == [
        "tfd.toml:2: found a key of 100 dotted parts or more; allowed: keys of at most 4 parts"
    ]


def test_number_with_a_million_digits() -> None:
    """A number beyond what Python converts is one problem."""
    (line,) = messages("a = " + "1" * 1_000_000)

    assert line.startswith("tfd.toml: found what is not TOML: Exceeds the limit")


def test_many_problems() -> None:
    """Of thousands of problems the first are told and the others counted."""
    found = messages("[container.web]\n" + "".join(f"key{number} = 1\n" for number in range(5000)))

    assert len(found) == LIMIT + 1
    assert f"tfd.toml: found {5001 - LIMIT} more problems; mend those above first" == found[-1]


def test_many_addresses() -> None:
    """Ten thousand addresses are compared in no time worth mentioning."""
    listeners = (
        f'[[listener]]\nbind = "10.0.{number // 250}.{number % 250}:80"\ncontainer = "web"\nport = 80\n'
        for number in range(10_000)
    )

    assert len(read('[container.web]\nimage = "nginx"\n' + "".join(listeners)).listeners) == 10_000


@given(valid_documents())
def test_valid_documents(document: dict[str, object]) -> None:
    """Every valid document is read, and it says the same whichever way it is written."""
    config = read(toml_tables(document))

    assert config == read(toml(document))
    assert list(document["container"]) == list(config.containers)  # type: ignore[call-overload]
    for container in config.containers.values():
        assert len(container.identity()) == 32


@given(valid_documents(), st.data())
def test_mutated_documents(document: dict[str, object], data: st.DataObject) -> None:
    """A valid file with a few bytes changed is read or refused with problems, and nothing else happens."""
    text = bytearray(toml_tables(document).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(0, len(text)))
        text[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    read_or_refused(bytes(text))


@given(junk_documents())
def test_junk_documents(document: dict[str, object]) -> None:
    """Known and unknown keys with any values are read or refused with problems, and nothing else happens."""
    read_or_refused(toml(document).encode())


@given(st.one_of(st.binary(), st.text().map(str.encode), st.text("[]{}=.,\"'#\\\n ab1").map(str.encode)))
def test_random_bytes(data: bytes) -> None:
    """Any bytes are read or refused with problems, and nothing else happens."""
    read_or_refused(data)


def read_or_refused(data: bytes) -> None:
    """Parse, and look at each problem: it names the file, a line that exists, and what was found."""
    problems: Sequence[Problem] | None = None
    try:
        parse(data, "tfd.toml", "/nowhere", ["attic"])
    except ConfigErrors as errors:
        problems = errors.problems
    assert problems is None or problems
    for problem in problems or ():
        assert problem.found
        assert problem.line is None or 1 <= problem.line <= data.count(b"\n") + 1
        assert str(problem).isprintable()
