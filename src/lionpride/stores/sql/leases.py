"""Leases and workers on both databases: register, unregister, and reap lapsed leases."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ...rules.state_machine import RELEASED, after_interruption
from .backend import FinishedRow, ReadyRow, Transaction
from .codec import state_after_cancel, state_after_ending
from .limits import forget_accounts, read_reserved, spend_reserved
from .process import is_dead, process_namespace, this_process
from .rows import PENDING, PROCESSING, STATE, StateColumns
from .seen_heartbeats import SeenHeartbeats

__all__ = ("BEAT", "REGISTER", "Reap", "Reaped", "reap", "register_worker", "unregister_worker")

GONE: Final = 3600.0
"""Seconds without a heartbeat after which the row of a worker on another machine is deleted."""

BEAT: Final = """
UPDATE {worker} SET heartbeat_at = {now}, leases_until = {now} + $2,
    description = coalesce($4, description) WHERE name = $3 RETURNING name
"""
"""Records the heartbeat of a worker and its description; it renews all leases of the worker."""

REGISTER: Final = """
INSERT INTO {worker} (name, queue, machine, host, pid, process_start, started_at, heartbeat_at,
    leases_until, description)
VALUES ($2, $3, $4, $5, $6, $7, {now}, {now}, {now} + $8, $9)
ON CONFLICT (name) DO UPDATE SET heartbeat_at = excluded.heartbeat_at,
    leases_until = excluded.leases_until, description = excluded.description
