"""The first process of a container: prepares it, runs the image's process, and keeps its exit code.

It is a script for a static busybox that the image was given at `/.tfd`, so it needs nothing of the image
itself. It forwards the stop signal, reaps orphans, and ends with its process, and the container with it.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tflocation.engines.interface import ProcessSpec
from tflocation.engines.processes import ExecSpec

DIRECTORY = "/.tfd"
BUSYBOX = f"{DIRECTORY}/busybox"
START = f"{DIRECTORY}/start"
SCRIPT_KEY = "user.tfd.start"  # of the container's configuration: what the engine writes to START
HOSTS = f"{DIRECTORY}/hosts"
EXIT = f"{DIRECTORY}/exit"
WAKE = f"{DIRECTORY}/wake"
AWAKE = f"{DIRECTORY}/awake"
WOKEN = "TFD_WOKEN"  # set in the first process's environment once the container has been woken
OWN_TERMINAL = "/dev/tty1"
COMMAND = f"{BUSYBOX} sh {START}"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

NOT_EXECUTABLE = 126  # as a shell gives it
NOT_FOUND = 127
STOPPED = 128 + 15

_TOLD = "told to stop"

# `start-stop-daemon` alone among busybox's programs changes to a numeric user and group; it wants the user in
# /etc/passwd, so one who is missing is added there. Its -p, a file that never exists, keeps it from looking
# for other processes of the same program.
# A session leader takes the terminal that it opens; without one there is no `set -m`, and without that a
# background process of a shell ignores SIGINT and SIGQUIT. Where the console is to be the process's own, the
# script takes another one, which nobody sees.
_SCRIPT = """\
{take}exec </dev/console >/dev/console 2>&1
set -m
rm -f {exit}
told=
finish() {{
    echo "$1 $2" >{exit}
    [ -z "$told" ] || echo "{told}" >>{exit}
    [ -z "$2" ] || echo "$2"
    exit "$1"
}}
mkdir -p /etc /tmp /dev/shm /dev/mqueue
mount -t tmpfs -o nosuid,nodev,mode=1777 shm /dev/shm
mount -t mqueue -o nosuid,nodev,noexec mqueue /dev/mqueue
[ -k /tmp ] || chmod 1777 /tmp
rm -f /etc/resolv.conf /etc/hosts
printf 'nameserver %s\\n' {gateway} >/etc/resolv.conf
hosts() {{ [ -e {hosts} ] && cat {hosts} || printf %s {known}; }}
hosts >/etc/hosts
for round in 1 2 3; do # whoever changes it now may have written to /etc/hosts before us
    [ "$(hosts)" = "$(cat /etc/hosts)" ] || hosts >/etc/hosts
done
[ -s /etc/passwd ] || echo root:x:0:0:root:/root:/bin/sh >/etc/passwd
cut -d: -f3 /etc/passwd | grep -qx {uid} || echo tfd{uid}:x:{uid}:{gid}::/:/bin/sh >>/etc/passwd
for volume in {volumes}; do
    [ "$(stat -c %u:%g "$volume")$(ls -A "$volume")" = 0:0 ] && chown {uid}:{gid} "$volume"
done
{gate}
set -- {arguments}
mkdir -p {cwd}
cd {cwd} || finish {not_executable} "its working directory cannot be entered: "{cwd}
path={path}
{lookup}
shift

child=
interrupted=
trap 'told=1 interrupted=1; [ -z "$child" ] || kill -{signal} "$child"' TERM INT PWR HUP
[ -c /dev/console ] && chown {uid}:{gid} /dev/console
{run}{switch}{busybox} env -i {environment} "$program" "$@" {input}&
child=$!
exec 2>/dev/null # where the shell tells about its jobs
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

# Sets `program` to where `$1` is along `path`.
_LOOKUP = f"""\
program=
case $1 in
*/*) program=$1 ;;
*)
    rest=$path:
    while [ -n "$rest" ]; do
        candidate=${{rest%%:*}}/$1
        rest=${{rest#*:}}
        [ -f "$candidate" ] && [ -x "$candidate" ] && program=$candidate && break
    done
    [ -n "$program" ] || finish {NOT_FOUND} "not found along its PATH: $1"
    ;;
esac
[ -e "$program" ] || finish {NOT_FOUND} "does not exist: $program"
[ -f "$program" ] && [ -x "$program" ] || finish {NOT_EXECUTABLE} "cannot be executed: $program"\
"""

