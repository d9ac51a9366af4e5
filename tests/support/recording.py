"""A log that keeps what it was told, for tests to read."""

from dataclasses import dataclass, field

from tfd.protocol.logged import Kind


@dataclass(frozen=True, slots=True)
class Line:
    """One event that was logged."""

    level: str
    message: str
    fields: dict[str, object] = field(default_factory=dict)
    kind: Kind | None = None


class RecordingLog:
    """Keeps every event; `limited` keeps them all too, and their keys."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.keys: list[str] = []

    def event(self, what: Kind | str, message: str, **fields: object) -> None:
        """Keep one event, which has the fields of its kind."""
        if isinstance(what, Kind):
            assert set(what.fields) <= fields.keys(), f"{what.name}: {message}"
            self.lines.append(Line(what.level, message, fields, what))
        else:
            self.lines.append(Line(what, message, fields))

    def takes(self, kind: Kind) -> bool:  # noqa: ARG002 - the log's signature
        """Take everything."""
        return True

    def limited(
        self,
        key: str,
        what: Kind | str,
        message: str,
        *,
        interval: float = 10.0,  # noqa: ARG002 - the log's signature
        **fields: object,
    ) -> None:
        """Keep one event and its key."""
        self.keys.append(key)
        self.event(what, message, **fields)

    def messages(self) -> list[str]:
        """Give the messages in order."""
        return [line.message for line in self.lines]
