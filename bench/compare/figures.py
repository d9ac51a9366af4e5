"""The figures: what the load generator is told, and what is taken from its answer."""

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.compare.processes import first_line, started
from bench.compare.programs import Ends, Program

IDLE_SOME = 1000
IDLE_MANY = 9500
SLOW = 1000
SMALL = 100
SMALL_PAUSE = 0.05
QUIET = 4.0
"""Seconds after a start or a change until memory is looked at: tfd gives its start's back after two."""

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Metric:
    """One column: `more` tells whether a larger value is the better one."""

    key: str
    title: str
    more: bool = False
    decimals: int = 2


@dataclass(frozen=True, slots=True)
class Figure:
    """One table. `measure` takes seconds.

    `fresh` figures get two ends that have carried nothing yet, in the first round alone: they hardly vary.
    """

    name: str
    title: str
    metrics: tuple[Metric, ...]
    measure: Callable[[Program, Ends, float], Values]
    fresh: bool = False


def _asked(ends: Ends, *arguments: object) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(ends.place.load(*arguments))
    return answer


def _spent(ends: Ends, before: float, each: float) -> Values:
    """Give the processor time of both ends since `before` for each of so many; none without ends."""
    return {"processor": (ends.processor_seconds() - before) / each} if ends.near else {}


def _bulk(direction: str, connections: int) -> Callable[[Program, Ends, float], Values]:
    def measure(_program: Program, ends: Ends, seconds: float) -> Values:
        before = ends.processor_seconds()
        answer = _asked(ends, "bulk", direction, connections, seconds)
        if not answer["bytes"]:
            raise RuntimeError("nothing came through")
        return {"rate": answer["rate"], **_spent(ends, before, answer["bytes"] / 1e9)}

    return measure


def _times(answer: Mapping[str, Any]) -> Values:
    lost = answer["failed"] + answer["stuck"]
    if not answer["count"]:
        raise RuntimeError(f"no request was answered, {lost:,} failed or hung")
    return {"rate": answer["rate"], "p50": answer["p50"], "p99": answer["p99"], "lost": lost}


def _churn(connections: int) -> Callable[[Program, Ends, float], Values]:
    def measure(_program: Program, ends: Ends, seconds: float) -> Values:
        before = ends.processor_seconds()
        answer = _asked(ends, "churn", connections, seconds)
        return {**_times(answer), **_spent(ends, before, answer["answered"] / 1e6)}

    return measure


def _keep(_program: Program, ends: Ends, seconds: float) -> Values:
    return _times(_asked(ends, "kept", 64, seconds, 0))


def _ping(_program: Program, ends: Ends, seconds: float) -> Values:
    answer = _times(_asked(ends, "ping", seconds))
    return {"p50": answer["p50"] * 1e3, "p99": answer["p99"] * 1e3}


def _small(ends: Ends, seconds: float) -> float:
    return _times(_asked(ends, "kept", SMALL, seconds, SMALL_PAUSE))["p99"]


def _fair(_program: Program, ends: Ends, seconds: float) -> Values:
    alone = _small(ends, seconds)
    log = ends.place.directory / "load.log"
    with started(ends.place.load_command("bulk", "down", 1, 600), log):
        beside = _small(ends, seconds)
    return {"alone": alone, "beside": beside, "times": beside / alone}


def held_count(process: "subprocess.Popen[bytes]") -> int:
    """Wait until the load generator holds its connections, and give how many."""
    return int(json.loads(first_line(process))["held"])


def _slow(_program: Program, ends: Ends, seconds: float) -> Values:
    alone, before = _small(ends, seconds), ends.resident()[1]
    with started(ends.place.load_command("hold", "slow", SLOW), ends.place.directory / "load.log") as process:
        held = held_count(process)
        if held < SLOW:
            raise RuntimeError(f"only {held:,} of {SLOW:,} slow readers were taken")
        beside = _small(ends, seconds)
        grown = ends.resident()[1] - before
    return {"alone": alone, "beside": beside, "times": beside / alone, "grown": grown}


def _memory(program: Program, ends: Ends, _seconds: float) -> Values:
    from time import sleep

    sleep(QUIET)
    values: dict[str, float] = {"processes": ends.processes()}
    values["rss"], idle = ends.resident()
    values["pss"] = idle
    for name, count in (("some", IDLE_SOME), ("many", IDLE_MANY)):
        if count > program.idle_most:
            continue
        log = ends.place.directory / "load.log"
        with started(ends.place.load_command("hold", "idle", count), log) as process:
            held = held_count(process)
            sleep(QUIET / 2)
            values[name], full = ends.resident()
        if held < count:
            del values[name]
        else:
            values["each"] = (full - idle) * 1024 / count
    return values


_RATE = Metric("rate", "MB/s", True, 0)
_SECONDS = Metric("processor", "CPU s/GB")
_REQUESTS = (
    Metric("rate", "requests/s", True, 0),
    Metric("p50", "p50 ms"),
    Metric("p99", "p99 ms"),
)
_CHURN = (*_REQUESTS, Metric("processor", "CPU µs each", decimals=0), Metric("lost", "failed", decimals=0))
_BESIDE = (Metric("alone", "p99 alone, ms"), Metric("beside", "p99 beside, ms"), Metric("times", "times"))

FIGURES = (
    Figure("down", "Throughput, one connection, down", (_RATE, _SECONDS), _bulk("down", 1)),
    Figure("up", "Throughput, one connection, up", (_RATE, _SECONDS), _bulk("up", 1)),
    Figure("down8", "Throughput, 8 connections together, down", (_RATE, _SECONDS), _bulk("down", 8)),
    Figure("churn32", "A new connection for each request, 32 at once", _CHURN, _churn(32)),
    Figure("churn256", "A new connection for each request, 256 at once", _CHURN, _churn(256)),
    Figure("keep", "Requests on 64 kept connections", _REQUESTS, _keep),
    Figure(
        "ping",
        "Round trip of one byte",
        (Metric("p50", "p50 µs", decimals=0), Metric("p99", "p99 µs", decimals=0)),
        _ping,
    ),
    Figure("fair", f"{SMALL} small connections beside a bulk one", _BESIDE, _fair),
    Figure(
        "slow",
        f"{SMALL} small connections beside {SLOW:,} slow readers",
        (*_BESIDE, Metric("grown", "near end grows, MiB", decimals=1)),
        _slow,
    ),
    Figure(
        "memory",
        "Memory of the near end, MiB",
        (
            Metric("rss", "RSS idle", decimals=1),
            Metric("pss", "PSS idle", decimals=1),
            Metric("some", f"RSS, {IDLE_SOME:,} idle", decimals=1),
            Metric("many", f"RSS, {IDLE_MANY:,} idle", decimals=1),
            Metric("each", "KiB a connection", decimals=1),
        ),
        _memory,
        fresh=True,
    ),
)
