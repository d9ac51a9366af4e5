"""When what a session holds is over: the lease, counted from when the session lost its client.

Rule of this file: no I/O; the time is a parameter, in seconds of one monotonic clock.
"""

from collections.abc import Collection, Mapping

Holder = tuple[str, str]
"""A session that holds something: its account, and its id in hexadecimal."""


class Leases:
    """How long the holders have been away; they are told anew each time, so nothing can be missed."""

    def __init__(self) -> None:
        self._away: dict[Holder, float] = {}

    def due(
        self, holders: Collection[Holder], sessions: Mapping[Holder, float | None], now: float, lease: float
    ) -> set[Holder]:
        """Give the holders whose lease is over.

        Args:
            holders: all that hold something.
            sessions: those that are known: None while the client is there, else since when it is away.
                For others the lease begins now: the service was started anew, or the session forgotten.
            now: the time.
            lease: seconds.

        """
        away = {}
        for holder in holders:
            since = sessions.get(holder, self._away.get(holder, now))
            if since is not None:
                away[holder] = since
        self._away = away
        return {holder for holder, since in away.items() if now - since >= lease}
