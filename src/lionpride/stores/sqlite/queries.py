"""Read statements on the tables of one queue that the hot path and the snapshots need."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import apsw

from ...model.execution import EventStatus
from ..sql.backend import Location
from ..sql.rows import (
    FINAL,
    NOT_BLOCKED,
    PENDING,
    PROCESSING,
    STATE,
    FixedColumns,
    KnownEvent,
    StateColumns,
    StoredEvent,
)

__all__ = ("Tables",)

_KNOWN: Final = """
SELECT e.number, e.queue, q.name FROM lionpride_event e
CROSS JOIN lionpride_queue q ON q.number = e.queue WHERE e.id = ?
"""

_SIZES: Final = (1, 8, 128)
"""Numbers of one statement: few sizes, so that SQLite finds the statements compiled."""

_LOCATE: Final = (
    "SELECT number, status, attempt FROM lionpride_finished WHERE number {given} UNION ALL "
    f"SELECT number, '{PROCESSING}', attempt FROM lionpride_lease WHERE number {{given}} UNION ALL "
    f"SELECT number, '{PENDING}', attempt FROM lionpride_ready INDEXED BY lionpride_ready_later "
    "WHERE due > 0 AND number {given} UNION ALL "
    f"SELECT e.number, '{PENDING}', w.attempt FROM lionpride_event e CROSS JOIN lionpride_ready w "
    "ON w.queue = e.queue AND w.due = 0 AND w.priority = e.priority AND w.number = e.number "
    "WHERE e.number {given}"
)


@lru_cache
def _locate(size: int) -> str:
    given = ", ".join(f"?{place}" for place in range(1, size + 1))
    return _LOCATE.format(given=f"IN ({given})")


class Tables:
    """Read statements on the tables of one queue, over any connection.

    Args:
        connection: The connection.
        queue: The name of the queue.
    """

    def __init__(self, connection: apsw.Connection, queue: str) -> None:
        self._db = connection
        self.name = queue
        self._queue = 0
        self._change: dict[str, int] = {}

    @property
    def connection(self) -> apsw.Connection:
        """The connection."""
        return self._db

    def known_queue(self) -> int:
        """Return the number of the queue; 0 if it does not exist yet."""
        if not self._queue:
            query = "SELECT number FROM lionpride_queue WHERE name = ?"
            self._queue = self._db.execute(query, (self.name,)).get or 0
        return self._queue

    # -- the queue ---------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Return the number of events in each status."""
        statuses = [status.value for status in EventStatus]
        query = f"SELECT {', '.join(statuses)} FROM lionpride_queue WHERE name = ?"
        row = self._db.execute(query, (self.name,)).fetchone() or (0,) * len(statuses)
        change = self._change
        return {each: n + change.get(each, 0) for each, n in zip(statuses, row, strict=True)}

    def last(self) -> int:
        """Return the highest number given so far."""
        return (
            self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'lionpride_event'").get
            or 0
        )

    def next_due(self) -> float | None:
        """Return the earliest time at which a scheduled event becomes due."""
        query = (
            f"SELECT due FROM lionpride_ready WHERE queue = ? AND due > 0 AND {NOT_BLOCKED} "
            "ORDER BY due LIMIT 1"
        )
        due: float | None = self._db.execute(query, (self._queue,)).get
        return due

    def next_expiry(self) -> float | None:
        """Return the earliest time at which a ready event expires."""
        query = (
            "SELECT expires FROM lionpride_ready WHERE queue = ? AND expires IS NOT NULL "
            "ORDER BY expires LIMIT 1"
        )
        expires: float | None = self._db.execute(query, (self.known_queue(),)).get
        return expires

    # -- events ------------------------------------------------------------------------------

    def known(self, ids: Iterable[bytes]) -> dict[bytes, KnownEvent]:
        """Return the known ids, in any queue, and their events."""
        found = ((uid, self._db.execute(_KNOWN, (uid,)).fetchone()) for uid in ids)
        return {uid: KnownEvent._make(row) for uid, row in found if row is not None}

    def kept(self, number: int) -> FixedColumns:
        """Return the fixed columns of an event."""
        query = (
            "SELECT id, event_type, created_at, payload, retry, unique_key, unique_at FROM "
            "lionpride_event WHERE number = ?"
        )
        kept: Any = self._db.execute(query, (number,)).fetchone()
        return kept  # type: ignore[no-any-return]

    def find(self, number: int) -> StoredEvent | None:
        """Return all columns of an event, in any queue."""
        row: Any = self._db.execute(
            "SELECT e.number, e.id, q.name, e.event_type, e.created_at, e.priority, e.key, "
            "e.costs, "
            "e.retry, e.unique_key, e.unique_at, e.payload, q.number FROM lionpride_event e "
            "JOIN lionpride_queue q ON q.number = e.queue WHERE e.number = ?",
            (number,),
        ).fetchone()
        if row is None:
            return None
        *kept, queue = row
        status, due, ended, state = self._stands(number, row[5], queue)
        return StoredEvent._make((*kept, status, due, ended, state))

    def _stands(
        self, number: int, priority: float, queue: int
    ) -> tuple[str, float, float, StateColumns]:
        """Return status, due time, finish time (0 if unfinished) and state of an event."""
        at: Any = self._db.execute(
            f"SELECT status, 0.0, finished_at, {FINAL}, NULL FROM lionpride_finished WHERE number "
            "= ?1 UNION ALL "
            f"SELECT '{PROCESSING}', due, 0.0, {STATE} FROM lionpride_lease WHERE number = ?1 "
            "UNION ALL "
            f"SELECT '{PENDING}', due, 0.0, {STATE} FROM lionpride_ready "
            "WHERE queue = ?2 AND due = 0 AND priority = ?3 AND number = ?1 UNION ALL "
            f"SELECT '{PENDING}', due, 0.0, {STATE} FROM lionpride_ready INDEXED BY "
            "lionpride_ready_later "
            "WHERE number = ?1 AND due > 0",
            (number, queue, priority),
        ).fetchone()
        return at[0], at[1], at[2], at[3:]

    def locate(self, numbers: Sequence[int]) -> dict[int, Location]:
        """Return the location of events."""
        found: dict[int, Location] = {}
        for at in range(0, len(numbers), _SIZES[-1]):
            some = numbers[at : at + _SIZES[-1]]
            size = _SIZES[bisect_left(_SIZES, len(some))]
            bound = (*some, *[None] * (size - len(some)))
            rows: Any = self._db.execute(_locate(size), bound)
            found |= {number: Location(*where) for number, *where in rows}
        return found
