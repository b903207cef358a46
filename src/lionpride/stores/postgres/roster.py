"""Who works on a queue, as the tables say it."""

from __future__ import annotations

from typing import Final

from ..roster import Held, WorkerRecord
from ..sql.codec import about_of
from ..sql.process import is_dead
from .link import Db

__all__ = ("workers",)

_WORKERS: Final = """
SELECT name, machine, host, pid, process_start, started_at, heartbeat_at, leases_until,
    {now} AS now, description
FROM {worker} WHERE queue = $2 ORDER BY started_at, name
"""
_HELD: Final = """
SELECT l.worker, l.number, e.id, e.event_type, l.attempt, greatest(l.leased_until, w.leases_until)
FROM {lease} l JOIN {event} e ON e.number = l.number LEFT JOIN {worker} w ON w.name = l.worker
WHERE l.queue = $1 ORDER BY l.number
"""


async def workers(db: Db) -> list[WorkerRecord]:
    """The workers of the queue, in order of their beginning."""
    queue = await db.known_queue()
    held: dict[str, list[Held]] = {}
    async with db.snapshot():
        rows = await db.rows(_WORKERS, db.now, queue)
        for worker, number, uid, kind, attempt, until in await db.rows(_HELD, queue):
            held.setdefault(worker, []).append(Held(number, uid, kind, attempt, until))
    return [
        WorkerRecord(
            name=name,
            queue=db.queue_name,
            host=machine,
            pid=pid,
            since=began,
            seen=seen,
            silent=max(0.0, now - seen),
            alive=until >= now and not is_dead(host, pid, born),
            held=tuple(held.get(name, ())),
            about=about_of(about),
        )
        for name, machine, host, pid, born, began, seen, until, now, about in rows
    ]
