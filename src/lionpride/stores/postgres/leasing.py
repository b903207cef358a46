"""Leases: the statement of a heartbeat, and whether other workers are alive."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from ..sql.process import is_dead
from .link import Db

__all__ = ("BEAT", "has_live_workers")

BEAT: Final = """
UPDATE {worker} w SET heartbeat_at = {now}, leases_until = {now} + $2,
    description = coalesce(given.description, w.description)
FROM unnest($3::text[], $4::text[]) AS given (name, description) WHERE w.name = given.name
RETURNING w.name
"""
"""Records a heartbeat of workers and their descriptions; it renews all their leases."""


async def has_live_workers(db: Db, but: Collection[str]) -> bool:
    """Return True if a worker other than these is alive."""
    query = (
        "SELECT name, host, pid, process_start FROM {worker} WHERE queue = $2 AND "
        "leases_until >= {now}"
    )
    rows = await db.rows(query, db.now, await db.known_queue())
    return any(name not in but and not is_dead(*process) for name, *process in rows)
