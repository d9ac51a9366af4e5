"""Published clusters over a restart of the service: one file, which holds private keys."""

import json
import logging
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from tflocation.web.clusters import Cluster, Rewrite

log = logging.getLogger(__name__)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, at once or not at all. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
    fresh.replace(path)


def save(path: Path, clusters: Iterable[Cluster]) -> None:
    """Write all clusters. Raises OSError."""
    write_private(path, json.dumps([_write(cluster) for cluster in clusters]).encode())


def load(path: Path) -> list[Cluster]:
    """Read them; none where there is no file, and none where it cannot be read, which is logged."""
    try:
        return [_read(item) for item in json.loads(path.read_bytes())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        log.warning("published clusters are forgotten: their file cannot be read", extra=_why(path, error))
        return []


def _write(cluster: Cluster) -> dict[str, Any]:
    certificate = cluster.certificate
    return asdict(cluster) | {"certificate": None if certificate is None else b64encode(certificate).decode()}


def _read(item: dict[str, Any]) -> Cluster:
    taken = {field.name: item[field.name] for field in fields(Cluster)}
    certificate = taken["certificate"]
    texts = [taken[name] for name in ("account", "key", "holder", "fqdn")] + list(taken["containers"])
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a text is missing")
    return Cluster(
        **taken
        | {
            "containers": tuple(taken["containers"]),
            "rewrite": Rewrite(str(taken["rewrite"]["host"]), str(taken["rewrite"]["prefix"])),
            "certificate": None if certificate is None else b64decode(certificate),
        }
    )


def _why(path: Path, error: Exception) -> dict[str, object]:
    return {"fields": {"file": str(path), "reason": str(error) or type(error).__name__}}