"""
"""Writes the row of a worker: its name, queue, machine and process, the seconds of its leases, and
its description."""

_WORKERS: Final = """
SELECT name, host, pid, process_start, heartbeat_at, leases_until FROM {worker}
WHERE queue = $1 ORDER BY name
"""
_RENEW: Final = """
UPDATE {worker} SET heartbeat_at = {now}, leases_until = {now} + $2 WHERE name {in_3}
"""
_UNREGISTER: Final = "DELETE FROM {worker} WHERE name = $1"
_LAPSE: Final = "UPDATE {lease} SET leased_until = 0 WHERE worker = $1"
_COLUMNS: Final = f"number, priority, reserved, cancel_requested, worker, {STATE}"
_LAPSED: Final = f"""
SELECT {_COLUMNS} FROM {{lease}} WHERE queue = $1 AND leased_until < $2 AND NOT worker {{in_4}}
ORDER BY number LIMIT $3 {{skip_locked}}
"""
_OWNED: Final = "SELECT number, attempt FROM {lease} WHERE queue = $1 AND worker {in_2}"
_LOCK: Final = f"""
SELECT {_COLUMNS} FROM {{lease}} WHERE number {{in_1}} ORDER BY number {{skip_locked}}
"""
_OTHERS: Final = "SELECT 1 FROM {lease} WHERE queue = $1 AND NOT worker {in_2} LIMIT 1"
_END_LEASES: Final = "DELETE FROM {lease} WHERE number {in_1}"
_ORPHANS: Final = tuple(
    f"DELETE FROM {{{table}}} AS p WHERE NOT EXISTS (SELECT 1 FROM {{lease}} l "
    "WHERE l.number = p.number AND l.attempt = p.attempt)"
    for table in ("progress", "chunk")
)


class Reap(NamedTuple):
    """Request of a process to reap lapsed leases.

    Attributes:
        workers: Its registered workers. Their leases are renewed if they have lapsed.
        seconds: For how long they are renewed.
        may_reap: Called after the time has been read. Returns False if this process may have been
            stopped before, so that other workers had no time to renew their leases.
        claimants: The names under which it has claimed.
        attempts: Returns the attempt number of each event that it has claimed. A lease of
            ``claimants`` that is not among them is returned. None if the process learns of every
            claim that is committed.
        seen: The heartbeats of other workers that it has seen, if the clock of this machine
            decides about leases; None for the clock of a server.
        limit: Maximum number of lapsed leases.
    """

    workers: frozenset[str]
    seconds: float
    may_reap: Callable[[], bool]
    claimants: frozenset[str]
    attempts: Callable[[], Mapping[int, int]] | None = None
    seen: SeenHeartbeats | None = None
    limit: int = 1000


class Reaped(NamedTuple):
    """The result of a reap.

    Attributes:
        numbers: The events whose leases ended.
        finished: The events among them that have finished.
        others: True if other workers still hold leases.
        registered: The workers of this process that have a row.
        live_workers: The number of live workers in all processes.
    """

    numbers: list[int]
    finished: list[int]
    others: bool
    registered: frozenset[str]
    live_workers: int


class _Worker(NamedTuple):
    """A row of the table of workers."""

    name: str
    host: str
    pid: int
    process_start: str
    heartbeat_at: float
    leases_until: float


class _Lease(NamedTuple):
    """A locked lease.

    Attributes:
        number, priority, state: Of its event; the state has the attempt number of the lease.
        reserved: Amounts of limits that it reserves, as JSON.
        is_cancelled: True if a cancel was requested.
        is_unknown: True if its commit got no answer, so that no attempt has started.
    """

    number: int
    priority: float
    state: StateColumns
    reserved: str | None
    is_cancelled: bool
    is_unknown: bool


async def register_worker(
    tx: Transaction, worker: str, seconds: float, description: str | None
) -> None:
    """Register a worker of this process; end the leases of workers whose process is dead.

    The row of a worker on another machine is deleted if it is old. On this machine it stays while
    the process is alive: if the clock of the machine is set forward, it only seems to be old.

    A repeat does the same again.

    Args:
        tx: The transaction.
        worker: Its name.
        seconds: Its leases hold for so long after each heartbeat.
        description: Its description for other processes, as JSON.

    Round trips on PostgreSQL: 5, and 2 for each dead worker.
    """
    process = platform.node(), *this_process()
    await tx.rows(REGISTER, tx.lease_time, worker, tx.queue, *process, float(seconds), description)
    ((now,),) = await tx.rows("SELECT {now}", tx.lease_time)
    for other in await _workers(tx):
        if is_dead(other.host, other.pid, other.process_start):
            await _lapse(tx, other.name)
        elif other.host != process_namespace() and other.leases_until < now - GONE:
            await tx.rows(_UNREGISTER, other.name)
    await _delete_orphans(tx)


async def _delete_orphans(tx: Transaction) -> None:
    """Delete the progress of attempts that have no lease any more: their process is dead."""
    for statement in _ORPHANS:
        await tx.rows(statement)


async def unregister_worker(tx: Transaction, worker: str) -> None:
    """Delete the row of a worker. A repeat does the same again.

    Round trips on PostgreSQL: 1.
    """
    await tx.rows(_UNREGISTER, worker)


async def reap(tx: Transaction, request: Reap) -> Reaped:
    """Return the events of lapsed leases to the queue, or finish them.

    A lease lapses with the heartbeat of its worker, or because the process of the worker is dead.
    If this process was stopped, or its heartbeat was late, the leases of its own workers are
    renewed first: no other process has claimed their events since.

    If a connection breaks while the server commits a claim, no process learns of the claim, and its
    worker lives on, so that the lease would never lapse. The commit may come at any later time. So
    each reap looks for leases of this process that it does not know of. No claim of this process
    may be under way then.

    A repeat finds other leases.

    Round trips on PostgreSQL: 8 with those of the transaction; 9 more if leases have lapsed.
    """
    await forget_accounts(tx)
    ((now,),) = await tx.rows("SELECT {now}", tx.lease_time)
    workers = {worker.name: worker for worker in await _workers(tx)}
    registered = request.workers & workers.keys()
    leases: list[_Lease] = []
    if request.may_reap():
        dead = [one for one in workers.values() if one.name not in request.claimants]
        for one in dead:
            if is_dead(one.host, one.pid, one.process_start):
                await _lapse(tx, one.name)
                del workers[one.name]
        workers = await _renewed(tx, request, workers, now)
        leases = await _lapsed(tx, request, workers, now)
    if request.attempts is not None:
        leases += await _unknown(tx, request.claimants, request.attempts())
    finished = await _return(tx, leases) if leases else []
    others = await tx.rows(_OTHERS, tx.queue, sorted(request.claimants))
    live = sum(one.leases_until >= now for one in workers.values())
    return Reaped([one.number for one in leases], finished, bool(others), registered, live)


async def _workers(tx: Transaction) -> list[_Worker]:
    return [_Worker(*row) for row in await tx.rows(_WORKERS, tx.queue)]


async def _lapse(tx: Transaction, worker: str) -> None:
    """End the leases of a worker whose process is dead, and delete its row."""
    await tx.rows(_LAPSE, worker)
    await tx.rows(_UNREGISTER, worker)


async def _renewed(
    tx: Transaction, request: Reap, workers: Mapping[str, _Worker], now: float
) -> dict[str, _Worker]:
    """Renew the leases of the workers of this process that have lapsed; return all workers."""
    own = {name: one for name, one in workers.items() if name in request.workers}
    lapsed = sorted(name for name, one in own.items() if one.leases_until < now)
    if lapsed:
        await tx.rows(_RENEW, tx.lease_time, request.seconds, lapsed)
    until = now + request.seconds
    return {**workers, **{name: own[name]._replace(leases_until=until) for name in lapsed}}


async def _lapsed(
    tx: Transaction, request: Reap, workers: Mapping[str, _Worker], now: float
) -> list[_Lease]:
    """Lock and return leases that have lapsed: those of live workers hold for longer.

    The workers of this process are alive, also if one of them has no row at the moment.
    """
    seen, live = request.seen, {name for name, one in workers.items() if one.leases_until >= now}
    live |= request.workers
    if seen is not None:
        near = [one for one in workers.values() if one.host == process_namespace()]
        seen.note({one.name: one.heartbeat_at for one in near})
        live |= {one.name for one in near if seen.is_recent(one.name, one.leases_until)}
    rows = await tx.rows(_LAPSED, tx.queue, now, request.limit, sorted(live))
    return [_lease(row, False) for row in rows]


async def _unknown(
    tx: Transaction, claimants: frozenset[str], known: Mapping[int, int]
) -> list[_Lease]:
    """Lock and return leases of this process that belong to no attempt that it knows of."""
    owned = await tx.rows(_OWNED, tx.queue, sorted(claimants))
    unknown = {number: attempt for number, attempt in owned if known.get(number) != attempt}
    if not unknown:
        return []
    rows = await tx.rows(_LOCK, sorted(unknown))
    found = [_lease(row, True) for row in rows if row[4] in claimants]
    return [one for one in found if one.state[0] == unknown[one.number]]


def _lease(row: Sequence[Any], is_unknown: bool) -> _Lease:
    number, priority, reserved, is_cancelled, _, *state = row
    return _Lease(number, priority, tuple(state), reserved, bool(is_cancelled), is_unknown)


async def _return(tx: Transaction, leases: Sequence[_Lease]) -> list[int]:
    """Return the events of locked leases to the queue, or finish them.

    An amount that was reserved for a start counts as taken, as the event may have started.

    Returns:
        The events that have finished: interrupted too often, or cancelled.
    """
    ((now,),) = await tx.rows("SELECT {now}", tx.time)
    ready, finished = [], []
    for one in leases:
        if one.reserved is not None and not one.is_unknown:
            await spend_reserved(tx, read_reserved(one.reserved), now)
        ending = RELEASED if one.is_unknown else after_interruption(one.state[3])
        state, status = state_after_ending(ending, one.state), ending.status.value
        if status == PENDING and one.is_cancelled:
            status, state = state_after_cancel(state)
        if status == PENDING:
            ready.append(ReadyRow(one.number, 0.0, one.priority, state))
        else:
            finished.append(FinishedRow(one.number, status, state))
    await tx.rows(_END_LEASES, [one.number for one in leases])
    tx.count(PROCESSING, -len(leases))
    await tx.insert_ready(ready)
    await tx.insert_finished(finished)
    await _delete_orphans(tx)
    return [one.number for one in finished]
