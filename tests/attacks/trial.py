"""Makes the attempts, and judges what comes of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.attacks.attempts import ATTEMPTS, Attempt, Parameters, Verdict
from tests.attacks.belongings import LIMIT, NOBODYS, Owned, Party, told
from tests.support.client import Client
from tests.support.images import digest
from tfd.protocol.commands import COMMANDS
from tfd.protocol.errors import Code, CommandError

SHOWN = 110


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt, the answer to it, and what speaks against it: nothing where all is well."""

    command: str
    attacker: str
    what: str
    answer: str
    wrong: str

    @property
    def verdict(self) -> str:
        """Give the judgement in a word or a sentence."""
        return self.wrong or "held"


def attack(command: str, attacker: Party, victim: Party) -> Iterator[Row]:
    """Make all attempts of one command."""
    before = told(victim)
    victim.client.events.clear()
    if command in SPECIAL:
        tried = SPECIAL[command](attacker, victim)
        rows = [Row(command, attacker.name, what, answer, wrong) for what, answer, wrong in [tried]]
    else:
        rows = [_try(command, attempt, attacker, victim) for attempt in ATTEMPTS[command]]
    after = told(victim)
    for row in rows:
        changed = [name for name in before if before[name] != after[name]]
        noticed = [event.name for event in victim.client.events if event.name != "node.changed"]
        wrong = f"changed another's {', '.join(changed)}" if changed else ""
        wrong = wrong or (f"told another {', '.join(noticed)}" if noticed else "")
        yield Row(row.command, row.attacker, row.what, row.answer, row.wrong or wrong)


def _try(command: str, attempt: Attempt, attacker: Party, victim: Party) -> Row:
    target, own = victim.owned, attacker.owned
    answer, body = _ask(attacker.client, command, attempt.make(target, own))
    wrong = _leak(body, victim, attempt.make(target, own))
    if attempt.verdict is Verdict.HIDDEN:
        nobodys, _ = _ask(attacker.client, command, attempt.make(NOBODYS, own))
        if _plain(answer, target) != _plain(nobodys, NOBODYS):
            wrong = wrong or f"differs from the answer about nothing: {nobodys}"
    elif attempt.verdict is Verdict.APART and body is None:
        wrong = "was refused"
    elif attempt.verdict is Verdict.DENIED and not answer.startswith(f"{Code.DENIED}: "):
        wrong = "was not denied"
    elif attempt.verdict is Verdict.PUBLIC and body is not None:
        wrong = "was not refused"
    _undo(attempt, attacker, victim, body)
    return Row(command, attacker.name, attempt.what, answer, wrong)


def _ask(client: Client, command: str, parameters: Parameters) -> tuple[str, dict[str, Any] | None]:
    """Give the answer as text, and the reply's body unless it is an error."""
    try:
        body = client.call(command, LIMIT, **parameters)
    except CommandError as error:
        return f"{error.code}: {error.message}", None
    return repr(body) if command in _ABOUT_NOTHING or not body else f"its own {', '.join(body)}", body


_ABOUT_NOTHING = frozenset({"image.find", "join"})
"""Commands whose answer tells by itself that there is nothing."""


def _undo(attempt: Attempt, attacker: Party, victim: Party, body: dict[str, Any] | None) -> None:
    if body is None:
        return
    if attempt.undo is not None:
        command, parameters = attempt.undo(victim.owned, attacker.owned)
        attacker.client.call(command, LIMIT, **parameters)
    if "container" in body:
        attacker.client.call("container.destroy", LIMIT, id=body["container"]["id"])


def _leak(body: dict[str, Any] | None, victim: Party, parameters: Parameters) -> str:
    """Name what of the victim's stands in a reply, but for what the attacker said itself."""
    text, said = repr(body), repr(parameters)
    for mark in victim.owned.marks():
        if mark in text and mark.removeprefix("sdk/") not in said:
            return f"tells {mark}"
    return ""


def _plain(answer: str, target: Owned) -> str:
    """Give an answer without the names that it is about."""
    for mark in sorted(target.marks(), key=len, reverse=True):
        answer = answer.replace(mark, "X")
    return answer


def _hello(attacker: Party, victim: Party) -> tuple[str, str, str]:
    """Resume the victim's session over the attacker's key."""
    client = attacker.client
    with Client(client.port, client.public, client.pair, session_id=victim.owned.session) as thief:
        thief.open()
        thief.connect()
        thief.open()
        mine = thief.call("container.list", LIMIT)["containers"]
        own = {attacker.owned.container, attacker.owned.declared}
        wrong = "" if {each["id"] for each in mine} == own else "is in another's session"
        thief.call("session.end", LIMIT)
    return "resuming another's session by its id", "a session of its own", wrong


def _session_end(attacker: Party, victim: Party) -> tuple[str, str, str]:
    """End a session that has the victim's id."""
    client = attacker.client
    with Client(client.port, client.public, client.pair, session_id=victim.owned.session) as thief:
        answer, _ = _ask(thief.open(), "session.end", {})
    return "in a session that has the id of another's", answer, ""


def _blob_put(attacker: Party, victim: Party) -> tuple[str, str, str]:
    """Send other contents under the digest of the victim's layer."""
    content = b"poison" * 100
    wrong = "took other contents"
    for target in (NOBODYS, victim.owned):
        try:
            attacker.client.put_blob(target.blob, content, LIMIT)
        except CommandError as error:
            answer, wrong = f"{error.code}: {error.message}", ""
        else:
            answer = "taken"
    assert digest(content) != victim.owned.blob
    return "poison under the digest of another's layer", answer, wrong


SPECIAL = {"hello": _hello, "session.end": _session_end, "blob.put": _blob_put}
"""Commands whose attempts are more than one request: each gives what was tried, the answer, what is wrong."""


def table(rows: list[Row]) -> str:
    """Give the rows as a table in Markdown."""
    lines = ["| command | role | attempt | answer | verdict |", "|---|---|---|---|---|"]
    for row in rows:
        answer = row.answer if len(row.answer) <= SHOWN else row.answer[: SHOWN - 3] + "..."
        cells = (row.command, COMMANDS[row.command].role.name.lower(), row.what, answer, row.verdict)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
