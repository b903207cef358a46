"""Reading the tables: of one queue, over a connection that may be anyone's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

import apsw

from ...model.execution import EventStatus
from ..sql.rows import FINAL, PENDING, PROCESSING, STATE, FixedColumns, StateColumns, StoredEvent
from .progress import ProgressTables

__all__ = ("HELD_UNTIL", "Glance", "Look")

_TABLES: Final[dict[str | None, str]] = {
    None: "lionpride_event",
    PENDING: "lionpride_ready",
    PROCESSING: "lionpride_lease",
    EventStatus.COMPLETED.value: "lionpride_finished NOT INDEXED",
}
HELD_UNTIL: Final = (
    "max(l.leased_until, coalesce((SELECT w.leases_until FROM lionpride_worker w "
    "WHERE w.name = l.worker), 0))"
)
"""The time until which a lease ``l`` holds."""

_AT_ONCE: Final = 128
"""Events that one statement asks for."""

_GIVEN: Final = f"IN ({', '.join(f'?{n}' for n in range(1, _AT_ONCE + 1))})"
_STANDINGS: Final = (
    f"SELECT number, status, attempt FROM lionpride_finished WHERE number {_GIVEN} UNION ALL "
    f"SELECT number, '{PROCESSING}', attempt FROM lionpride_lease WHERE number {_GIVEN} UNION ALL "
    f"SELECT number, '{PENDING}', attempt FROM lionpride_ready INDEXED BY lionpride_ready_later "
    f"WHERE due > 0 AND number {_GIVEN} UNION ALL "
    f"SELECT e.number, '{PENDING}', w.attempt FROM lionpride_event e CROSS JOIN lionpride_ready w "
    "ON w.queue = e.queue AND w.due = 0 AND w.priority = e.priority AND w.number = e.number "
    f"WHERE e.number {_GIVEN}"
)


class Glance(NamedTuple):
    """What a transaction has to know of its queue before it does anything.

    Attributes:
        last: The highest number given so far, in whatever queue.
        pending: How many events wait.
        paused: The time before which nothing is to be claimed.
    """

    last: int
    pending: int
    paused: float


class Look:
    """What the tables say of a queue.

    Args:
        connection: Where they are.
        queue: The queue's name.
    """

    def __init__(self, connection: apsw.Connection, queue: str) -> None:
        self._db = connection
        self.name = queue
        self._queue = 0
        self._change: dict[str, int] = {}
        self._beside: tuple[float, float, int] | None = None  # what waiting_kinds found last
        self.progress = ProgressTables(connection)

    def _number(self) -> int:
        """The queue's own number; 0 if there is none of that name yet."""
        if not self._queue:
            query = "SELECT number FROM lionpride_queue WHERE name = ?"
            self._queue = self._db.execute(query, (self.name,)).get or 0
        return self._queue

    # -- the queue ---------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """How many events are in each status."""
        statuses = [status.value for status in EventStatus]
        query = f"SELECT {', '.join(statuses)} FROM lionpride_queue WHERE name = ?"
        row = self._db.execute(query, (self.name,)).fetchone() or (0,) * len(statuses)
        change = self._change
        return {each: n + change.get(each, 0) for each, n in zip(statuses, row, strict=True)}

    def queues(self) -> list[str]:
        """The names of all queues."""
        return [
            name
            for (name,) in self._db.execute(
                "SELECT name FROM lionpride_queue WHERE name <> '' ORDER BY number"
            )
        ]

    def last(self) -> int:
        """The highest number given so far."""
        return (
            self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'lionpride_event'").get
            or 0
        )

    def glance(self) -> Glance:
        """Three answers in one; what this transaction has changed is not in them."""
        query = (
            "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'lionpride_event'), pending, "
            "paused_until "
            "FROM lionpride_queue WHERE number = ?"
        )
        last, pending, paused = self._db.execute(query, (self._queue,)).get
        return Glance(last or 0, pending, paused)

    def paused_until(self) -> float:
        """Return the time before which nothing of the queue is claimed."""
        query = "SELECT paused_until FROM lionpride_queue WHERE name = ?"
        return self._db.execute(query, (self.name,)).get or 0.0

    def account_paused_until(self, account: str) -> float:
        """Return the time before which nothing of a limit account is available."""
        query = "SELECT paused_until FROM lionpride_limit_account WHERE name = ?"
        return self._db.execute(query, (account,)).get or 0.0

    def usage(self, account: str) -> list[tuple[float, float]]:
        """Return the instants and amounts of a limit account, oldest first."""
        query = "SELECT at, amount FROM lionpride_limit_usage WHERE account = ? ORDER BY at"
        rows: Any = self._db.execute(query, (account,))
        return list(rows)

    def reserved(self) -> Counter[str]:
        """Return what all leases reserve together, by limit account."""
        amounts: Counter[str] = Counter()
        query = "SELECT reserved FROM lionpride_lease WHERE reserved IS NOT NULL"
        for (text,) in self._db.execute(query):
            for account, (amount, _) in json.loads(text).items():
                amounts[account] += amount
        return amounts

    def holders(self) -> list[str]:
        """The workers that hold leases of this queue."""
        query = "SELECT DISTINCT worker FROM lionpride_lease WHERE queue = ?"
        return [worker for (worker,) in self._db.execute(query, (self._queue,))]

    def next_due(self) -> float | None:
        """When the first of what is not due yet will be."""
        query = "SELECT due FROM lionpride_ready WHERE queue = ? AND due > 0 ORDER BY due LIMIT 1"
        due: float | None = self._db.execute(query, (self._queue,)).get
        return due

    def next_expiry(self) -> float | None:
        """When the first of what waits and has to start by some time expires."""
        query = (
            "SELECT expires FROM lionpride_ready WHERE queue = ? AND expires IS NOT NULL "
            "ORDER BY expires LIMIT 1"
        )
        expires: float | None = self._db.execute(query, (self._number(),)).get
        return expires

    def newest_of(self, single: str) -> tuple[int, float] | None:
        """The number of the newest event of a value, and since when it has it."""
        query = (
            "SELECT number, unique_at FROM lionpride_event WHERE queue = ? AND unique_key = ? "
            "ORDER BY number DESC LIMIT 1"
        )
        found: Any = self._db.execute(query, (self._queue, single)).fetchone()
        return found  # type: ignore[no-any-return]

    def workers(self) -> dict[str, tuple[str, int, str]]:
        """The workers of this queue: of each its process's host, id and birth."""
        return {name: process for name, (process, _) in self.signs().items()}

    def signs(self) -> dict[str, tuple[tuple[str, int, str], float]]:
        """The workers of this queue: of each its process, and when it gave a sign of life."""
        query = (
            "SELECT name, host, pid, process_start, heartbeat_at FROM lionpride_worker WHERE "
            "queue = ?"
        )
        rows: Any = self._db.execute(query, (self._number(),))
        return {name: ((host, pid, born), seen) for name, host, pid, born, seen in rows}

    def roster(self) -> list[tuple[str, str, tuple[str, int, str], float, float, str | None]]:
        """The workers of this queue: name, machine, process, beginning, last sign, what it says."""
        query = (
            "SELECT name, machine, host, pid, process_start, started_at, heartbeat_at, "
            "description FROM lionpride_worker WHERE queue = ? "
            "ORDER BY started_at, name"
        )
        rows: Any = self._db.execute(query, (self._number(),))
        return [(name, node, (host, pid, born), *at) for name, node, host, pid, born, *at in rows]

    def held(self) -> list[tuple[str, int, bytes, str, int, float]]:
        """What is leased: worker, number, id, kind, attempt and when the lease lapses."""
        query = (
            f"SELECT l.worker, l.number, e.id, e.event_type, l.attempt, {HELD_UNTIL} FROM "
            "lionpride_lease l "
            "CROSS JOIN lionpride_event e ON e.number = l.number WHERE l.queue = ? ORDER BY "
            "l.number"
        )  # CROSS: else all events are gone through for the few that are leased
        rows: Any = self._db.execute(query, (self._number(),))
        return list(rows)

    def crew(self) -> list[tuple[str, tuple[str, int, str], float, str | None, int]]:
        """The workers of this queue: name, process, last sign of life, what it says, its claims."""
        query = (
            "SELECT w.name, w.host, w.pid, w.process_start, w.heartbeat_at, w.description, "
            "count(l.number) "
            "FROM lionpride_worker w LEFT JOIN lionpride_lease l ON l.worker = w.name WHERE "
            "w.queue = ? "
            "GROUP BY w.name ORDER BY w.name"
        )
        rows: Any = self._db.execute(query, (self._number(),))
        return [(name, (host, pid, born), *more) for name, host, pid, born, *more in rows]

    def holder(self, number: int) -> str | None:
        """The worker that has claimed an event."""
        query = "SELECT worker FROM lionpride_lease WHERE number = ?"
        return self._db.execute(query, (number,)).get  # type: ignore[no-any-return]

    def ahead(self, priority: float, number: int, now: float) -> int:
        """How many come before this one of those that wait and are due."""
        query = (
            "SELECT count(*) FROM lionpride_ready WHERE queue = ?1 AND {} AND (priority, "
            "number) < (?2, ?3)"
        )
        bound = self._number(), priority, number
        at_once: int = self._db.execute(query.format("due = 0"), bound).get
        due = query.format("due > 0 AND due <= ?4")
        since: int = self._db.execute(due, (*bound, now)).get
        return at_once + since

    def first(self, now: float) -> int | None:
        """The first of those that wait and are due."""
        query = (
            "SELECT priority, number FROM lionpride_ready WHERE queue = ?1 AND {} "
            "ORDER BY priority, number LIMIT 1"
        )
        at_once = self._db.execute(query.format("due = 0"), (self._number(),)).fetchall()
        due = query.format("due > 0 AND due <= ?2")
        found = [*at_once, *self._db.execute(due, (self._number(), now))]
        return min(found)[1] if found else None

    def waiting_kinds(
        self, kinds: Collection[str], numbers: Collection[int]
    ) -> dict[str, int] | None:
        """How many events wait, by class; None if any waits beside these classes and numbers."""
        waiting = (
            "FROM lionpride_ready w CROSS JOIN lionpride_event e ON e.number = w.number "
            "WHERE w.queue = ?1"
        )
        beside = (
            f"SELECT w.due, w.priority, w.number {waiting} "
            "AND e.event_type NOT IN (SELECT value FROM json_each(?2)) "
            "AND w.number NOT IN (SELECT value FROM json_each(?3))"
        )
        bound = self._number(), json.dumps(list(kinds)), json.dumps(list(numbers))
        found: Any = None
        if self._beside is not None:  # mostly it still waits: then nothing else is read
            same = f"{beside} AND w.due = ?4 AND w.priority = ?5 AND w.number = ?6"
            found = self._db.execute(same, (*bound, *self._beside)).get
        self._beside = found or self._db.execute(f"{beside} LIMIT 1", bound).get
        if self._beside is not None:
            return None
        query = f"SELECT e.event_type, count(*) {waiting} GROUP BY e.event_type"
        rows: Any = self._db.execute(query, bound[:1])
        return dict(rows)

    def unwanted(self) -> list[int]:
        """The numbers of what is leased and is to be cancelled."""
        query = "SELECT number FROM lionpride_lease WHERE cancel_requested = 1"
        return [number for (number,) in self._db.execute(query)]

    # -- events ------------------------------------------------------------------------------

    def known(self, ids: Iterable[bytes]) -> dict[bytes, int]:
        """The numbers of the ids that are here, in whatever queue."""
        query = "SELECT number FROM lionpride_event WHERE id = ?"
        found = {each: self._db.execute(query, (each,)).get for each in ids}
        return {each: number for each, number in found.items() if number is not None}

    def queue_of(self, uid: bytes) -> str | None:
        """The name of the queue that has an id; None if none has."""
        query = (
            "SELECT name FROM lionpride_queue WHERE number = (SELECT queue FROM "
            "lionpride_event WHERE id = ?)"
        )
        name: str | None = self._db.execute(query, (uid,)).get
        return name

    def is_elsewhere(self, number: int) -> bool:
        """Whether an event is in another queue than this one."""
        query = "SELECT queue FROM lionpride_event WHERE number = ?"
        return bool(self._db.execute(query, (number,)).get != self._queue)

    def kept(self, number: int) -> FixedColumns:
        """What never changes of an event that is here."""
        query = (
            "SELECT id, event_type, created_at, payload, retry, unique_key, unique_at FROM "
            "lionpride_event WHERE number = ?"
        )
        kept: Any = self._db.execute(query, (number,)).fetchone()
        return kept  # type: ignore[no-any-return]

    def page(self, status: str | None, after: int, limit: int) -> list[int]:
        """The numbers of the next events of a status, by number."""
        table = _TABLES.get(status, "lionpride_finished INDEXED BY lionpride_finished_trouble")
        where = "" if status is None or status in (PENDING, PROCESSING) else "AND status = ?4"
        if where and status != EventStatus.COMPLETED.value:
            where += " AND status <> 'completed'"  # as the index says
        query = (
            f"SELECT number FROM {table} WHERE number > ?1 AND queue = "
            f"?2 {where} ORDER BY number LIMIT ?3"
        )
        bound = (after, self._number(), limit, status)[: 4 if where else 3]
        return [number for (number,) in self._db.execute(query, bound)]

    def find(self, number: int) -> StoredEvent | None:
        """All that is known of an event, in whatever queue."""
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
        """Status, due time, time of ending (0: not yet) and state of an event."""
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

    def standings(self, numbers: Sequence[int]) -> dict[int, tuple[str, int]]:
        """Status and attempt of many events; those that are not here are left out."""
        found: dict[int, tuple[str, int]] = {}
        for at in range(0, len(numbers), _AT_ONCE):
            some = numbers[at : at + _AT_ONCE]
            bound = (*some, *[None] * (_AT_ONCE - len(some)))
            rows: Any = self._db.execute(_STANDINGS, bound)
            found |= {number: (status, attempt) for number, status, attempt in rows}
        return found

    def standing(self, number: int) -> tuple[str, int] | None:
        """Status and attempt of an event; None if it is not in this queue."""
        query = "SELECT priority FROM lionpride_event WHERE number = ? AND queue = ?"
        priority = self._db.execute(query, (number, self._queue)).get
        if priority is None:
            return None
        status, _, _, state = self._stands(number, priority, self._queue)
        return status, state[0]
