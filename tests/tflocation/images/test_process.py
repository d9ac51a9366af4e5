"""The process of a container: Docker's rules, and the users of the image's own files."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.images import GROUP, PASSWD
from tfd.protocol.errors import CommandError
from tflocation.images import process
from tflocation.images.process import ImageProcess, User

USERS = PASSWD.decode()
GROUPS = GROUP.decode()
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("Entrypoint", "Cmd", "Env", "User", "WorkingDir", "StopSignal", "ExposedPorts", "Volumes")


@pytest.mark.parametrize(
    ("entrypoint", "command", "expected"),
    [
        (None, None, ("image", "default")),
        (None, ["own"], ("image", "own")),
        (["other"], None, ("other",)),
        (["other"], ["own"], ("other", "own")),
        ([], ["own"], ("own",)),
        (None, [], ("image",)),
    ],
)
def test_arguments(
    entrypoint: list[str] | None, command: list[str] | None, expected: tuple[str, ...]
) -> None:
    """Entrypoint and command override the image's as they do with docker run."""
    image = ImageProcess(entrypoint=("image",), command=("default",))

    assert process.process_spec(image, command, entrypoint, {}).args == expected


def test_nothing_to_run() -> None:
    """An image without a program needs one from the container."""
    with pytest.raises(CommandError, match="give `command` or `entrypoint`"):
        process.process_spec(ImageProcess(), None, None, {})


def test_environment() -> None:
    """The container's variables come over the image's, and those over the defaults."""
    image = ImageProcess(command=("a",), environment=("PATH=/bin", "A=image=1", "B=2"), home="/home/x")
    found = process.process_spec(image, None, None, {"B": "own"}).environment

    assert found == {"PATH": "/bin", "HOME": "/home/x", "A": "image=1", "B": "own"}


def test_config_is_read() -> None:
    """Everything of the config that containers need is taken over."""
    wishes = {
        "Entrypoint": ["/e"],
        "Cmd": ["c"],
        "Env": ["A=1", "broken", "=x"],
        "User": "web",
        "WorkingDir": "/srv",
        "StopSignal": "SIGQUIT",
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/data": {}},
    }
    image = process.from_config({"config": wishes}, USERS, GROUPS)

    assert image == ImageProcess(
        ("/e",), ("c",), ("A=1",), "/srv", 1000, 1001, "/srv/web", 3, ("80/tcp",), ("/data",)
    )
    assert process.from_metadata(image.metadata(), "it") == image


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", User(0, 0, "/root")),
        ("web", User(1000, 1001, "/srv/web")),
        ("1000", User(1000, 1001, "/srv/web")),
        ("web:mail", User(1000, 8, "/srv/web")),
        ("web:7", User(1000, 7, "/srv/web")),
        ("5:6", User(5, 6, "/")),
        ("5:mail", User(5, 8, "/")),
        (":mail", User(0, 8, "/root")),
    ],
)
def test_users(user: str, expected: User) -> None:
    """Names and numbers are looked up in the image's own files."""
    assert process.look_up(user, USERS, GROUPS) == expected


@pytest.mark.parametrize("user", ["nobody", "web:nobody", "99999999", "-1", "\u0661"])
def test_wrong_users(user: str) -> None:
    """A user that the image does not have is an error naming it."""
    with pytest.raises(CommandError, match=r"image's (user|group)"):
        process.look_up(user, USERS, GROUPS)


@given(st.text(max_size=20), st.text(alphabet="a:0\n1x", max_size=60))
def test_any_user(user: str, files: str) -> None:
    """No user and no file get more than a CommandError out of it."""
    try:
        found = process.look_up(user, files, files)
    except CommandError:
        return
    assert 0 <= found.uid <= process.MAX_ID
    assert 0 <= found.gid <= process.MAX_ID


@pytest.mark.parametrize(
    ("name", "number"), [("", 15), ("SIGQUIT", 3), ("quit", 3), ("3", 3), ("SIGRTMIN+3", 37)]
)
def test_signals(name: str, number: int) -> None:
    """Signals are known by name and number."""
    assert process.signal_number(name) == number


@pytest.mark.parametrize("name", ["SIGNONE", "0", "99", "SIGRTMIN+99", "SIG", "-3"])
def test_wrong_signals(name: str) -> None:
    """A signal that does not exist is an error naming it."""
    with pytest.raises(CommandError, match="does not exist"):
        process.signal_number(name)


@given(st.dictionaries(st.sampled_from(KEYS), JSON) | JSON)
def test_any_config(wishes: object) -> None:
    """No config gets more than a CommandError out of it, and what it gives can be kept."""
    try:
        image = process.from_config({"config": wishes}, USERS, GROUPS)
    except CommandError:
        return
    assert process.from_metadata(image.metadata(), "it") == image


@pytest.mark.parametrize(
    "kept", [{}, {"process": "no JSON"}, {"process": "[]"}, {"process": json.dumps({"x": 1})}]
)
def test_strange_metadata(kept: dict[str, str]) -> None:
    """An engine image that we did not publish is refused by its name."""
    with pytest.raises(CommandError, match="image it: "):
        process.from_metadata(kept, "it")


@pytest.mark.parametrize("text", ["a\0b", "\ud800", 1, None])
def test_what_no_program_can_get(text: object) -> None:
    """A command that cannot be handed to a program is refused when the image is brought."""
    with pytest.raises(CommandError, match="Cmd must be a list of texts"):
        process.from_config({"config": {"Cmd": [text]}}, "", "")


def test_config_is_bounded() -> None:
    """A config too long to be kept is refused."""
    with pytest.raises(CommandError, match="limit"):
        ImageProcess(environment=("A=" + "x" * process.MAX_KEPT,)).metadata()
