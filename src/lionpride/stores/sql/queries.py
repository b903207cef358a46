"""Queries of the SQL stores, each written once, over the reads that a database offers.

Like the operations, a query is an ``async def query(db, …)``. PostgreSQL awaits it. On SQLite no
read suspends, so ``backend.run`` drives the same coroutine to its end. All reads of a query see the
same snapshot of the tables.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any, Final, Protocol, TypeAlias
from uuid import UUID

from ...model.costs import REQUEST
from ...model.execution import EventStatus
from ...model.progress import Progress
from ...model.serialization.payload import read_result
from ...rules.action import Action, PauseRecord
from ...rules.dependencies import keeps_parents
from ...rules.limits.limit import Limit
from ...rules.limits.limit_set import Limits
from ...rules.queue_position import Blockers, QueueWorker, Room, Standing, limits_at_work, room_of
from ...rules.state_machine import FOR_EVER
from ..contract import Relative
from ..inspector import ClaimedEvent, WorkerRecord
from ..record import Record
from .actions import actions_of
from .backend import Location
from .codec import about_of, record_of, standing_of
from .limits import account_name
from .process import is_dead
from .rows import NOT_BLOCKED, PENDING, PROCESSING, StoredEvent

__all__ = (
    "Snapshot",
    "WithOwn",
    "as_uuid",
    "cancel_requested",
    "children",
    "chunks",
    "counts",
    "explain",
    "last_arrival",
    "limit_usage",
    "live_workers",
    "next_expiry",
    "numbers_of",
    "page",
    "parent_counts",
    "parent_rows",
    "parents",
    "pause_record",
    "paused_until",
    "publishing",
    "queues",
    "ready_types",
    "records",
    "records_of",
    "resume_record",
    "statuses",
    "worker_records",
)

PIECES: Final = 8
"""Maximum number of rows of chunks per read."""

WithOwn: TypeAlias = Callable[[Iterable[QueueWorker]], list[QueueWorker]]
"""Replaces the stored state of this process's workers by the current one."""


class Snapshot(Protocol):
    """Reads of the tables of one queue, all of the same state.

    ``rows`` runs statements that both databases understand; see ``backend.Transaction`` for the
    words in braces. More words are:

    - ``{join}``: a join whose left table is read first;
    - ``{not_indexed}``, ``{by_trouble}``, ``{by_time}``: the index of ``finished`` to use, if the
      database lets a statement choose one;
    - ``{error_matches}``: a comparison of the error of a row ``s``; see ``error_pattern``.

    Reads that are frequent, or whose plan matters, have a statement for each database: they are the
    other methods.

    Attributes:
        queue: The number of the queue; 0 if it does not exist yet.
        queue_name: The name of the queue.
        time: The first argument of statements with ``{now}``; None for the server's own clock.
        lease_time: The first argument of statements with ``{now}`` about leases.
    """

    @property
    def queue(self) -> int: ...
    @property
    def queue_name(self) -> str: ...
    @property
    def time(self) -> float | None: ...
    @property
    def lease_time(self) -> float | None: ...

    async def rows(self, statement: str, *arguments: Any) -> list[Any]:
        """Run a statement and return its rows."""

    async def counts(self) -> dict[str, int]:
        """Return the number of events in each status."""

    async def locate(self, numbers: Sequence[int]) -> dict[int, Location]:
        """Return the location of events of this queue."""

    async def find(self, numbers: Sequence[int]) -> dict[int, StoredEvent]:
        """Return all columns of events by number, in any queue."""

    async def numbers_of(self, ids: Sequence[UUID]) -> dict[UUID, int]:
        """Return the numbers of the ids that are in this queue."""

    async def last_arrival(self) -> int:
        """Return the highest number given so far."""

    async def has_time_index(self) -> bool:
        """Return True if an index has the finished events by time."""

    def id_value(self, uid: UUID) -> Any:
        """Return an id as an argument of a statement."""

    def error_pattern(self, text: str) -> str:
        """Return the pattern for ``{error_matches}``: errors with a text, regardless of case."""


