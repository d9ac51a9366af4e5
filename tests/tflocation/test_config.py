"""tflocation.toml: what is taken, and what each mistake is answered with."""

import re
import tomllib
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflocation.config import (
    CHANNEL_PORT,
    KEYS,
    LIMIT_KEYS,
    Config,
    ConfigErrors,
    Problem,
    load,
    parse,
)
from tflocation.limits import GIB, MIB
from tflocation.values import CONTROL_PORT, Address, default_name, parse_address, parse_duration, parse_size
from tflocation.web.settings import WEB_KEYS, WebSettings

EXAMPLE = Path(__file__).parents[2] / "conf" / "tflocation.toml"


def problems(text: str) -> list[str]:
    """Give the messages for a file's text."""
    with pytest.raises(ConfigErrors) as caught:
        parse(text, "f.toml")
    return [str(problem) for problem in caught.value.problems]


def test_every_setting_is_taken() -> None:
    """A file that sets everything becomes the configuration of the same words."""
    config = parse(
        """
        name = "home"
        listen = "[::1]:3030"
        channel_listen = "127.0.0.1"
        address = "vps.example.net:2222"
        engine = "/run/engine.socket"
        project = "p"
        pool = "fast"
        network = "br9"
        subnet = "10.9.0.0/16"
        registries = ["r.example:5000"]
        insecure_registries = []
        cache_directory = "/srv/cache"
        cache_size = "1.5 GiB"
        log_level = "debug"
        [limits]
        containers = 3
        memory = "2G"
        [limits.alice]
        volumes = 1048576
        """,
        "f.toml",
    )

    assert config.listen == Address("::1", 3030)
    assert config.channel_listen == Address("127.0.0.1", CHANNEL_PORT)
    assert config.address == Address("vps.example.net", 2222)
    assert (config.engine, config.subnet) == (Path("/run/engine.socket"), IPv4Network("10.9.0.0/16"))
    assert config.cache_size == GIB * 3 // 2
    alice, others = config.limits_of("alice"), config.limits_of("bob")
    assert (others.containers, others.memory) == (3, 2 * GIB)
    assert (alice.containers, alice.memory, alice.volumes) == (3, 2 * GIB, MIB)


def test_the_web_table_is_taken() -> None:
    """Without it nothing is served; with it alone, on the usual ports; names get their one spelling."""
    assert parse("", "f").web is None
    assert parse("[web]", "f").web == WebSettings()
    web = parse('[web]\nhttp = "off"\nhttps = "[::1]"\ndomains = ["A.Example."]\nresolver = "[::1]"', "f").web
    assert web is not None
    assert (web.http, web.https) == (None, Address("::1", 443))
    assert web.domains == ("a.example",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("web = 3", "web = 3: allowed is a table [web]"),
        ("[web]\nhttpss = 1", "f.toml:2: web.httpss is not a setting; did you mean 'https'?"),
        ('[web]\nhttp = "off"\nhttps = "off"', "http and https are both off"),
        ('[web]\ndomains = ["a b"]', "allowed is a list of domain names"),
        ('[web]\nresolver = "*:53"', 'allowed is the "address:port" of a name server'),
        ('[web]\nacme_directory = "nowhere"', "the URL of an ACME directory"),
        ('[web]\nacme_directory = "https://a/dir"', "acme_directory is set without acme_email"),
        (
            '[web]\nacme_directory = "https://a/dir"\nacme_email = "a@b"\nhttp = "off"',
            "acme_directory is set with http or https off",
        ),
    ],
)
def test_mistakes_of_the_web_table_are_told(text: str, problem: str) -> None:
    """Each in one line."""
    (found,) = problems(text)
    assert problem in found


def test_the_example_shows_every_setting_and_the_defaults() -> None:
    """conf/tflocation.toml can be used as it is, and with its comment signs removed is the defaults."""
    text = EXAMPLE.read_text()
    assert parse(text, "f") == Config()
    shown = "\n".join(
        line.removeprefix("# ") for line in text.splitlines() if re.match(r"# (\[|\w+ = )", line)
    )
    for key in (*KEYS, *LIMIT_KEYS, *WEB_KEYS):
        assert re.search(rf"^{key} = ", shown, re.MULTILINE), key
    config = parse(shown, "f")
    assert config.web is not None
    assert (config.web.http, config.web.https) == (WebSettings().http, WebSettings().https)
    assert config.limits == Config().limits
    assert (config.listen, config.channel_listen) == (Config().listen, Config().channel_listen)
    assert (config.registries, config.cache_size) == (Config().registries, Config().cache_size)
    assert (config.pull_timeout, config.image_size) == (Config().pull_timeout, Config().image_size)


