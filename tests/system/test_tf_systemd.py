"""`tf --systemd`: a command line as a service, on this machine and on one that ssh reaches, over a reboot."""

import subprocess
from pathlib import Path

import pytest

from tests.support.product import Location
from tests.support.small_box import INSIDE, LIMIT, serves, up
from tests.support.user import User
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SSH = """#!/bin/sh
exec /usr/bin/ssh -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={known} "$@"
"""


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    """Somebody with a key of ssh, whose known hosts are in a file of the test's own."""
    person = User(tmp_path / "home")
    script = tmp_path / "bin" / "ssh"
    script.parent.mkdir()
    script.write_text(SSH.format(known=tmp_path / "known_hosts"))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin:/usr/sbin:/sbin")
    key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(person.home / "key")]
    subprocess.run(key, check=True, timeout=LIMIT)
    return person


def wrong_ones_are_one_line(laptop: User) -> None:
    """A machine that ssh does not reach, a target that is none, a service with a terminal."""
    for arguments, said in {
        ("--systemd=nobody@127.0.0.1", "nginx"): b"nobody@127.0.0.1",
        ("--systemd=nonsense", "nginx"): b"allowed is USER@SERVER, local or toml",
        ("--systemd=local", "-ti", "nginx"): b"a service has no terminal",
    }.items():
        done = laptop.run("-q", *arguments)
        assert done.returncode != 0
        assert said in done.stdout + done.stderr
        assert b"Traceback" not in done.stderr


@pytest.mark.covers("tfnz.cli.systemd", "tf --systemd", "tf --identity")
def test_a_command_line_as_a_service(small_box: Path, strong: Location, laptop: User) -> None:
    """One made on the machine itself and one made from elsewhere serve at once, and after a reboot."""
    key = laptop.home / "key"
    with up(small_box) as box:
        laptop.join(strong, "laptop")
        box.write("/home/ubuntu/.ssh/authorized_keys", key.with_suffix(".pub").read_text())
        box.root("chown -R ubuntu: ~ubuntu/.ssh && chmod 700 ~ubuntu/.ssh")
        box.user("tf --systemd local -p 8081:80 nginx")
        made = laptop.run(f"--systemd=ubuntu@{INSIDE}", f"--identity={key}", "-p", "8082:80", "image")
        assert made.returncode == 0, made.stderr
        assert b"tf-image.service runs on ubuntu@" in made.stdout
        for port in (8081, 8082):
            wait_for(serves(port), LIMIT, f"port {port}")
        wrong_ones_are_one_line(laptop)
    with up(small_box) as box:
        for port in (8081, 8082):
            wait_for(serves(port), LIMIT, f"port {port} after a reboot")
        box.root("systemctl disable --now tf-nginx.service tf-image.service")
        wait_for(box.empty, LIMIT, "the location to be empty")