# -- statements --------------------------------------------------------------------------------

_QUEUES: Final = "SELECT name FROM {queue} WHERE name <> '' ORDER BY number"
_PAUSED: Final = "SELECT paused_until FROM {queue} WHERE number = $1"
_PAUSE: Final = "SELECT paused_until, paused_by, paused_at FROM {queue} WHERE number = $1"
_NEXT_EXPIRY: Final = """
SELECT expires FROM {ready} WHERE queue = $1 AND expires IS NOT NULL ORDER BY expires LIMIT 1
"""
_CANCEL_REQUESTED: Final = "SELECT number FROM {lease} WHERE queue = $1 AND cancel_requested"
_READY_TYPES: Final = f"""
SELECT e.event_type, count(*) FROM {{ready}} r {{join}} {{event}} e ON e.number = r.number
WHERE r.queue = $1 AND {NOT_BLOCKED} GROUP BY e.event_type
"""
_OTHER_READY: Final = f"""
SELECT 1 FROM {{ready}} r {{join}} {{event}} e ON e.number = r.number
WHERE r.queue = $1 AND {NOT_BLOCKED}
    AND NOT e.event_type {{in_2}} AND NOT r.number {{in_3}} LIMIT 1
"""
_PAGE: Final = (
    "SELECT number FROM {source} WHERE queue = $1 AND number > $2 {condition}"
    "ORDER BY number LIMIT $3"
)
_SOURCES: Final[dict[str | None, tuple[str, str]]] = {
    None: ("{event}", ""),
    PENDING: ("{ready}", ""),
    PROCESSING: ("{lease}", ""),
    EventStatus.COMPLETED.value: ("{finished} {not_indexed}", "AND status = 'completed' "),
}
_PROGRESS: Final = (
    "SELECT number, attempt, fraction, note, chunks FROM {progress} WHERE number {in_1}"
)
_PARENT_IDS: Final = """
SELECT d.child, d.condition, c.due, e.id FROM {dependency} d
{join} {child} c ON c.number = d.child {join} {event} e ON e.number = d.parent
WHERE d.child {in_1} ORDER BY d.child, d.place
"""
_PARENTS: Final = """
SELECT place, parent, condition, met FROM {dependency} WHERE child = $1 AND place >= $2
ORDER BY place LIMIT $3
"""
_PARENT_COUNTS: Final = """
SELECT coalesce(f.status, CASE WHEN l.number IS NULL THEN 'pending' ELSE 'processing' END),
    count(*)
FROM {dependency} d LEFT JOIN {finished} f ON f.number = d.parent
LEFT JOIN {lease} l ON l.number = d.parent
WHERE d.child = $1 GROUP BY 1
"""
_CHILDREN: Final = """
SELECT child, child, condition, met FROM {dependency} WHERE parent = $1 AND child >= $2
ORDER BY child LIMIT $3
"""
_FIRST_BLOCKER: Final = """
SELECT parent, condition FROM {dependency} WHERE child = $1 AND met IS NOT TRUE
ORDER BY place LIMIT 1
"""
_MISSING: Final = "SELECT missing FROM {child} WHERE number = $1"
_ATTEMPT: Final = "SELECT attempt FROM {progress} WHERE number = $1"
_CHUNKS: Final = """
SELECT chunks FROM {chunk} WHERE number = $1 AND attempt = $2 AND first >= $3
ORDER BY first LIMIT $4
"""
_WORKERS: Final = """
SELECT name, machine, host, pid, process_start, started_at, heartbeat_at, leases_until, description
FROM {worker} WHERE queue = $1 ORDER BY started_at, name
"""
_CLAIMED: Final = "SELECT worker, count(*) FROM {lease} WHERE queue = $1 GROUP BY worker"
_HELD: Final = """
SELECT l.worker, l.number, e.id, e.event_type, l.attempt,
    {greatest}(l.leased_until, coalesce(w.leases_until, 0))
FROM {lease} l {join} {event} e ON e.number = l.number LEFT JOIN {worker} w ON w.name = l.worker
WHERE l.queue = $1 ORDER BY l.number
"""
_HOLDER: Final = "SELECT worker FROM {lease} WHERE number = $1"
_BEFORE: Final = "(priority, number) < ($3, $4)"
_AHEAD: Final = f"""
SELECT (SELECT count(*) FROM {{ready}} WHERE queue = $2 AND due = 0 AND {_BEFORE})
    + (SELECT count(*) FROM {{ready}} WHERE queue = $2 AND due > 0 AND due <= (SELECT {{now}})
        AND {_BEFORE})
"""
_FIRST: Final = """
SELECT number FROM (
    SELECT * FROM (SELECT priority, number FROM {ready} WHERE queue = $2 AND due = 0
        ORDER BY priority, number LIMIT 1) ready_now
    UNION ALL
    SELECT * FROM (SELECT priority, number FROM {ready}
        WHERE queue = $2 AND due > 0 AND due <= (SELECT {now})
        ORDER BY priority, number LIMIT 1) due_now
) both_kinds ORDER BY priority, number LIMIT 1
"""
_RESERVED: Final = "SELECT reserved FROM {lease} WHERE reserved IS NOT NULL"
_ACCOUNT: Final = "SELECT paused_until FROM {limit_account} WHERE name = $1"
_USAGE: Final = "SELECT at, amount FROM {limit_usage} WHERE account = $1 ORDER BY at"