def test_all_mistakes_are_told_at_once_with_their_lines() -> None:
    """One run names each wrong key: line, value, what is allowed, and what may have been meant."""
    found = problems(
        'name = "home"\nlisten = "a:b:c"\nregistry = ["x"]\n\n[limits]\ncontainers = -1\n'
        "[limits.bob]\nmemori = 1\n"
    )

    assert found == [
        'f.toml:2: listen = \'a:b:c\': allowed is "host:port" or "[v6 address]:port"',
        "f.toml:3: registry is not a setting; did you mean 'registries'?",
        "f.toml:6: limits.containers = -1: allowed is a whole number from 0 to 1000000",
        "f.toml:8: limits.bob.memori is not a setting; did you mean 'memory'?",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "name = 5",
        'name = "a b"',
        'listen = "host:99999"',
        'address = "*:2020"',
        'engine = "relative"',
        'subnet = "10.0.0.1/16"',
        'subnet = "fd00::/64"',
        'registries = "docker.io"',
        'cache_size = "many"',
        "cache_size = true",
        "image_size = 0",
        "pull_timeout = 900",
        'pull_timeout = "0s"',
        'registry_credentials = "auth.json"',
        'log_level = "loud"',
        "limits = 3",
        "x = [[[[[",
        "a = 1\na = 2",
        "x = " + "[" * 10_000,
    ],
)
def test_a_wrong_value_is_one_problem_with_its_line(text: str) -> None:
    """Each wrong value gives exactly one message that names the file."""
    assert len(problems(text)) == 1
    assert problems(text)[0].startswith("f.toml")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"name = '\xc3'", b"#" * (2 << 20), b"\xef\xbb\xbfname='a'"]
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    """Not UTF-8, a byte-order mark and far too much are told with the file's name."""
    path = tmp_path / "f.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigErrors, match=re.escape(str(path))):
        load(path)


def test_a_missing_file_is_the_defaults_unless_it_was_asked_for(tmp_path: Path) -> None:
    """The default file may be absent; one named on the command line may not, and a directory never."""
    assert load(tmp_path / "absent.toml", required=False) == Config()
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(ConfigErrors):
            load(path)


def outcome(text: str) -> list[Problem]:
    """Give the problems of a text, none where it is a configuration."""
    try:
        parse(text, "f")
    except ConfigErrors as errors:
        return errors.problems
    return []


@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    """Whatever a file holds, it is a configuration or a list of problems."""
    outcome(text)


def test_the_manual_tells_the_defaults_and_examples_that_hold() -> None:
    """What is said of a missing key is what the programs take; an example is taken as well."""
    for keys, found in (
        (KEYS, Config()),
        (LIMIT_KEYS, Config().limits),
        (WEB_KEYS, WebSettings()),
    ):
        for name, key in keys.items():
            assert bool(key.default) != bool(key.absent), name
            if key.default:
                value = tomllib.loads(f"value = {key.default}")["value"]
                assert key.parse(value) == getattr(found, name), name
            else:
                assert key.parse(tomllib.loads(f"value = {key.example}")["value"]) is not None


@given(st.dictionaries(st.sampled_from([*KEYS, "limits", "other"]), st.one_of(st.integers(), st.booleans())))
def test_no_value_of_another_type_raises_anything_else(table: dict[str, int]) -> None:
    """Numbers and booleans where text belongs are problems, one for each."""
    text = "\n".join(f"{key} = {str(value).lower()}" for key, value in table.items())
    assert len(outcome(text)) <= len(table)


@given(st.integers(0, 65535))
def test_an_address_reads_what_it_prints(port: int) -> None:
    """Addresses survive being written, both families."""
    for host in ("", "10.0.0.1", "home.example.net", "fd00::1"):
        assert parse_address(str(Address(host, port)) if host else f"*:{port}", CONTROL_PORT) == Address(
            host, port
        )


def test_sizes_and_durations() -> None:
    """Units are binary for sizes; a duration without a unit is in seconds."""
    assert [parse_size(value) for value in (7, "7", "1 KiB", "2M", "1.5GB")] == [
        7,
        7,
        1024,
        2 * MIB,
        GIB * 3 // 2,
    ]
    assert [parse_duration(text) for text in ("90", "15m", "2h", "1d", "1w")] == [
        90,
        900,
        7200,
        86400,
        604800,
    ]
    for wrong in ("", "0", "-1d", "1y", "d", "9" * 12):
        with pytest.raises(ValueError, match="duration"):
            parse_duration(wrong)


def test_the_default_name_is_the_host_name_without_its_domain() -> None:
    """A host name that is no name of ours becomes one."""
    names = [default_name(host) for host in ("box.example.net", "my_box", "-", "")]
    assert names == ["box", "my_box", "location", "location"]
