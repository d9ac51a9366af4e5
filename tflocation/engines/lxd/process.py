"""The first process of a container: prepares it, runs the image's process, and keeps its exit code.

It is a script for a static busybox that the image was given at `/.tfd`, so it needs nothing of the image
itself. It forwards the stop signal, reaps orphans, and ends with its process, and the container with it.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tflocation.engines.interface import ProcessSpec

DIRECTORY = "/.tfd"
BUSYBOX = f"{DIRECTORY}/busybox"
START = f"{DIRECTORY}/start"
HOSTS = f"{DIRECTORY}/hosts"
EXIT = f"{DIRECTORY}/exit"
COMMAND = f"{BUSYBOX} sh {START}"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

NOT_EXECUTABLE = 126  # as a shell gives it
NOT_FOUND = 127

_TOLD = "told to stop"

# `start-stop-daemon` alone among busybox's programs changes to a numeric user and group; it wants the user in
# /etc/passwd, so one who is missing is added there. Its -p, a file that never exists, keeps it from looking
# for other processes of the same program.
# A session leader takes the terminal that it opens; without one there is no `set -m`, and without that a
# background process of a shell ignores SIGINT and SIGQUIT.
_SCRIPT = """\
exec </dev/console >/dev/console 2>&1
set -m
rm -f {exit}
mkdir -p /etc /tmp /dev/shm /dev/mqueue
mount -t tmpfs -o nosuid,nodev,mode=1777 shm /dev/shm
mount -t mqueue -o nosuid,nodev,noexec mqueue /dev/mqueue
[ -k /tmp ] || chmod 1777 /tmp
rm -f /etc/resolv.conf /etc/hosts
printf 'nameserver %s\\n' {gateway} >/etc/resolv.conf
cat {hosts} >/etc/hosts
[ -s /etc/passwd ] || echo root:x:0:0:root:/root:/bin/sh >/etc/passwd
cut -d: -f3 /etc/passwd | grep -qx {uid} || echo tfd{uid}:x:{uid}:{gid}::/:/bin/sh >>/etc/passwd
for volume in {volumes}; do
    [ "$(stat -c %u:%g "$volume")$(ls -A "$volume")" = 0:0 ] && chown {uid}:{gid} "$volume"
done

told=
finish() {{
    echo "$1 $2" >{exit}
    [ -z "$told" ] || echo "{told}" >>{exit}
    [ -z "$2" ] || echo "$2"
    exit "$1"
}}

set -- {arguments}
mkdir -p {cwd}
cd {cwd} || finish {not_executable} "its working directory cannot be entered: "{cwd}
program=
case $1 in
*/*) program=$1 ;;
*)
    rest={path}:
    while [ -n "$rest" ]; do
        candidate=${{rest%%:*}}/$1
        rest=${{rest#*:}}
        [ -f "$candidate" ] && [ -x "$candidate" ] && program=$candidate && break
    done
    [ -n "$program" ] || finish {not_found} "not found along its PATH: $1"
    ;;
esac
[ -e "$program" ] || finish {not_found} "does not exist: $program"
[ -f "$program" ] && [ -x "$program" ] || finish {not_executable} "cannot be executed: $program"
shift

child=
interrupted=
trap 'told=1 interrupted=1; [ -z "$child" ] || kill -{signal} "$child"' TERM INT PWR HUP
[ -c /dev/console ] && chown {uid}:{gid} /dev/console
{switch}{busybox} env -i {environment} "$program" "$@" </dev/null &
child=$!
code=
while :; do
    before=$code interrupted=
    wait "$child"
    code=$?
    [ -z "$interrupted" ] || continue
    kill -0 "$child" 2>/dev/null || break
    sleep 1 # a stopped process is not over
done
# A process that ended at the very moment of a signal is known no more at the second look.
[ "$code" = {not_found} ] && [ -n "$before" ] && code=$before
finish "$code" ""
"""


def start_script(process: ProcessSpec, *, gateway: str, mounts: Sequence[str]) -> str:
    """Write the script for one container. `mounts` are the mount points of its volumes.

    An empty volume is given to the process's user, as people know it from other container engines.
    """
    environment = {"PATH": DEFAULT_PATH, **process.environment}
    switch = f"{BUSYBOX} start-stop-daemon -S -q -p {DIRECTORY}/none -c {process.uid}:{process.gid} -x "
    return _SCRIPT.format(
        exit=EXIT,
        told=_TOLD,
        hosts=HOSTS,
        busybox=BUSYBOX if process.uid == process.gid == 0 else f"{BUSYBOX} --",
        switch="" if process.uid == process.gid == 0 else switch,
        gateway=gateway,
        uid=process.uid,
        gid=process.gid,
        volumes=shlex.join(mounts),
        arguments=shlex.join(process.args),
        cwd=shlex.quote(process.cwd),
        path=shlex.quote(environment["PATH"]),
        environment=shlex.join(f"{name}={value}" for name, value in environment.items()),
        signal=process.stop_signal,
        not_found=NOT_FOUND,
        not_executable=NOT_EXECUTABLE,
    )


def hosts_file(name: str, ip: str, others: Mapping[str, str]) -> str:
    """Write /etc/hosts for the container `name` at `ip`, which knows `others` (name -> ip)."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost", f"{ip} {name}"]
    return "".join(f"{line}\n" for line in [*lines, *(f"{ip} {name}" for name, ip in sorted(others.items()))])


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: its code, one line of words or none, and whether it was told to stop before."""

    code: int
    reason: str
    told: bool


def parse_exit(text: str) -> Exit | None:
    """Read what the script left. None where a container has spoilt the file."""
    line, _, rest = text.partition("\n")
    code, _, reason = line.partition(" ")
    if not code.isascii() or not code.isdigit() or len(code) > 3:
        return None
    return Exit(int(code), "".join(x for x in reason if x.isprintable())[:200], rest.strip() == _TOLD)