async def _value(db: Snapshot, statement: str, *arguments: Any) -> Any:
    """Return the first column of the first row; None if there is no row."""
    rows = await db.rows(statement, *arguments)
    return rows[0][0] if rows else None


def as_uuid(value: Any) -> UUID:
    """Return an id from its column: bytes on SQLite, a UUID of the driver on PostgreSQL."""
    return UUID(bytes=value if isinstance(value, bytes) else value.bytes)


# -- the queue ---------------------------------------------------------------------------------


async def counts(db: Snapshot) -> dict[EventStatus, int]:
    """Return the number of events in each status."""
    return {EventStatus(status): count for status, count in (await db.counts()).items()}


async def last_arrival(db: Snapshot) -> int:
    """Return the highest number given so far."""
    return await db.last_arrival()


async def queues(db: Snapshot) -> list[str]:
    """Return the names of all queues, in order of their creation."""
    return [name for (name,) in await db.rows(_QUEUES)]


async def paused_until(db: Snapshot) -> float:
    """Return the time before which no event of the queue is claimed."""
    return await _value(db, _PAUSED, db.queue) or 0.0


async def pause_record(db: Snapshot) -> PauseRecord | None:
    """Return who has paused the queue by hand, and when; None if it is not paused by hand."""
    for until, by, at in await db.rows(_PAUSE, db.queue):
        if until >= FOR_EVER:
            return PauseRecord(by, at or 0.0)
    return None


async def resume_record(db: Snapshot) -> PauseRecord | None:
    """Return who has ended the last pause of the queue by hand, and when; None if unknown."""
    for until, by, at in await db.rows(_PAUSE, db.queue):
        if until < FOR_EVER and by is not None:
            return PauseRecord(by, at or 0.0)
    return None


async def next_expiry(db: Snapshot) -> float | None:
    """Return the earliest time at which a ready event expires."""
    at: float | None = await _value(db, _NEXT_EXPIRY, db.queue)
    return at


async def cancel_requested(db: Snapshot) -> list[int]:
    """Return the numbers of leased events with a requested cancel."""
    return [number for (number,) in await db.rows(_CANCEL_REQUESTED, db.queue)]


