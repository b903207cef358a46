"""Queries on the tables of one queue."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import UUID

import apsw

from ...model.costs import REQUEST
from ...model.execution import EventStatus
from ...model.live import Progress
from ...model.packing import unpack_result
from ...rules.limits import Limit
from ...rules.metering import Limits
from ...rules.standing import Room, Standing, Worker, limits_at_work, room_of
from ..inspector import ClaimedEvent, WorkerRecord
from ..maintenance import Finding
from ..record import Record
from ..sql.codec import about_of, record_of, standing_of
from ..sql.limits import account_name
from ..sql.process import is_dead
from ..sql.rows import FINAL, PENDING, PROCESSING, STATE, FixedColumns, StateColumns, StoredEvent
from .doctor import examine
from .progress import ProgressTables

__all__ = ("HELD_UNTIL", "FileQueries", "Tables")


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
"""Number of events in one statement."""

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
        self._beside: tuple[float, float, int] | None = None  # last result of waiting_kinds
        self.progress = ProgressTables(connection)

    def _number(self) -> int:
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

    def queues(self) -> list[str]:
        """Return the names of all queues."""
        return [
            name
            for (name,) in self._db.execute(
                "SELECT name FROM lionpride_queue WHERE name <> '' ORDER BY number"
            )
        ]

    def last(self) -> int:
        """Return the highest number given so far."""
        return (
            self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'lionpride_event'").get
            or 0
        )

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

    def next_due(self) -> float | None:
        """Return the earliest time at which a scheduled event becomes due."""
        query = "SELECT due FROM lionpride_ready WHERE queue = ? AND due > 0 ORDER BY due LIMIT 1"
        due: float | None = self._db.execute(query, (self._queue,)).get
        return due

    def next_expiry(self) -> float | None:
        """Return the earliest time at which a ready event expires."""
        query = (
            "SELECT expires FROM lionpride_ready WHERE queue = ? AND expires IS NOT NULL "
            "ORDER BY expires LIMIT 1"
        )
        expires: float | None = self._db.execute(query, (self._number(),)).get
        return expires

    def newest_of(self, single: str) -> tuple[int, float] | None:
        """Return the number and the ``unique_at`` of the newest event with a unique key."""
        query = (
            "SELECT number, unique_at FROM lionpride_event WHERE queue = ? AND unique_key = ? "
            "ORDER BY number DESC LIMIT 1"
        )
        found: Any = self._db.execute(query, (self._queue, single)).fetchone()
        return found  # type: ignore[no-any-return]

    def roster(self) -> list[tuple[str, str, tuple[str, int, str], float, float, str | None]]:
        """Return name, machine, process, start, last heartbeat and description of each worker."""
        query = (
            "SELECT name, machine, host, pid, process_start, started_at, heartbeat_at, "
            "description FROM lionpride_worker WHERE queue = ? "
            "ORDER BY started_at, name"
        )
        rows: Any = self._db.execute(query, (self._number(),))
        return [(name, node, (host, pid, born), *at) for name, node, host, pid, born, *at in rows]

    def held(self) -> list[tuple[str, int, bytes, str, int, float]]:
        """Return worker, number, id, type, attempt and end of each lease of this queue."""
        query = (
            f"SELECT l.worker, l.number, e.id, e.event_type, l.attempt, {HELD_UNTIL} FROM "
            "lionpride_lease l "
            "CROSS JOIN lionpride_event e ON e.number = l.number WHERE l.queue = ? ORDER BY "
            "l.number"
        )  # CROSS JOIN: otherwise SQLite scans all events
        rows: Any = self._db.execute(query, (self._number(),))
        return list(rows)

    def crew(self) -> list[tuple[str, tuple[str, int, str], float, str | None, int]]:
        """Return name, process, last heartbeat, description and number of claims of each worker."""
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
        """Return the worker that has claimed an event."""
        query = "SELECT worker FROM lionpride_lease WHERE number = ?"
        return self._db.execute(query, (number,)).get  # type: ignore[no-any-return]

    def ahead(self, priority: float, number: int, now: float) -> int:
        """Return the number of due events before a position in the queue."""
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
        """Return the number of the first due event."""
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
        """Count the ready events by type; None if there are any besides these types and numbers."""
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
        if self._beside is not None:  # usually it is still ready, which saves a scan
            same = f"{beside} AND w.due = ?4 AND w.priority = ?5 AND w.number = ?6"
            found = self._db.execute(same, (*bound, *self._beside)).get
        self._beside = found or self._db.execute(f"{beside} LIMIT 1", bound).get
        if self._beside is not None:
            return None
        query = f"SELECT e.event_type, count(*) {waiting} GROUP BY e.event_type"
        rows: Any = self._db.execute(query, bound[:1])
        return dict(rows)

    def unwanted(self) -> list[int]:
        """Return the numbers of leased events with a requested cancel."""
        query = "SELECT number FROM lionpride_lease WHERE cancel_requested = 1"
        return [number for (number,) in self._db.execute(query)]

    # -- events ------------------------------------------------------------------------------

    def known(self, ids: Iterable[bytes]) -> dict[bytes, int]:
        """Return the numbers of the known ids, in any queue."""
        query = "SELECT number FROM lionpride_event WHERE id = ?"
        found = {each: self._db.execute(query, (each,)).get for each in ids}
        return {each: number for each, number in found.items() if number is not None}

    def queue_of(self, uid: bytes) -> str | None:
        """Return the name of the queue that has an id; None if there is none."""
        query = (
            "SELECT name FROM lionpride_queue WHERE number = (SELECT queue FROM "
            "lionpride_event WHERE id = ?)"
        )
        name: str | None = self._db.execute(query, (uid,)).get
        return name

    def is_elsewhere(self, number: int) -> bool:
        """Return True if an event is in another queue."""
        query = "SELECT queue FROM lionpride_event WHERE number = ?"
        return bool(self._db.execute(query, (number,)).get != self._queue)

    def kept(self, number: int) -> FixedColumns:
        """Return the fixed columns of an event."""
        query = (
            "SELECT id, event_type, created_at, payload, retry, unique_key, unique_at FROM "
            "lionpride_event WHERE number = ?"
        )
        kept: Any = self._db.execute(query, (number,)).fetchone()
        return kept  # type: ignore[no-any-return]

    def page(self, status: str | None, after: int, limit: int) -> list[int]:
        """Return the numbers of the next events in a status, in order."""
        table = _TABLES.get(status, "lionpride_finished INDEXED BY lionpride_finished_trouble")
        where = "" if status is None or status in (PENDING, PROCESSING) else "AND status = ?4"
        if where and status != EventStatus.COMPLETED.value:
            where += " AND status <> 'completed'"  # the condition of the partial index
        query = (
            f"SELECT number FROM {table} WHERE number > ?1 AND queue = "
            f"?2 {where} ORDER BY number LIMIT ?3"
        )
        bound = (after, self._number(), limit, status)[: 4 if where else 3]
        return [number for (number,) in self._db.execute(query, bound)]

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


WithOwn: TypeAlias = Callable[[Iterable[Worker]], list[Worker]]


class FileQueries:
    """Queries on one queue, each in one snapshot.

    Args:
        connection: A connection that is used for reading only.
        queue: The name of the queue.
    """

    def __init__(self, connection: apsw.Connection, queue: str) -> None:
        self._db = connection
        self._queue = queue
        self._look = Tables(connection, queue)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def counts(self) -> dict[EventStatus, int]:
        """Return the number of events in each status."""
        return {EventStatus(status): n for status, n in self._look.counts().items()}

    def last(self) -> int:
        """Return the highest number given so far."""
        return self._look.last()

    def queues(self) -> list[str]:
        """Return the names of all queues in the file, in order of their creation."""
        return self._look.queues()

    def workers(self, now: float, lease: float) -> list[WorkerRecord]:
        """Return the workers of the queue.

        Args:
            now: The time for leases.
            lease: The length of a lease in seconds.
        """
        with self._db:  # one snapshot
            roster, leases = self._look.roster(), self._look.held()
        held: dict[str, list[ClaimedEvent]] = {}
        for worker, number, uid, kind, attempt, until in leases:
            one = ClaimedEvent(number, UUID(bytes=uid), kind, attempt, until)
            held.setdefault(worker, []).append(one)
        return [
            WorkerRecord(
                name=name,
                queue=self._queue,
                host=node,
                pid=process[1],
                since=since,
                seen=seen,
                silent=max(0.0, now - seen),
                alive=seen >= now - lease and not is_dead(*process),
                held=tuple(held.get(name, ())),
                about=about_of(about),
            )
            for name, node, process, since, seen, about in roster
        ]

    def findings(self, path: Path, now: float, lease: float) -> list[Finding]:
        """Return the findings about the file."""
        return examine(path, self._db, now, lease)

    def crew(self, since: float) -> Iterator[Worker]:
        """Yield the workers of the queue.

        A worker is live if it had a heartbeat since a time and its process is not dead.
        """
        for name, process, seen, about, claimed in self._look.crew():
            is_live = seen >= since and not is_dead(*process)
            yield Worker(name, is_live, claimed, about_of(about))

    def standing(
        self, uid: UUID, limits: Limits | None, now: float, since: float, with_own: WithOwn
    ) -> Standing | None:
        """Return the standing of an event; see ``Store.standing``.

        Args:
            uid, limits: The arguments of ``Store.standing``.
            now: The time.
            since: A worker is live if its last heartbeat is not older and its process is not dead.
            with_own: Replaces the stored state of this process's own workers by the current one.
        """
        standing = None
        with self._db:  # one snapshot
            number = self._look.known([uid.bytes]).get(uid.bytes)
            found = None if number is None else self._look.find(number)
            if found is not None and found.queue == self._queue:
                standing = self._standing(found, limits, now, with_own(self.crew(since)))
        return standing

    def paused(self) -> float:
        """Return the time before which no event of the queue is claimed."""
        return self._look.paused_until()

    def _standing(
        self, found: StoredEvent, limits: Limits | None, now: float, workers: list[Worker]
    ) -> Standing:
        limits = limits_at_work(workers) if limits is None else limits
        waits, rooms, ahead = found.status == EventStatus.PENDING.value, list[Room](), 0
        first = None
        if waits and limits is not None:
            rooms = self._rooms(found, limits, now)
        if waits and found.due <= now:
            ahead = self._look.ahead(found.priority, found.number, now)
            first = self._first(limits, now) if ahead else None
        return standing_of(
            found,
            now,
            ahead=ahead,
            paused=self._look.paused_until(),
            rooms=rooms,
            workers=workers,
            holder=self._look.holder(found.number),
            first=first,
        )

    def _first(self, limits: Limits | None, now: float) -> tuple[StoredEvent, list[Room]] | None:
        """Return the first due event, and what it needs of limits."""
        number = self._look.first(now)
        first = None if number is None else self._look.find(number)
        if first is None:
            return None
        return first, [] if limits is None else self._rooms(first, limits, now)

    def _rooms(self, found: StoredEvent, limits: Limits, now: float) -> list[Room]:
        """Return what an event needs of limits, and what is available."""
        costs, held = REQUEST, self._look.reserved()
        if found.costs is not None:
            costs = json.loads(found.costs)
        amounts = limits.amounts(costs, found.key)
        return [self._room(limit, found.key, cost, now, held) for limit, cost in amounts]

    def _room(
        self, limit: Limit, key: str | None, cost: float, now: float, held: Counter[str]
    ) -> Room:
        account = account_name(limit, key)
        paused, taken = self._look.account_paused_until(account), self._look.usage(account)
        return room_of(limit, key, cost, now, held=held[account], paused=paused, taken=taken)

    def usage(
        self, limits: Limits | None, now: float, since: float, with_own: WithOwn
    ) -> list[Room]:
        """Return the usage of limits; the arguments are those of ``standing``."""
        rooms: list[Room] = []
        with self._db:  # one snapshot
            under = limits_at_work(with_own(self.crew(since))) if limits is None else limits
            held = self._look.reserved()
            shared = [each for each in (under or {}).values() if not each.per_key]
            rooms += [self._room(limit, None, 0.0, now, held) for limit in shared]
        return rooms

    def waiting_kinds(
        self, kinds: Collection[str], numbers: Collection[int]
    ) -> dict[str, int] | None:
        """Count the ready events by type; None if there are any besides these types and numbers."""
        return self._look.waiting_kinds(kinds, numbers)

    def unwanted(self) -> list[int]:
        """Return the numbers of leased events with a requested cancel."""
        return self._look.unwanted()

    def standings(self, numbers: Sequence[int]) -> dict[int, tuple[str, int]]:
        """Return status and attempt of events; unknown events are omitted."""
        return self._look.standings(numbers)

    def publishing(self) -> set[int]:
        """Return the numbers of running events with live progress."""
        return self._look.progress.numbers()

    def chunks(self, number: int, attempt: int, first: int) -> tuple[int, list[Any]] | None:
        """Return the running attempt and its chunks; see ``ProgressTables.chunks``."""
        found = self._look.progress.chunks(number, attempt, first)
        if found is None:
            return None
        pieces = (unpack_result(text)["_response"] for text in found[1])
        return found[0], [chunk for piece in pieces for chunk in piece]

    def page(self, status: EventStatus | None, after: int, limit: int) -> list[Record]:
        """Return the next records of a status, in order of their numbers."""
        wanted = None if status is None else status.value
        with self._db:  # one snapshot
            found = [self._look.find(number) for number in self._look.page(wanted, after, limit)]
        return [self.record(one) for one in found if one is not None]

    def record(self, found: StoredEvent) -> Record:
        """Return a record, with the live progress of a running attempt."""
        record = record_of(found)
        if record.status is not EventStatus.PROCESSING:
            return record
        seen = self._look.progress.of(record.number, record.attempt)
        if seen is None:
            return record
        fraction, note, count = seen
        progress = None if note is None else Progress(fraction, note)
        return replace(record, progress=progress, chunks=count)

    def next_expiry(self) -> float | None:
        """Return the earliest time at which a ready event expires."""
        return self._look.next_expiry()

    def find(self, ids: Iterable[UUID]) -> list[StoredEvent | None]:
        """Return the columns of events by id; None for an id that is not in the queue."""
        wanted = [uid.bytes for uid in ids]
        with self._db:
            numbers = self._look.known(wanted)
            known = {uid: self._look.find(number) for uid, number in numbers.items()}
        here = {uid: one for uid, one in known.items() if one and one.queue == self._queue}
        return [here.get(uid) for uid in wanted]

    def of(self, numbers: Iterable[int]) -> list[StoredEvent | None]:
        """Return the columns of events by number."""
        found: list[StoredEvent | None] = []
        with self._db:
            found += map(self._look.find, numbers)
        return found
