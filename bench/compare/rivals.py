"""The rivals, and the limits without encryption; their configurations are in `bench/rivals`."""

import secrets
import sys
from contextlib import suppress
from pathlib import Path
from string import Template

from bench.compare.credentials import make_certificates, make_ssh_keys
from bench.compare.programs import Ends, Kind, Program

_CONFIGURATIONS = Path(__file__).resolve().parents[1] / "rivals"
_SSHD = Path("/run/sshd")


def configured(ends: Ends, name: str, **more: object) -> Path:
    """Write a configuration of `bench/rivals` with the addresses of this place, and give its path."""
    place = ends.place
    values = {
        "near": place.near,
        "far": place.far,
        "far_host": place.far_host,
        "backend": place.backend,
        "directory": place.directory,
        **more,
    }
    path = place.directory / name
    path.write_text(Template((_CONFIGURATIONS / name).read_text()).substitute(values))
    return path


def _ssh(ends: Ends, cipher: str) -> None:
    place = ends.place
    make_ssh_keys(place.directory, place.far_host, place.far)
    if not _SSHD.exists():
        # sshd's directory to confine itself to; its unit would make it (systemd.exec(5), RuntimeDirectory=).
        _SSHD.mkdir(mode=0o755)
        ends.stack.callback(_remove_empty, _SSHD)
    ends.start_far("/usr/sbin/sshd", "-D", "-e", "-f", configured(ends, "ssh-far.conf"))
    near = configured(ends, "ssh-near.conf", cipher=cipher)
    # ssh ends where nobody answers yet, so it is begun again until its tunnel stands.
    line = f"for try in 1 2 3 4 5 6 7 8 9; do ssh -N -F {near} far; sleep 0.3; done"
    ends.start_near("sh", "-c", line)


def _remove_empty(path: Path) -> None:
    with suppress(OSError):
        path.rmdir()


def _ssh_default(ends: Ends) -> None:
    _ssh(ends, "")


def _ssh_gcm(ends: Ends) -> None:
    _ssh(ends, "Ciphers aes128-gcm@openssh.com")


def _stunnel(ends: Ends) -> None:
    make_certificates(ends.place.directory)
    ends.start_far("stunnel", configured(ends, "stunnel-far.conf"))
    ends.start_near("stunnel", configured(ends, "stunnel-near.conf"))


def _spiped(ends: Ends) -> None:
    place = ends.place
    key = place.directory / "key"
    key.write_bytes(secrets.token_bytes(32))
    far, backend = f"[{place.far_host}]:{place.far}", f"[127.0.0.1]:{place.backend}"
    common = ["-k", str(key), "-F", "-n", "0"]
    pids = [place.directory / f"spiped-{end}.pid" for end in ("far", "near")]
    ends.start_far("spiped", "-d", "-s", far, "-t", backend, *common, "-p", pids[0])
    ends.start_near("spiped", "-e", "-s", f"[127.0.0.1]:{place.near}", "-t", far, *common, "-p", pids[1])


def _haproxy_tls(ends: Ends) -> None:
    make_certificates(ends.place.directory)
    ends.start_far("haproxy", "-db", "-f", configured(ends, "haproxy-far.conf"))
    ends.start_near("haproxy", "-db", "-f", configured(ends, "haproxy-near.conf"))


def _nginx_tls(ends: Ends) -> None:
    make_certificates(ends.place.directory)
    ends.start_far("nginx", "-e", "stderr", "-c", configured(ends, "nginx-far.conf"))
    ends.start_near("nginx", "-e", "stderr", "-c", configured(ends, "nginx-near.conf"))


def _shadowsocks(ends: Ends) -> None:
    password = secrets.token_hex(16)
    far = configured(ends, "shadowsocks-far.json", password=password)
    near = configured(ends, "shadowsocks-near.json", password=password)
    ends.start_far("ss-server", "-c", far)
    ends.start_near("ss-tunnel", "-c", near)


def _bare(_ends: Ends) -> None:
    """Start nothing: the client goes straight to the backend."""


def _haproxy_plain(ends: Ends) -> None:
    ends.start_near("haproxy", "-db", "-f", configured(ends, "haproxy-plain.conf"))


def _socket_proxyd(ends: Ends) -> None:
    place = ends.place
    proxy = ["/lib/systemd/systemd-socket-proxyd", "--connections-max=5000", f"127.0.0.1:{place.backend}"]
    ends.start_near("systemd-socket-activate", "-l", f"127.0.0.1:{place.near}", *proxy)


def _least(ends: Ends) -> None:
    place = ends.place
    command = [sys.executable, "-m", "bench.compare.least"]
    ends.start_far(*command, "far", str(place.far), "127.0.0.1", str(place.backend))
    ends.start_near(*command, "near", str(place.near), place.far_host, str(place.far))


RIVALS = (
    Program("ssh", Kind.RIVAL, _ssh_default, "ssh -L, default cipher"),
    Program("ssh-gcm", Kind.RIVAL, _ssh_gcm, "ssh -L, aes128-gcm", idle_most=9400),
    Program("stunnel", Kind.RIVAL, _stunnel, "TLS 1.3, both ends known; a thread for each connection"),
    Program("spiped", Kind.RIVAL, _spiped, "pre-shared key, a key exchange for each connection"),
    Program("haproxy-tls", Kind.RIVAL, _haproxy_tls, "TLS 1.3 at both ends, sessions resumed"),
    Program("nginx-tls", Kind.RIVAL, _nginx_tls, "stream module, TLS 1.3 at both ends"),
    Program("shadowsocks", Kind.RIVAL, _shadowsocks, "aes-256-gcm, pre-shared key, no handshake"),
)
LIMITS = (
    Program("python", Kind.LIMIT, _least, "the least that relays in Python, unfit for use; see least.py"),
    Program("bare", Kind.LIMIT, _bare, "the client straight to the backend"),
    Program("haproxy-tcp", Kind.LIMIT, _haproxy_plain, "one end, not encrypted"),
    Program("sd-proxyd", Kind.LIMIT, _socket_proxyd, "one end, not encrypted; six descriptors each", 2500),
)
PACKAGES = {
    "ssh": "openssh-client",
    "stunnel": "stunnel4",
    "spiped": "spiped",
    "haproxy-tls": "haproxy",
    "nginx-tls": "libnginx-mod-stream",
    "shadowsocks": "shadowsocks-libev",
    "sd-proxyd": "systemd",
}
"""Whose versions are printed."""
