"""Leases and workers on both databases: register, unregister, and return what has lapsed."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Final, NamedTuple

from ...rules.lifecycle import RELEASED, after_interruption
from .backend import FinishedRow, ReadyRow, Transaction
from .codec import state_after_cancel, state_after_ending
from .limits import read_reserved, spend_reserved
from .process import is_dead, this_process
from .rows import PENDING, PROCESSING, StateColumns

__all__ = ("LapsedLease", "lapse_worker", "register_worker", "return_leases", "unregister_worker")

GONE: Final = 3600.0
"""Seconds without a heartbeat after which the row of a worker is deleted."""

_FORGET: Final = "DELETE FROM {worker} WHERE leases_until < {now} - $2 AND name <> $3"
_REGISTER: Final = """
INSERT INTO {worker} (name, queue, machine, host, pid, process_start, started_at, heartbeat_at,
    leases_until, description)
VALUES ($2, $3, $4, $5, $6, $7, {now}, {now}, {now} + $8, $9)
ON CONFLICT (name) DO UPDATE SET heartbeat_at = excluded.heartbeat_at,
    leases_until = excluded.leases_until, description = excluded.description
"""
_PROCESSES: Final = "SELECT name, host, pid, process_start FROM {worker} WHERE queue = $1"
_UNREGISTER: Final = "DELETE FROM {worker} WHERE name = $1"
_LAPSE: Final = "UPDATE {lease} SET leased_until = 0 WHERE worker = $1"
_END_LEASES: Final = "DELETE FROM {lease} WHERE number {in_1}"
_ORPHANS: Final = tuple(
    f"DELETE FROM {{{table}}} AS p WHERE NOT EXISTS (SELECT 1 FROM {{lease}} l "
    "WHERE l.number = p.number AND l.attempt = p.attempt)"
    for table in ("progress", "chunk")
)


class LapsedLease(NamedTuple):
    """A lease that has lapsed, or that no caller knows of.

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
    is_unknown: bool = False


async def register_worker(
    tx: Transaction, worker: str, seconds: float, description: str | None
) -> None:
    """Register a worker of this process; end the leases of workers whose process is dead.

    A repeat does the same again.

    Args:
        tx: The transaction.
        worker: Its name.
        seconds: Its leases hold for so long after each heartbeat.
        description: Its description for other processes, as JSON.

    Round trips on PostgreSQL: 5, and 2 for each dead worker.
    """
    process = platform.node(), *this_process()
    await tx.rows(_FORGET, tx.lease_time, GONE, worker)
    await tx.rows(_REGISTER, tx.lease_time, worker, tx.queue, *process, float(seconds), description)
    for name, host, pid, start in await tx.rows(_PROCESSES, tx.queue):
        if name != worker and is_dead(host, pid, start):
            await lapse_worker(tx, name)
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


async def lapse_worker(tx: Transaction, worker: str) -> None:
    """End the leases of a worker whose process is dead, and delete its row."""
    await tx.rows(_LAPSE, worker)
    await tx.rows(_UNREGISTER, worker)


async def return_leases(tx: Transaction, leases: Sequence[LapsedLease]) -> list[int]:
    """Return the events of locked leases to the queue, or finish them.

    An amount that was reserved for a start counts as taken, as the event may have started. A repeat
    finds other leases.

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
