"""A PostgreSQL server in a container, with its database on a volume."""

import logging
import secrets
import string
import threading
import time
from collections.abc import Callable
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from tfnz.base import Ending, Waitable, as_text
from tfnz.container import CallableText

if TYPE_CHECKING:
    from tfnz.node import Node
    from tfnz.volume import Volume

Callback = Callable[..., object]

log = logging.getLogger(__name__)

PORT: Final = 5432
DATA: Final = "/var/lib/postgresql/data"
IMAGES: Final = ("postgres:alpine", "postgres")
"""Which image is taken where none is given: the first of these that there is."""

START_LIMIT: Final = 180.0
"""Seconds until the server must answer: a new database is made within them."""

MAX_NAME: Final = 63
"""Bytes in the name of a database (NAMEDATALEN - 1)."""

_PAUSE: Final = 0.5
_LETTERS: Final = string.ascii_letters + string.digits


class Postgresql(Waitable, Ending):
    """A PostgreSQL server. Ready means that it answers over the network, with the password.

    Whatever a Container has, it has too (`put`, `allow_connection_from`, `private_ip`, `uuid` ...), and
    `Node.destroy_container` takes it. `with` destroys the container at its end. The user is postgres, the
    port 5432.

    Args:
        node: where the container runs.
        volume: keeps the database; a new one is made where it is empty.
        password: of the user postgres from now on; None makes one of 12 letters and digits.
        log_callback: called as (container, bytes) with what the server logs.
        image: None takes `postgres:alpine`, or else `postgres`.

    Raises what `Node.spawn_container` does.

    Attributes:
        password: text that may also be called.
        ctr: the container.
        asynchronous: the thread that waits for the server.

    """

    def __init__(
        self,
        node: "Node",
        volume: "Volume",
        *,
        password: str | None = None,
        log_callback: Callback | None = None,
        image: str | None = None,
    ) -> None:
        super().__init__()
        if password is not None and (not password or not password.isprintable()):
            raise ValueError("the password is empty or holds control characters: choose another one")
        chosen = password or "".join(secrets.choice(_LETTERS) for _ in range(12))
        self.password: CallableText = CallableText(chosen)
        environment = [("POSTGRES_PASSWORD", chosen)]
        for name in (image,) if image is not None else IMAGES:
            try:
                self.ctr = node.spawn_container(
                    name, env=environment, volumes=[(volume, DATA)], stdout_callback=log_callback
                )
                break
            except RuntimeError:
                if name in (image, IMAGES[-1]):
                    raise
        self._truly_up = threading.Lock()
        self.asynchronous = threading.Thread(target=self._wait, name="Postgresql", daemon=True)
        self.asynchronous.start()

    def __repr__(self) -> str:
        return f"<Postgresql '{as_text(self.ctr.uuid)}' ready={self.is_ready()}>"

    def __getattr__(self, name: str) -> Any:
        if name == "ctr":
            raise AttributeError("ctr")
        return getattr(self.ctr, name)

    def wait_truly_up(self) -> None:
        """Wait until the server answers, and set its password; the thread does that by itself.

        Raises ValueError where its container ends, TimeoutError after 180 s.
        """
        with self._truly_up:
            if self.is_ready():
                return
            end = time.monotonic() + START_LIMIT
            statement = f"ALTER USER postgres PASSWORD {_literal(self.password)}"
            # Over the socket no password is asked; an image may run a first server there that ends again.
            self._until(end, lambda: self._psql(statement)[2] == 0)
            self._until(end, lambda: self._psql("SELECT 1", own_ip=True)[2] == 0)
            self.mark_as_ready()

    def ensure_database(self, name: str) -> bool:
        """Make a database, of postgres and in UTF-8, unless there is one of that name.

        Gives whether it was made. Raises ValueError: the name is empty, longer than 63 bytes, or refused by
        the server.
        """
        if not name or len(name.encode()) > MAX_NAME or "\0" in name:
            raise ValueError(f"{name!r} is no name of a database: allowed is text of 1 to {MAX_NAME} bytes")
        self.wait_until_ready(START_LIMIT)
        if self._has_database(name):
            return False
        identifier = name.replace('"', '""')
        statement = f"CREATE DATABASE \"{identifier}\" OWNER postgres ENCODING 'UTF8' TEMPLATE template0"
        _, errors, code = self._psql(statement)
        if code == 0:
            return True
        if self._has_database(name):
            return False  # made meanwhile by another program
        raise ValueError(
            f"the database {name!r} could not be made: {errors.decode(errors='replace').strip()}"
        )

    def _leave(self) -> None:
        if not self.ctr.dead:
            self.ctr.node().destroy_container(self.ctr)

    def _wait(self) -> None:
        try:
            self.wait_truly_up()
        except (ValueError, TimeoutError, OSError) as error:
            log.warning("%r did not start: %s", self, error)
            self.mark_as_failed(str(error))

    def _until(self, end: float, condition: Callable[[], bool]) -> None:
        while True:
            try:
                if condition():
                    return
            except ValueError:
                if not self.ctr.dead:
                    raise
            if self.ctr.dead:
                reason = self.ctr.record.get("reason") or "it was destroyed"
                raise ValueError(f"its container has ended: {reason}; log_callback gets what it said")
            if time.monotonic() >= end:
                raise TimeoutError(f"the server in {self.ctr!r} did not answer within {START_LIMIT:g} s")
            time.sleep(_PAUSE)

    def _has_database(self, name: str) -> bool:
        query = f"SELECT 1 FROM pg_database WHERE datname = {_literal(name)}"  # noqa: S608 - a literal
        return bool(self._psql(query)[0].strip())

    def _psql(self, statement: str, *, own_ip: bool = False) -> tuple[bytes, bytes, int]:
        """Run a statement inside the container, over the network or else the Unix socket."""
        host = f"PGPASSWORD={quote(self.password)} psql -h {self.ctr.private_ip()}" if own_ip else "psql"
        line = f"{host} -X -q -t -A -w -U postgres -d postgres -c {quote(statement)}"
        answer: tuple[bytes, bytes, int] = self.ctr.run_process(line, nolog=True)
        return answer


def _literal(text: str) -> str:
    """Write text as a constant of SQL, whatever standard_conforming_strings says."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f" E'{escaped}'"
