"""Primitives of the SQL operations on PostgreSQL; see ``sql.backend``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from asyncpg import UniqueViolationError
from asyncpg.pgproto.pgproto import UUID

from ...model.execution import EventStatus
from ..clock import boot_time
from ..sql.appending import KnownIdError, insert_states
from ..sql.backend import FinishedRow, Location, ReadyRow, Transaction
from ..sql.claiming import ClaimRequest
from ..sql.codec import PLAIN_COLUMNS, full_row
from ..sql.leases import Reap, Reaped, reap
from ..sql.limits import claim_within_limits
from ..sql.operations import Expired
from ..sql.rows import (
    FINAL,
    PENDING,
    PROCESSING,
    STATE,
    AppendRow,
    EventRow,
    KnownEvent,
    SettlementRow,
)
from . import queries
from .hot_append import CONTAINER, insert_new, is_known_id, known_of
from .hot_claim import AFTER, Leased
from .session import TableConnection

__all__ = ("LimitedClaim", "Operation", "PostgresTransaction", "ReapStep")

T = TypeVar("T")

_STATE: Final = ", ".join(f"r.{each.strip()}" for each in STATE.split(","))

# Ready and scheduled events have an index each. LIMIT makes the planner look each event up there.
_CLAIM: Final = f"""
WITH given AS (
    SELECT * FROM unnest($3::bigint[], $4::float8[], $5::float8[]) g (number, priority, due)
), found AS (
    SELECT one.at FROM given CROSS JOIN LATERAL (
        SELECT r.ctid AS at FROM {{ready}} r WHERE r.queue = $2 AND r.due = 0
            AND r.priority = given.priority AND r.number = given.number LIMIT 1
    ) one WHERE given.due = 0
    UNION ALL
    SELECT one.at FROM given CROSS JOIN LATERAL (
        SELECT r.ctid AS at FROM {{ready}} r WHERE r.queue = $2 AND r.due > 0
            AND r.number = given.number LIMIT 1
    ) one WHERE given.due > 0
), taken AS (
    DELETE FROM {{ready}} r WHERE r.ctid = ANY(ARRAY(SELECT at FROM found))
    RETURNING r.number, r.due, r.priority, {_STATE}
), leased AS (
    INSERT INTO {{lease}} (number, queue, due, priority, {STATE}, worker, leased_until, reserved)
    SELECT number, $2, CASE WHEN $6 THEN 0 ELSE due END, priority, {AFTER}, $7,
        (SELECT {{now}}) + $8, ($9::text[])[array_position($3::bigint[], number)]
    FROM taken
)
SELECT * FROM taken
"""

_STATUSES: Final = [status.value for status in EventStatus]
_COUNT: Final = f"""
UPDATE {{counter}} SET {", ".join(f"{s} = {s} + ${n}" for n, s in enumerate(_STATUSES, 3))}
WHERE queue = $1 AND shard = $2
"""


_NUMBERS: Final = """
SELECT array_agg(nextval(pg_get_serial_sequence($1, 'number'))) FROM generate_series(1, $2)
"""
_INSERT_EVENTS: Final = """
INSERT INTO {event}
    (number, id, queue, event_type, created_at, priority, key, costs, retry, unique_key,
    unique_at, payload)
OVERRIDING SYSTEM VALUE
SELECT number, id, $1, event_type, created_at, priority, key, costs, retry, unique_key,
    unique_at, payload