# Opened for both directions, the pipe waits for nobody, and keeps what was written while it is open. The
# shell opens nothing by itself that is 9.
_GATE = f"""
trap 'told=1; finish {STOPPED}' TERM INT PWR HUP
[ -p {WAKE} ] || mkfifo -m 600 {WAKE}
exec 9<>{WAKE}
until [ -n "${WOKEN}" ] || [ -e {AWAKE} ]; do read -r _ <&9; done
exec 9<&-
"""

# Who has not opened the pipe yet will see the file. Who waits at it is told by its descriptor too, since its
# name may be gone; that it waits no more, once it was told by the one, is no failure of the other.
_TELL = f"for pipe in {WAKE} /proc/1/fd/9; do [ ! -p $pipe ] || echo 1<>$pipe; done 2>/dev/null"
WAKE_UP = (BUSYBOX, "sh", "-c", f": >{AWAKE} || exit 1; {_TELL}; exit 0")

# The leader of the pipeline's process group is the first of it, so the other may begin a session of its own,
# whose terminal is the first one that it opens.
_ON_CONSOLE = f": | {BUSYBOX} setsid {BUSYBOX} sh -c 'exec </dev/console >/dev/console 2>&1; exec \"$@\"' sh "

_EXEC = """\
echo $$
finish() {{
    echo "$2" >&2
    exit "$1"
}}
cd {cwd} || exit {not_executable}
path={path}
{lookup}
shift
exec {busybox} env -i {environment} "$program" "$@"
"""


# /proc/PID/stat (proc(5)) is: pid, (name), state, parent, process group, session.
_KILL_SESSION = """\
session=$1
for round in 1 2 3 4 5 6 7 8; do
    found=
    for stat in /proc/[0-9]*/stat; do
        read -r line 2>/dev/null <"$stat" || continue
        set -- ${line##*) }
        [ "$4" = "$session" ] && [ "$1" != Z ] && found=1 && kill -9 "${line%% *}"
    done
    [ -n "$found" ] || break
done
"""


def start_script(
    process: ProcessSpec,
    *,
    gateway: str,
    hosts: str,
    mounts: Sequence[str],
    terminal: bool = False,
    waits: bool = False,
) -> str:
    """Write the script for one container. `hosts` is its first /etc/hosts, `mounts` are its volumes' places.

    An empty volume is given to the process's user, as people know it from other container engines. With
    `terminal` the console is the process's own; one that `waits` begins when woken.
    """
    environment = {"PATH": DEFAULT_PATH, **process.environment}
    switch = f"{BUSYBOX} start-stop-daemon -S -q -p {DIRECTORY}/none -c {process.uid}:{process.gid} -x "
    return _SCRIPT.format(
        take=f"exec 3<>{OWN_TERMINAL}\n" if terminal else "",
        run=_ON_CONSOLE if terminal else "",
        input="3>&- " if terminal else "</dev/null ",
        gate=_GATE if waits else "",
        lookup=_LOOKUP,
        exit=EXIT,
        told=_TOLD,
        hosts=HOSTS,
        known=shlex.quote(hosts),
        busybox=BUSYBOX if process.uid == process.gid == 0 else f"{BUSYBOX} --",
        switch="" if process.uid == process.gid == 0 else switch,
        gateway=gateway,
        uid=process.uid,
        gid=process.gid,
        volumes=shlex.join(mounts),
        arguments=shlex.join(process.args),
        cwd=shlex.quote(process.cwd),
        path=shlex.quote(environment["PATH"]),
        environment=_assignments(environment),
        signal=process.stop_signal,
        not_found=NOT_FOUND,
        not_executable=NOT_EXECUTABLE,
    )


def exec_command(spec: ExecSpec, environment: Mapping[str, str]) -> list[str]:
    """Give the command that starts a further process in nothing but `environment`, as leader of a session.

    Its first line of output is its process id; on a terminal the engine has made it a leader already.
    """
    script = _EXEC.format(
        cwd=shlex.quote(spec.cwd),
        path=shlex.quote(environment.get("PATH", DEFAULT_PATH)),
        lookup=_LOOKUP,
        busybox=BUSYBOX,
        environment=_assignments(environment),
        not_executable=NOT_EXECUTABLE,
    )
    leader = [] if spec.terminal else [BUSYBOX, "setsid"]
    return [*leader, BUSYBOX, "sh", "-c", script, "sh", *spec.args]


def kill_session(leader: int) -> list[str]:
    """Give the command that kills all processes of a session, those that are just being forked included."""
    return [BUSYBOX, "sh", "-c", _KILL_SESSION, "sh", str(leader)]


def _assignments(environment: Mapping[str, str]) -> str:
    return shlex.join(f"{name}={value}" for name, value in environment.items())


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
