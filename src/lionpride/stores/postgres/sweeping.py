"""Reap: return the events of lapsed leases, of dead processes and of claims without an answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..sql.leases import LapsedLease, lapse_worker, return_leases
from ..sql.limits import UNUSED, forget_accounts
from ..sql.process import is_dead, process_namespace
from ..sql.rows import STATE
from .heartbeat import BEAT
from .link import Db
from .transaction import Operation, PostgresTransaction

__all__ = ("Sweep", "Swept")

_IS_UNKNOWN: Final = """(
    l.worker = ANY($3::text[])
    AND (l.number, l.attempt) NOT IN (SELECT * FROM unnest($4::bigint[], $5::int[]))
)"""
"""True for a lease of a worker of this process that belongs to no attempt that it knows of.

``NOT IN`` hashes the known attempts, so that each lease is looked up once.
"""
_IS_LAPSED: Final = f"""
FROM {{lease}} l
LEFT JOIN LATERAL (SELECT w.leases_until FROM {{worker}} w
    WHERE w.name = l.worker LIMIT 1) w ON true
WHERE l.queue = $2
    AND (l.leased_until < {{now}}
        AND (w.leases_until IS NULL OR w.leases_until < {{now}}) OR {_IS_UNKNOWN})
"""
_LOOK: Final = f"""
SELECT {{now}}, EXISTS (SELECT {_IS_LAPSED}),
    EXISTS (SELECT FROM {{lease}} WHERE queue = $2 AND worker <> ALL($6::text[])),
    EXISTS (SELECT FROM {{limit_account}} WHERE {UNUSED}),
    (SELECT array_agg(name) FROM {{worker}} WHERE name = ANY($6::text[])),
    (SELECT array_agg(ARRAY[name, pid::text, process_start]) FROM {{worker}}
     WHERE queue = $2 AND host = $7 AND name <> ALL($6::text[])),
    EXISTS (SELECT FROM {{counter}} WHERE queue = $2 AND shard < 0),
    (SELECT count(*) FROM {{worker}} WHERE queue = $2 AND leases_until >= {{now}})
"""
_ADD_UP: Final = """
WITH loose AS (
    DELETE FROM {counter} WHERE queue = $1 AND shard < 0 RETURNING pending
)
UPDATE {counter} SET pending = pending + (SELECT sum(loose.pending) FROM loose)
WHERE queue = $1 AND shard = $2 AND EXISTS (SELECT FROM loose)
"""
"""Adds what was counted in transactions of others to the other counts."""

_STATE: Final = ", ".join(f"l.{each.strip()}" for each in STATE.split(","))
_LAPSED: Final = f"""
SELECT {_IS_UNKNOWN}, l.reserved, l.cancel_requested, l.number, l.priority, {_STATE}
{_IS_LAPSED} ORDER BY l.number LIMIT $6 FOR UPDATE OF l SKIP LOCKED
"""


@dataclass(slots=True)
class Swept:
    """What a sweep has found.

    Attributes:
        numbers: The events that were returned to the queue, or ended.
        ended: Those that were ended.
        others: Whether others hold leases still.
        known: The workers of this process that are in the table.
        workers: How many are alive, in all processes.
    """

    numbers: list[int]
    ended: list[int]
    others: bool
    known: Collection[str]
    workers: int


@dataclass(slots=True)
class Sweep:
    """Return the events of lapsed leases, of dead processes, and of claims without an answer.

    If a connection breaks while the server commits a claim, no process learns of the claim, and
    its worker goes on living, so that the lease would never lapse. The commit may come at any
    later time. So each reap looks for leases of this process that it does not know of.

    The leases of workers that are registered are renewed first: this process was stopped, or its
    heartbeat was late, and no other process has claimed their events since.

    Attributes:
        mine: The workers of this process.
        registered: Those of them that are registered, so that the heartbeat renews their leases.
        lease: Seconds for which a renewed lease holds.
        known: Returns the attempts that this process knows of, by number. It is called when the
            step is taken. No claim may be under way then.
        now: The time when it was asked for; None for the server's own when it is done.
        limit: How many at most.
        may_reap: Called after the look. Returns False if this process may have been stopped before
            it, so that others had no time to renew their leases.
    """

    mine: Collection[str]
    registered: Collection[str]
    lease: float
    known: Callable[[], Mapping[int, int]]
    now: float | None
    limit: int = 1000
    may_reap: Callable[[], bool] = lambda: True

    async def __call__(self, db: Db) -> Swept:
        attempts, names = self.known(), sorted(self.registered)
        which = db.queue, names, list(attempts), list(attempts.values())
        now, lapsed, others, old, known, beside, loose, workers = await db.row(
            _LOOK, self.now, *which, list(self.mine), process_namespace()
        )
        if not self.may_reap():
            lapsed, beside = False, ()
        for name, pid, birth in beside or ():
            if is_dead(process_namespace(), int(pid), birth):
                await lapse_worker(PostgresTransaction(db), name)
                lapsed = True
        if old:
            await Operation(forget_accounts)(db)
        if loose:
            await db.run(_ADD_UP, db.queue, db.shard)
        if lapsed and names:
            await db.run(BEAT, self.now, self.lease, names, [None] * len(names))
        numbers, ended = await self._give_back(db, now, *which) if lapsed else ([], [])
        return Swept(numbers, ended, others, known or (), workers)

    async def _give_back(self, db: Db, now: float, *which: Any) -> tuple[list[int], list[int]]:
        """Give back what had lapsed by the look: this process may have been stopped since."""
        async with db.transaction():
            rows = await db.rows(_LAPSED, now, *which, self.limit)
            leases = [
                LapsedLease(number, priority, tuple(state), reserved, is_cancelled, is_unknown)
                for is_unknown, reserved, is_cancelled, number, priority, *state in rows
            ]
            tx = PostgresTransaction(db)
            ended = await return_leases(tx, leases)
            await tx.write_counts()
        return [one.number for one in leases], ended