async def ready_types(
    db: Snapshot, types: Collection[str], numbers: Collection[int]
) -> dict[str, int] | None:
    """Count the ready events by type; None if there are any besides these types and numbers."""
    if await db.rows(_OTHER_READY, db.queue, list(types), list(numbers)):
        return None
    return dict(await db.rows(_READY_TYPES, db.queue))


# -- events ------------------------------------------------------------------------------------


async def statuses(db: Snapshot, numbers: Sequence[int]) -> Mapping[int, Location]:
    """Return status and attempt number of the events that are in this queue."""
    return await db.locate(numbers) if numbers else {}


async def numbers_of(db: Snapshot, ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the numbers of the ids that are in this queue."""
    return await db.numbers_of(ids)


async def records(db: Snapshot, ids: Sequence[UUID]) -> dict[UUID, Record]:
    """Return the records of the ids that are in this queue."""
    numbers = await db.numbers_of(ids) if ids else {}
    return {record.id: record for record in await records_of(db, list(numbers.values()))}


async def page(db: Snapshot, status: EventStatus | None, after: int, limit: int) -> list[Record]:
    """Return the next records in a status, in order of their numbers."""
    wanted = None if status is None else status.value
    # Few events end otherwise than completed: a partial index has them, under this condition.
    other = "{finished} {by_trouble}", f"AND status = '{wanted}' AND status <> 'completed' "
    source, condition = _SOURCES.get(wanted, other)
    statement = _PAGE.replace("{source}", source).replace("{condition}", condition)
    return await records_of(
        db, [number for (number,) in await db.rows(statement, db.queue, after, limit)]
    )


async def records_of(db: Snapshot, numbers: Sequence[int]) -> list[Record]:
    """Return the records of events in the order of their numbers given, with live progress."""
    found = await db.find(numbers) if numbers else {}
    made = [record_of(found[number]) for number in numbers if number in found]
    actions = await actions_of(db, [one.number for one in made])
    made = [_with_actions(one, actions) for one in made] if actions else made
    await _add_parents(
        db, [one for one in made if keeps_parents(one.is_blocked, one.status, error_name(one))]
    )
    running = [one.number for one in made if one.status is EventStatus.PROCESSING]
    if not running:
        return made
    progress = {(number, attempt): rest
                for number, attempt, *rest in await db.rows(_PROGRESS, running)}  # fmt: skip
    return [_with_progress(one, progress.get((one.number, one.attempt))) for one in made]


def _with_actions(record: Record, actions: Mapping[int, tuple[Action, ...]]) -> Record:
    own = actions.get(record.number)
    return record if own is None else replace(record, actions=own)


def error_name(record: Record) -> str | None:
    """Return the name of the class of an event's error; None without an error."""
    error = record.payload.get("execution", {}).get("error") or {}
    name: str | None = error.get("error")
    return name


async def _add_parents(db: Snapshot, children: Sequence[Record]) -> None:
    """Add the parents of events to their payloads, so that a copy of a record has them."""
    if children:
        states = {one.number: one.payload["execution"] for one in children}
        blocked = {one.number for one in children if one.is_blocked}
        for child, condition, due, uid in await db.rows(_PARENT_IDS, list(states)):
            after = states[child].setdefault("after", {"parents": [], "when": condition})
            after |= ({"blocked": True} if child in blocked else {}) | ({"due": due} if due else {})
            after["parents"].append(str(as_uuid(uid)))


async def parents(db: Snapshot, number: int, first: int, limit: int) -> list[Relative]:
    """Return a page of the parents of an event; see ``Store.parents``."""
    return await _relatives(db, _PARENTS, number, first, limit)


async def parent_counts(db: Snapshot, number: int) -> dict[EventStatus, int]:
    """Return the number of parents of an event in each status; see ``Store.parent_counts``."""
    found = {EventStatus(status): n for status, n in await db.rows(_PARENT_COUNTS, number)}
    return {status: found.get(status, 0) for status in EventStatus}


async def children(db: Snapshot, number: int, first: int, limit: int) -> list[Relative]:
    """Return a page of the children of an event; see ``Store.children``."""
    return await _relatives(db, _CHILDREN, number, first, limit)


async def parent_rows(
    db: Snapshot, number: int, first: int, limit: int
) -> list[tuple[int, StoredEvent]]:
    """Return the place and the columns of a page of the parents of an event."""
    rows = await db.rows(_PARENTS, number, first, limit)
    found = await db.find([row[1] for row in rows]) if rows else {}
    return [(row[0], found[row[1]]) for row in rows if row[1] in found]


async def _relatives(
    db: Snapshot, statement: str, number: int, first: int, limit: int
) -> list[Relative]:
    rows = await db.rows(statement, number, first, limit)
    found = {one.number: one for one in await records_of(db, [row[1] for row in rows])}
    return [
        Relative(place, found[other], when, None if met is None else bool(met))
        for place, other, when, met in rows
        if other in found
    ]


def _with_progress(record: Record, row: Sequence[Any] | None) -> Record:
    if row is None or record.status is not EventStatus.PROCESSING:
        return record
    fraction, note, count = row
    progress = None if note is None else Progress(fraction, note)
    return replace(record, progress=progress, chunks=count)


async def publishing(db: Snapshot, numbers: Sequence[int]) -> list[int]:
    """Return those of these running events that have published progress."""
    return [row[0] for row in await db.rows(_PROGRESS, list(numbers))]


async def chunks(
    db: Snapshot, number: int, attempt: int, first: int
) -> tuple[int, list[Any]] | None:
    """Return the running attempt of an event, and some of its published chunks.

    Args:
        db: The tables.
        number: The number of the event.
        attempt: The attempt whose chunks the caller has.
        first: The number of these chunks.
    """
    written: int | None = await _value(db, _ATTEMPT, number)
    if written is None:
        return None
    known = first if written == attempt else 0
    rows = await db.rows(_CHUNKS, number, written, known, PIECES)
    pieces = [read_result(text)["_response"] for (text,) in rows]
    return written, [chunk for piece in pieces for chunk in piece]


# -- workers -----------------------------------------------------------------------------------


async def worker_records(db: Snapshot) -> list[WorkerRecord]:
    """Return the workers of the queue, in order of their start."""
    now: float = await _value(db, "SELECT {now}", db.lease_time)
    held: dict[str, list[ClaimedEvent]] = {}
    for worker, number, uid, event_type, attempt, until in await db.rows(_HELD, db.queue):
        one = ClaimedEvent(number, as_uuid(uid), event_type, attempt, until)
        held.setdefault(worker, []).append(one)
    return [
        WorkerRecord(
            name=name,
            queue=db.queue_name,
            host=machine,
            pid=pid,
            since=started,
            seen=seen,
            silent=max(0.0, now - seen),
            alive=until >= now and not is_dead(host, pid, process_start),
            held=tuple(held.get(name, ())),
            about=about_of(description),
        )
        for name, machine, host, pid, process_start, started, seen, until, description
        in await db.rows(_WORKERS, db.queue)
    ]  # fmt: skip


async def live_workers(db: Snapshot) -> list[QueueWorker]:
    """Return the live workers of the queue."""
    return [worker for worker in await _workers(db) if worker.is_live]


async def _workers(db: Snapshot) -> list[QueueWorker]:
    now: float = await _value(db, "SELECT {now}", db.lease_time)
    claimed = dict(await db.rows(_CLAIMED, db.queue))
    return [
        QueueWorker(
            name,
            until >= now and not is_dead(host, pid, process_start),
            claimed.get(name, 0),
            about_of(description),
        )
        for name, _, host, pid, process_start, *_, until, description
        in await db.rows(_WORKERS, db.queue)
    ]  # fmt: skip


# -- limits and positions ----------------------------------------------------------------------


async def explain(
    db: Snapshot, uid: UUID, limits: Limits | None, with_own: WithOwn
) -> Standing | None:
    """Return the queue position of an event; None if it is not in this queue.

    Args:
        db: The tables.
        uid: The id of the event.
        limits: The limits of its claim; None for those of the live workers.
        with_own: See ``WithOwn``.
    """
    numbers = list((await db.numbers_of([uid])).values())
    found = (await db.find(numbers)).get(numbers[0]) if numbers else None
    if found is None:
        return None
    now: float = await _value(db, "SELECT {now}", db.time)
    workers = with_own(await _workers(db))
    under = limits_at_work(workers) if limits is None else limits
    waits, ahead, first = found.status == PENDING, 0, None
    if waits and found.due <= now:
        ahead = await _value(db, _AHEAD, db.time, db.queue, found.priority, found.number)
        first = await _first(db, under, now) if ahead else None
    return standing_of(
        found,
        now,
        ahead=ahead,
        paused=await paused_until(db),
        pause=await pause_record(db),
        actions=(await actions_of(db, [found.number])).get(found.number, ()),
        rooms=await _rooms(db, found, under, now) if waits and under is not None else (),
        workers=workers,
        holder=await _value(db, _HOLDER, found.number),
        first=first,
        blockers=await _blockers(db, found.number) if found.due == inf else None,
    )


async def _blockers(db: Snapshot, number: int) -> Blockers | None:
    """Return the parents that a blocked event waits for."""
    for parent, when in await db.rows(_FIRST_BLOCKER, number):
        if one := (await db.find([parent])).get(parent):
            missing = await _value(db, _MISSING, number)
            status = EventStatus(one.status)
            uid = UUID(bytes=one.id)
            return Blockers(uid, one.event_type, one.queue, status, when, missing)
    return None


async def _first(
    db: Snapshot, limits: Limits | None, now: float
) -> tuple[StoredEvent, Sequence[Room]] | None:
    """Return the first due event, and what it needs of limits."""
    number = await _value(db, _FIRST, db.time, db.queue)
    first = None if number is None else (await db.find([number])).get(number)
    if first is None:
        return None
    return first, () if limits is None else await _rooms(db, first, limits, now)


async def limit_usage(db: Snapshot, limits: Limits | None, with_own: WithOwn) -> list[Room]:
    """Return the usage of limits; the arguments are those of ``explain``."""
    now: float = await _value(db, "SELECT {now}", db.time)
    workers = with_own(await _workers(db))
    under = limits_at_work(workers) if limits is None else limits
    reserved = await _reserved_amounts(db)
    shared = [each for each in (under or {}).values() if not each.per_key]
    return [await _room(db, limit, None, 0.0, now, reserved) for limit in shared]


async def _reserved_amounts(db: Snapshot) -> Counter[str]:
    """Return the amounts that all leases reserve, by limit account."""
    amounts: Counter[str] = Counter()
    for (text,) in await db.rows(_RESERVED):
        for account, (amount, _) in json.loads(text).items():
            amounts[account] += amount
    return amounts


async def _rooms(db: Snapshot, found: StoredEvent, limits: Limits, now: float) -> list[Room]:
    """Return what an event needs of limits, and what is available."""
    costs = REQUEST if found.costs is None else json.loads(found.costs)
    reserved = await _reserved_amounts(db)
    amounts = limits.amounts(costs, found.key)
    return [await _room(db, limit, found.key, cost, now, reserved) for limit, cost in amounts]


async def _room(
    db: Snapshot, limit: Limit, key: str | None, cost: float, now: float, reserved: Counter[str]
) -> Room:
    account = account_name(limit, key)
    paused: float = await _value(db, _ACCOUNT, account) or 0.0
    taken: Any = await db.rows(_USAGE, account)
    return room_of(limit, key, cost, now, held=reserved[account], paused=paused, taken=taken)