FROM unnest(
    $2::bigint[], $3::uuid[], $4::text[], $5::float8[], $6::float8[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::float8[], $12::text[]
) AS given (
    number, id, event_type, created_at, priority, key, costs, retry, unique_key, unique_at, payload
)
ON CONFLICT (id) DO NOTHING
"""


_PLACES: Final = """
    SELECT coalesce(n.place, d.ctid) FROM {event} e
    LEFT JOIN LATERAL (
        SELECT w.ctid AS place FROM {ready} w
        WHERE w.queue = e.queue AND w.due = 0 AND w.priority = e.priority AND w.number = e.number
        LIMIT 1
    ) n ON true
    LEFT JOIN {ready} d ON d.number = e.number AND d.due > 0
    WHERE e.number = ANY($1::bigint[]) AND coalesce(n.place, d.ctid) IS NOT NULL
"""
_LOCK_READY: Final = f"""
SELECT number FROM {{ready}} WHERE ctid = ANY(ARRAY({_PLACES} ORDER BY e.number)) FOR KEY SHARE
"""
_LOCK_LEASES: Final = """
SELECT number FROM {lease} WHERE number = ANY($1::bigint[]) ORDER BY number FOR KEY SHARE
"""
_DELETE_READY: Final = f"""
DELETE FROM {{ready}} r WHERE r.ctid = ANY(ARRAY(
    {_PLACES} AND e.queue = $2
)) RETURNING r.number, r.due, r.priority, {_STATE}
"""
_INSERT_READY: Final = f"""
INSERT INTO {{ready}} (queue, number, due, priority, {STATE})
SELECT $1, * FROM unnest(
    $2::bigint[], $3::float8[], $4::float8[], $5::int[], $6::int[], $7::int[], $8::int[],
    $9::float8[], $10::int[], $11::text[], $12::text[], $13::float8[]
)
"""
_INSERT_FINISHED: Final = f"""
WITH ended AS (
INSERT INTO {{finished}} (number, queue, status, finished_at, {FINAL})
SELECT number, $2, status,
    CASE WHEN finished_at > 0 THEN finished_at ELSE (SELECT {{now}}) + place * 1e-6 END, {FINAL}
FROM unnest(
    $3::bigint[], $4::text[], $5::float8[], $6::int[], $7::int[], $8::int[], $9::int[],
    $10::float8[], $11::int[], $12::text[], $13::text[]
) WITH ORDINALITY AS given (number, status, finished_at, {FINAL}, place)
RETURNING number
) SELECT {{note_ended}}(array_agg(number)) FROM ended
"""


_SETTLE: Final = """
WITH gone AS (
    DELETE FROM {lease} l USING unnest(
        $4::bigint[], $5::int[], $6::text[], $7::float8[], $8::float8[], $9::int[], $10::int[],
        $11::int[], $12::float8[], $13::int[], $14::text[], $15::text[], $16::float8[], $17::int[]
    ) AS given (
        number, attempt, status, due, priority, failures, denials, interruptions,
        duration, retryable, result, attempts, expires, place
    )
    WHERE l.number BETWEEN given.number AND given.number AND l.attempt = given.attempt
        AND NOT (l.cancel_requested AND given.status = 'pending')
    RETURNING given.*
), ended AS (
    INSERT INTO {finished} (number, queue, status, finished_at, attempt, failures, denials,
        interruptions, duration, retryable, result, attempts)
    SELECT number, $2, status, (SELECT {now}) + place * 1e-6, attempt, failures, denials,
        interruptions, duration, retryable, result, attempts
    FROM gone WHERE status <> 'pending'
), back AS (
    INSERT INTO {ready} (queue, due, priority, number, attempt, failures, denials, interruptions,
        duration, retryable, result, attempts, expires)
    SELECT $2, due, priority, number, attempt, failures, denials, interruptions,
        duration, retryable, result, attempts, expires
    FROM gone WHERE status = 'pending'
), counted AS (
    UPDATE {counter} t SET processing = t.processing - n.all, pending = t.pending + n.pending,
        completed = t.completed + n.completed, failed = t.failed + n.failed,
        cancelled = t.cancelled + n.cancelled, skipped = t.skipped + n.skipped,
        aborted = t.aborted + n.aborted
    FROM (
        SELECT count(*) AS all,
            count(*) FILTER (WHERE status = 'pending') AS pending,
            count(*) FILTER (WHERE status = 'completed') AS completed,
            count(*) FILTER (WHERE status = 'failed') AS failed,
            count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
            count(*) FILTER (WHERE status = 'skipped') AS skipped,
            count(*) FILTER (WHERE status = 'aborted') AS aborted
        FROM gone
    ) n WHERE t.queue = $2 AND t.shard = $3
)
SELECT number, attempt,
    (SELECT {note_ended}(array_agg(number)) FROM gone WHERE status <> 'pending')
FROM gone
"""


_ADD_UP: Final = """
WITH loose AS (
    DELETE FROM {counter} WHERE queue = $1 AND shard < 0 RETURNING pending
)
UPDATE {counter} SET pending = pending + (SELECT sum(loose.pending) FROM loose)
WHERE queue = $1 AND shard = $2 AND EXISTS (SELECT FROM loose)
"""
"""Adds what transactions of callers have counted to the other counters."""


class PostgresTransaction:
    """See ``sql.backend.Transaction``.

    Args:
        db: A connection that is in a transaction.
        earlier, is_first_try: See ``Transaction``.
    """

    container: Final = CONTAINER

    def __init__(
        self, db: TableConnection, earlier: Sequence[Any] = (), *, is_first_try: bool = True
    ) -> None:
        self._db = db
        self._changes: Counter[str] = Counter()
        self.queue = db.queue
        self.earlier = earlier
        self.time = self.lease_time = db.now
        self.is_first_try = is_first_try
        self.is_repeat = db.again

    async def rows(self, statement: str, *arguments: Any) -> list[Any]:
        return await self._db.rows(statement, *arguments)

    async def many(self, statement: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        await self._db.many(statement, arguments)

    def count(self, status: str, by: int) -> None:
        self._changes[status] += by

    async def write_counts(self) -> None:
        """Write the changes of the counters, before the commit."""
        if any(self._changes.values()):
            by = [self._changes[status] for status in _STATUSES]
            await self._db.run(_COUNT, self.queue, self._db.shard, *by)

    async def counts(self) -> dict[str, int]:
        found = await queries.counts(self._db)
        return {status.value: n + self._changes[status.value] for status, n in found.items()}

    async def locate(self, numbers: Sequence[int]) -> dict[int, Location]:
        found = await queries.statuses(self._db, numbers)
        return {number: Location(*each) for number, each in found.items()}

    async def lock_unfinished(self, numbers: Sequence[int]) -> tuple[list[int], list[int]]:
        ready = await self._db.rows(_LOCK_READY, list(numbers))
        leased = await self._db.rows(_LOCK_LEASES, list(numbers))
        return [number for (number,) in ready], [number for (number,) in leased]

    async def delete_ready(self, numbers: Sequence[int]) -> list[ReadyRow]:
        found = await self._db.rows(_DELETE_READY, list(numbers), self.queue)
        self.count(PENDING, -len(found))
        return sorted(ReadyRow(row[0], row[1], row[2], tuple(row[3:])) for row in found)

    async def insert_ready(self, rows: Sequence[ReadyRow]) -> None:
        if rows:
            *where, states = zip(*rows, strict=True)
            await self._db.run(_INSERT_READY, self.queue, *where, *zip(*states, strict=True))
            self.count(PENDING, len(rows))

    async def insert_finished(self, rows: Sequence[FinishedRow]) -> None:
        if rows:
            numbers, statuses, states, times = zip(*rows, strict=True)
            where = self._db.ending(len(rows)), self.queue, numbers, statuses, times
            columns = list(zip(*states, strict=True))[:-1]
            self._note(await self._db.value(_INSERT_FINISHED, *where, *columns))
            for status in statuses:
                self.count(status, 1)

    async def settle(self, settlings: Sequence[SettlementRow]) -> list[tuple[int, int]]:
        rows = []
        for place, (number, attempt, status, due, _, priority, state) in enumerate(settlings, 1):
            assert state is not None, "only the owner of a lease settles it"
            rows.append((number, attempt, status, due, priority, *state[1:], place))
        rows.sort(key=lambda row: row[0])
        where = self._db.ending(len(rows)), self.queue, self._db.shard
        found = await self._db.rows(_SETTLE, *where, *zip(*rows, strict=True))
        if found:
            self._note(found[0][2])
        return [(number, attempt) for number, attempt, _ in found]

    def _note(self, has_children: bool | None) -> None:
        """Note the answer of ``note_ended``."""
        if has_children:
            self.resolve_later()

    def resolve_later(self) -> None:
        self._db.may_resolve = True

    async def lock(self, *names: str) -> None:
        await self._db.lock(*names)

    async def known(self, ids: Sequence[bytes]) -> dict[bytes, KnownEvent]:
        return await known_of(self._db, ids)

    async def insert_events(self, rows: Sequence[AppendRow]) -> Sequence[int]:
        if all(len(row) == PLAIN_COLUMNS for row in rows):
            try:
                return await insert_new(self._db, rows)  # type: ignore[arg-type]
            except UniqueViolationError as error:
                if not is_known_id(self._db, error):
                    raise
                raise KnownIdError from error
        events = [full_row(row) for row in rows]
        numbers = await self._insert_rows(events)
        await insert_states(self, numbers, events)
        return numbers

    async def _insert_rows(self, rows: Sequence[EventRow]) -> list[int]:
        """Insert rows of ``event``; return their numbers."""
        db = self._db
        numbers: list[int] = await db.value(_NUMBERS, db.names.fill("{event}"), len(rows))
        ids, *columns = zip(*(row[:10] for row in rows), strict=True)
        written = await db.run(
            _INSERT_EVENTS, self.queue, numbers, [UUID(uid) for uid in ids], *columns
        )
        if written < len(rows):
            raise KnownIdError
        return numbers

    async def claim(
        self,
        chosen: Sequence[ReadyRow],
        worker: str,
        seconds: float,
        *,
        start: bool,
        reserved: Mapping[int, str],
    ) -> list[ReadyRow]:
        found = await self._db.rows(
            _CLAIM,
            self.time,
            self.queue,
            [one.number for one in chosen],
            [one.priority for one in chosen],
            [one.due for one in chosen],
            start,
            worker,
            seconds,
            [reserved.get(one.number) for one in chosen],
        )
        self.count(PENDING, -len(found))
        self.count(PROCESSING, len(found))
        rows = [ReadyRow(row[0], row[1], row[2], tuple(row[3:])) for row in found]
        return sorted(rows, key=lambda row: (row.priority, row.number))


class Operation(Generic[T]):
    """Runs an operation in a transaction of its own; it is called again for each further try.

    Args:
        work: The operation.
    """

    def __init__(self, work: Callable[[Transaction], Awaitable[T]]) -> None:
        self._work = work
        self._tries = 0
        self._earlier: list[T] = []

    async def __call__(self, db: TableConnection) -> T:
        while True:
            try:
                return await self._try(db)
            except KnownIdError:
                continue  # another process has appended an id meanwhile, or an earlier try has

    async def _try(self, db: TableConnection) -> T:
        is_first, self._tries = not self._tries, self._tries + 1
        async with db.transaction():
            tx = PostgresTransaction(db, tuple(self._earlier), is_first_try=is_first)
            result = await self._work(tx)
            await tx.write_counts()
            self._earlier.append(result)  # the answer to the commit may be lost
        return result


@dataclass(frozen=True, slots=True)
class ReapStep:
    """A reap, and what else is done as often: counters that other transactions left are added up.

    Attributes:
        request: The request.
    """

    request: Reap

    async def __call__(self, db: TableConnection) -> Reaped:
        reaped = await Operation(partial(reap, request=self.request))(db)
        await db.run(_ADD_UP, db.queue, db.shard)
        return reaped


@dataclass(frozen=True, slots=True)
class LimitedClaim:
    """A claim under limits, as a step of a ``Session``.

    Attributes:
        request: The request.
        expire: Finishes events that were not started in time.
    """

    request: ClaimRequest
    expire: Callable[[TableConnection], Awaitable[Expired]]

    async def __call__(self, db: TableConnection) -> Leased:
        done = await Operation(partial(claim_within_limits, request=self.request))(db)
        queue, wait = done.queue, done.wait
        expired = Expired([], queue.expires)
        if queue.expires is not None and queue.expires <= queue.now:
            expired = await self.expire(db)
        if wait and db.now is None:  # it is counted from then, and not from the answer
            wait = max(1e-9, wait - (boot_time() - done.asked))
        rows = [(one.number, one.due, one.priority, *one.state) for one in done.rows]
        return Leased(
            rows,
            {},
            wait,
            expired,
            done.asked,
            done.reservations,
            done.unknown,
            may_resolve=queue.may_resolve,
        )
