"""The tables: every statement on them, each a step inside a transaction that others begin."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeAlias

import apsw

from ...model.execution import EventStatus
from ...rules.lifecycle import RETRYABLE

__all__ = ("Ended", "Found", "Fresh", "Kept", "Place", "Rows", "Stands", "State", "Waits")

State: TypeAlias = tuple[int, int, int, int, float | None, int | None, str | None]
"""attempt, tries, denials, interruptions, duration, retryable, result."""

Kept: TypeAlias = tuple[bytes, str, float, str]
"""id, kind, created, payload."""

_STATE: Final = "attempt, tries, denials, interruptions, duration, retryable, result"
_PENDING: Final = EventStatus.PENDING.value
_PROCESSING: Final = EventStatus.PROCESSING.value
_TABLES: Final[dict[str | None, str]] = {
    None: "event",
    _PENDING: "waiting",
    _PROCESSING: "lease",
    EventStatus.COMPLETED.value: "finished NOT INDEXED",
}


Waits: TypeAlias = tuple[int, float, float, int, int, int, int, float | None, int | None, str | None]
"""number, due, priority of an event that waits, and its state."""

Ended: TypeAlias = tuple[int, int, float, float, str | None]
"""number, attempt, ended, duration, result of a completed attempt."""

Fresh: TypeAlias = tuple[bytes, str, float, float, str]
"""id, kind, created, priority, payload of an event with nothing on record."""


class Place(NamedTuple):
    """An event that is to be taken in: ``due`` is 0 for at once, ``ended`` 0 if it has not."""

    id: bytes
    kind: str
    created: float
    priority: float
    key: str | None
    costs: str | None
    payload: str
    status: str
    due: float
    ended: float
    state: State


class Stands(NamedTuple):
    """An event that waits, or is leased, as it does."""

    number: int
    due: float
    priority: float
    state: State


class Found(NamedTuple):
    """All that is known of an event."""

    number: int
    id: bytes
    queue: str
    kind: str
    created: float
    priority: float
    key: str | None
    costs: str | None
    payload: str
    status: str
    due: float
    state: State


class Rows:
    """The rows of one queue, over a connection that is inside a transaction.

    Args:
        connection: Where they are.
        queue: The queue's name.
    """

    def __init__(self, connection: apsw.Connection, queue: str) -> None:
        self._db = connection
        self._name = queue
        self._queue = 0
        self._change: dict[str, int] = {}

    # -- the transaction ---------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a transaction that writes."""
        self._db.execute("BEGIN IMMEDIATE")
        self._change = {}
        if not self._queue:
            self._db.execute("INSERT OR IGNORE INTO queue (name) VALUES (?)", (self._name,))
            query = "SELECT number FROM queue WHERE name = ?"
            self._queue = self._db.execute(query, (self._name,)).get

    def write_counts(self) -> None:
        """Write what the transaction has changed in the counts; then it may be committed."""
        changed = {status: by for status, by in self._change.items() if by}
        if changed:
            sums = ", ".join(f"{status} = {status} + ?" for status in changed)
            update = f"UPDATE queue SET {sums} WHERE number = ?"
            self._db.execute(update, (*changed.values(), self._queue))
        self._change = {}

    def commit(self) -> None:
        """Commit: the one step that waits for the disk."""
        self._db.execute("COMMIT")

    def roll_back(self) -> None:
        """Undo all, if SQLite has not done so by itself."""
        self._queue = 0  # it may have been made in this transaction
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Undo what the block has done, if it raises."""
        change = dict(self._change)
        self._db.execute("SAVEPOINT step")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._change = change
                self._db.execute("ROLLBACK TO step")
                self._db.execute("RELEASE step")
            raise
        self._db.execute("RELEASE step")

    def _count(self, status: str, by: int) -> None:
        self._change[status] = self._change.get(status, 0) + by

    # -- taking in ---------------------------------------------------------------------------

    def known(self, ids: Iterable[bytes]) -> dict[bytes, int]:
        """The numbers of the ids that are here, in whatever queue."""
        query = "SELECT number FROM event WHERE id = ?"
        found = {each: self._db.execute(query, (each,)).get for each in ids}
        return {each: number for each, number in found.items() if number is not None}

    def insert(self, places: Sequence[Place]) -> range | None:
        """Take events in; their numbers, or None if an id is known: then undo this."""
        last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").get or 0
        numbers = range(last + 1, last + 1 + len(places))
        before, queue = self._db.total_changes(), self._queue
        self._db.executemany(
            "INSERT INTO event (number, id, queue, kind, created, priority, key, costs, payload) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            [(n, p[0], queue, *p[1:7]) for n, p in zip(numbers, places, strict=True)],
        )
        if self._db.total_changes() - before != len(places):
            return None
        waiting = [(p.due, p.priority, n, p.state) for n, p in zip(numbers, places, strict=True)
                   if p.status == _PENDING]
        self._let_wait(waiting)
        self._finish(
            [(n, p.status, p.ended, p.state) for n, p in zip(numbers, places, strict=True)
             if p.status != _PENDING]
        )
        return numbers

    def insert_new(self, fresh: Sequence[Fresh]) -> range | None:
        """Take in events with nothing on record; as ``insert``, and in half the time."""
        last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").get or 0
        numbers = range(last + 1, last + 1 + len(fresh))
        before, queue = self._db.total_changes(), self._queue
        self._db.executemany(
            "INSERT INTO event (number, id, queue, kind, created, priority, payload) "
            f"VALUES (?, ?, {queue}, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            [(n, *one) for n, one in zip(numbers, fresh, strict=True)],
        )
        if self._db.total_changes() - before != len(fresh):
            return None
        self._db.execute(
            f"INSERT INTO waiting (queue, due, priority, number, {_STATE}) "
            "SELECT queue, 0, priority, number, 0, 0, 0, 0, NULL, NULL, NULL FROM event "
            "WHERE number > ?",
            (last,),
        )
        self._count(_PENDING, len(fresh))
        return numbers

    def _let_wait(self, entries: Sequence[tuple[float, float, int, State]]) -> None:
        """Let events wait: due, priority, number, state."""
        if entries:
            queue = self._queue
            self._db.executemany(
                f"INSERT INTO waiting (queue, due, priority, number, {_STATE}) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(queue, due, priority, n, *state) for due, priority, n, state in entries],
            )
            self._count(_PENDING, len(entries))

    def _finish(self, entries: Sequence[tuple[int, str, float, State]]) -> None:
        """Put ended events on record: number, status, when, state."""
        if entries:
            queue = self._queue
            self._db.executemany(
                f"INSERT INTO finished (number, queue, status, ended, {_STATE}) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(n, queue, status, ended, *state) for n, status, ended, state in entries],
            )
            for _, status, _, _ in entries:
                self._count(status, 1)

    # -- claiming ----------------------------------------------------------------------------

    def mature(self, now: float) -> None:
        """Make ready what has become due."""
        self._db.execute(
            "UPDATE waiting SET due = 0 WHERE queue = ? AND due > 0 AND due <= ?",
            (self._queue, now),
        )

    def next(self, n: int) -> list[Waits]:
        """What is to be claimed next: the first ``n`` that are ready."""
        return self._db.execute(
            f"SELECT number, due, priority, {_STATE} FROM waiting "
            "WHERE queue = ? AND due = 0 ORDER BY priority, number LIMIT ?",
            (self._queue, n),
        ).fetchall()

    def next_of(
        self, n: int, until: int | None, skip: Collection[int], denied: bool, but: Collection[str]
    ) -> list[Waits]:
        """What is to be claimed next, of some.

        Args:
            n: How many at most.
            until: The highest number; None: any.
            skip: Not these numbers.
            denied: Also those that wait out a denial.
            but: Not events of these kinds.
        """
        where, bound = ["queue = ?"], list[Any]([self._queue])
        where.append("(due = 0 OR denials > 0)" if denied else "due = 0")
        if until is not None:
            where.append("number <= ?")
            bound.append(until)
        if skip:
            where.append("number NOT IN (SELECT value FROM json_each(?))")
            bound.append(json.dumps(list(skip)))
        if but:
            where.append(
                "(SELECT kind FROM event WHERE event.number = waiting.number) "
                "NOT IN (SELECT value FROM json_each(?))"
            )
            bound.append(json.dumps(list(but)))
        return self._db.execute(
            f"SELECT number, due, priority, {_STATE} FROM waiting WHERE {' AND '.join(where)} "
            "ORDER BY priority, number LIMIT ?",
            (*bound, n),
        ).fetchall()

    def lease_first(self, found: Sequence[Waits], worker: str, until: float, start: bool) -> None:
        """Give a worker what ``next`` has found: all of it, in two statements."""
        last = self._queue, found[-1][2], found[-1][0]
        self._db.execute(
            f"INSERT INTO lease (number, queue, due, priority, {_STATE}, worker, until) SELECT "
            f"number, queue, due, priority, attempt + 1, tries, {'0' if start else 'denials'}, "
            "interruptions, duration, retryable, result, ?4, ?5 FROM waiting "
            "WHERE queue = ?1 AND due = 0 AND (priority, number) <= (?2, ?3)",
            (*last, worker, until),
        )
        self._db.execute(
            "DELETE FROM waiting WHERE queue = ? AND due = 0 AND (priority, number) <= (?, ?)", last
        )
        self._count(_PENDING, -len(found))
        self._count(_PROCESSING, len(found))

    def lease(self, found: Sequence[Waits], worker: str, until: float, start: bool) -> None:
        """Give a worker what ``next_of`` has found."""
        queue = self._queue
        self._db.executemany(
            f"INSERT INTO lease (number, queue, due, priority, {_STATE}, worker, until) VALUES "
            f"(?, {queue}, {'0 * ?' if start else '?'}, ?, ? + 1, ?, {'0 * ?' if start else '?'}, "
            "?, ?, ?, ?, ?, ?)",
            [(*one, worker, until) for one in found],
        )
        self._db.executemany(
            "DELETE FROM waiting WHERE queue = ? AND due = ? AND priority = ? AND number = ?",
            [(queue, one[1], one[2], one[0]) for one in found],
        )
        self._count(_PENDING, -len(found))
        self._count(_PROCESSING, len(found))

    def kept(self, number: int) -> Kept:
        """What never changes of an event that is here."""
        query = "SELECT id, kind, created, payload FROM event WHERE number = ?"
        kept: Kept = self._db.execute(query, (number,)).fetchone()
        return kept

    def next_due(self) -> float | None:
        """When the first of what is not due yet will be."""
        query = "SELECT due FROM waiting WHERE queue = ? AND due > 0 ORDER BY due LIMIT 1"
        return self._db.execute(query, (self._queue,)).get  # type: ignore[no-any-return]

    # -- leases ------------------------------------------------------------------------------

    def holders(self) -> list[str]:
        """The workers that hold leases of this queue."""
        query = "SELECT DISTINCT worker FROM lease WHERE queue = ?"
        return [worker for (worker,) in self._db.execute(query, (self._queue,))]

    def process_of(self, worker: str) -> tuple[str, int, str] | None:
        """Host, process id and birth of a worker's process."""
        query = "SELECT host, pid, born FROM worker WHERE name = ?"
        return self._db.execute(query, (worker,)).fetchone()  # type: ignore[no-any-return]

    def enlist(self, worker: str, host: str, pid: int, born: str, now: float) -> None:
        """Note a worker and its process."""
        self._db.execute(
            "INSERT INTO worker (name, queue, host, pid, born, seen) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET seen = excluded.seen",
            (worker, self._queue, host, pid, born, now),
        )

    def discharge(self, worker: str) -> None:
        """Forget a worker."""
        self._db.execute("DELETE FROM worker WHERE name = ?", (worker,))

    def is_attended(self, since: float) -> bool:
        """Whether a worker of this queue gave a sign of life since then."""
        query = (
            "SELECT 1 FROM worker WHERE seen >= ? "
            "AND queue = (SELECT number FROM queue WHERE name = ?) LIMIT 1"
        )
        return self._db.execute(query, (since, self._name)).get is not None

    def unwanted(self) -> list[int]:
        """The numbers of what is leased and is to be cancelled."""
        query = "SELECT number FROM lease WHERE cancel = 1"
        return [number for (number,) in self._db.execute(query)]

    def lapse(self, worker: str) -> None:
        """End the leases of a worker, whose process is dead, and forget it."""
        self._db.execute("UPDATE lease SET until = 0 WHERE worker = ?", (worker,))
        self.discharge(worker)

    def lapsed(self, now: float, limit: int) -> list[Stands]:
        """What is held under a lapsed lease."""
        rows = self._db.execute(
            f"SELECT number, due, priority, {_STATE} FROM lease "
            "WHERE queue = ? AND until < ? ORDER BY number LIMIT ?",
            (self._queue, now, limit),
        )
        return [Stands(row[0], row[1], row[2], row[3:]) for row in rows]

    def extend(self, number: int, attempt: int, until: float) -> int | None:
        """Renew a lease: whether a cancel is asked for; None if it is lost."""
        query = "UPDATE lease SET until = ? WHERE number = ? AND attempt = ? RETURNING cancel"
        return self._db.execute(query, (until, number, attempt)).get  # type: ignore[no-any-return]

    # -- settling ----------------------------------------------------------------------------

    def end_leases(self, claims: Sequence[tuple[int, int]]) -> bool:
        """End leases by number and attempt; False if one was not there: then undo this."""
        before = self._db.total_changes()
        self._db.executemany("DELETE FROM lease WHERE number = ? AND attempt = ?", claims)
        if self._db.total_changes() - before != len(claims):
            return False
        self._count(_PROCESSING, -len(claims))
        return True

    def complete(self, ended: Sequence[Ended]) -> bool:
        """Put completed attempts on record; False if a lease was lost: then undo this."""
        before, queue = self._db.total_changes(), self._queue
        self._db.executemany(
            f"INSERT INTO finished (number, queue, status, ended, {_STATE}) "
            f"SELECT number, {queue}, 'completed', ?3, attempt, tries, 0, interruptions, ?4, "
            "NULL, ?5 FROM lease WHERE number = ?1 AND attempt = ?2",
            ended,
        )
        if self._db.total_changes() - before != len(ended):
            return False
        self._db.executemany("DELETE FROM lease WHERE number = ?", [one[:1] for one in ended])
        self._count(_PROCESSING, -len(ended))
        self._count(EventStatus.COMPLETED.value, len(ended))
        return True

    def place(
        self,
        ended: Sequence[tuple[int, str, float, State]],
        back: Sequence[tuple[float, float, int, State]],
    ) -> None:
        """Where settled events go: on record, or back to wait."""
        self._finish(ended)
        self._let_wait(back)

    def standing(self, number: int) -> tuple[str, int] | None:
        """Status and attempt of an event; None if it is not in this queue."""
        query = "SELECT priority FROM event WHERE number = ? AND queue = ?"
        priority = self._db.execute(query, (number, self._queue)).get
        if priority is None:
            return None
        status, _, state = self._stands(number, priority, self._queue)
        return status, state[0]

    def waits(self, number: int) -> Stands | None:
        """An event that waits, as it does; None if it does not."""
        query = "SELECT priority FROM event WHERE number = ? AND queue = ?"
        priority = self._db.execute(query, (number, self._queue)).get
        if priority is None:
            return None
        status, due, state = self._stands(number, priority, self._queue)
        return Stands(number, due, priority, state) if status == _PENDING else None

    # -- by hand -----------------------------------------------------------------------------

    def leave(self, one: Stands) -> None:
        """Take out what waits."""
        self._db.execute(
            "DELETE FROM waiting WHERE queue = ? AND due = ? AND priority = ? AND number = ?",
            (self._queue, one.due, one.priority, one.number),
        )
        self._count(_PENDING, -1)

    def ask_cancel(self, number: int) -> None:
        """Ask the holder of a lease to cancel the attempt."""
        self._db.execute("UPDATE lease SET cancel = 1 WHERE number = ?", (number,))

    def reopen(self, number: int) -> bool:
        """Let an ended event wait again, with its counters at zero; whether it could be."""
        statuses = ", ".join(f"'{status.value}'" for status in RETRYABLE)
        row = self._db.execute(
            "DELETE FROM finished WHERE number = ? AND queue = ? "
            f"AND status IN ({statuses}) RETURNING status, attempt",
            (number, self._queue),
        ).fetchone()
        if row is None:
            return False
        priority = self._db.execute("SELECT priority FROM event WHERE number = ?", (number,)).get
        self._count(row[0], -1)
        self._let_wait([(0.0, priority, number, (row[1], 0, 0, 0, None, None, None))])
        return True

    def drop(self, number: int) -> None:
        """Remove an event that nobody has claimed."""
        waits = self.waits(number)
        if waits is not None:
            self.leave(waits)
        else:
            query = "DELETE FROM finished WHERE number = ? RETURNING status"
            self._count(self._db.execute(query, (number,)).get, -1)
        self._db.execute("DELETE FROM event WHERE number = ?", (number,))

    def oldest(
        self, status: str, limit: int, before: float | None = None
    ) -> list[tuple[float, int]]:
        """When ended events ended, and their numbers: the oldest endings first."""
        query = "SELECT ended, number FROM finished WHERE queue = ? AND status = ?"
        bound: list[Any] = [self._queue, status]
        if before is not None:
            query += " AND ended < ?"
            bound.append(before)
        return self._db.execute(f"{query} ORDER BY ended LIMIT ?", (*bound, limit)).fetchall()

    def prune(self, status: str, numbers: Sequence[int]) -> None:
        """Remove ended events of one status."""
        each = [(number,) for number in numbers]
        self._db.executemany("DELETE FROM finished WHERE number = ?", each)
        self._db.executemany("DELETE FROM event WHERE number = ?", each)
        self._count(status, -len(each))

    # -- asking ------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """How many events are in each status."""
        statuses = [status.value for status in EventStatus]
        query = f"SELECT {', '.join(statuses)} FROM queue WHERE name = ?"
        row = self._db.execute(query, (self._name,)).fetchone() or (0,) * len(statuses)
        change = self._change
        return {each: n + change.get(each, 0) for each, n in zip(statuses, row, strict=True)}

    def queues(self) -> list[str]:
        """The names of all queues."""
        return [name for (name,) in self._db.execute("SELECT name FROM queue ORDER BY number")]

    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is claimed."""
        counts = self.counts()
        return not counts[_PENDING] and not counts[_PROCESSING]

    def last(self) -> int:
        """The highest number given so far."""
        return self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").get or 0

    def page(self, status: str | None, after: int, limit: int) -> list[int]:
        """The numbers of the next events of a status, by number."""
        table = _TABLES.get(status, "finished INDEXED BY trouble")
        where = "" if status is None or status in (_PENDING, _PROCESSING) else "AND status = ?4"
        if where and status != EventStatus.COMPLETED.value:
            where += " AND status <> 'completed'"  # as the index says
        query = (
            f"SELECT number FROM {table} WHERE number > ?1 AND queue = "
            f"(SELECT number FROM queue WHERE name = ?2) {where} ORDER BY number LIMIT ?3"
        )
        bound = (after, self._name, limit, status)[: 4 if where else 3]
        return [number for (number,) in self._db.execute(query, bound)]

    def find(self, number: int) -> Found | None:
        """All that is known of an event, in whatever queue."""
        row = self._db.execute(
            "SELECT e.number, e.id, q.name, e.kind, e.created, e.priority, e.key, e.costs, "
            "e.payload, q.number FROM event e JOIN queue q ON q.number = e.queue "
            "WHERE e.number = ?",
            (number,),
        ).fetchone()
        if row is None:
            return None
        return Found(*row[:-1], *self._stands(number, row[5], row[-1]))

    def _stands(self, number: int, priority: float, queue: int) -> tuple[str, float, State]:
        """Status, due time and state of an event."""
        at = self._db.execute(
            f"SELECT status, 0.0, {_STATE} FROM finished WHERE number = ?1 UNION ALL "
            f"SELECT '{_PROCESSING}', due, {_STATE} FROM lease WHERE number = ?1 UNION ALL "
            f"SELECT '{_PENDING}', due, {_STATE} FROM waiting "
            "WHERE queue = ?2 AND due = 0 AND priority = ?3 AND number = ?1 UNION ALL "
            f"SELECT '{_PENDING}', due, {_STATE} FROM waiting INDEXED BY later "
            "WHERE number = ?1 AND due > 0",
            (number, queue, priority),
        ).fetchone()
        return at[0], at[1], at[2:]

