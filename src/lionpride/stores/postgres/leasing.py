"""Leases: who is at work, and for how long what it holds is held."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from ..contract import Extended
from ..sql.process import is_dead
from .link import Db

__all__ = ("BEAT", "Extend", "has_live_workers")

BEAT: Final = """
UPDATE {worker} w SET heartbeat_at = {now}, leases_until = {now} + $2,
    description = coalesce(given.description, w.description)
FROM unnest($3::text[], $4::text[]) AS given (name, description) WHERE w.name = given.name
RETURNING w.name
"""
"""Gives a sign of life of workers, and what they say; all that they hold is held for so long."""

_EXTEND: Final = """
UPDATE {lease} l SET leased_until = {now} + $2
FROM unnest($3::bigint[], $4::int[]) AS given (number, attempt)
WHERE l.number BETWEEN given.number AND given.number AND l.attempt = given.attempt
RETURNING l.number, l.attempt, l.cancel_requested
"""


async def has_live_workers(db: Db, but: Collection[str]) -> bool:
    """Whether a worker is alive, and not one of these."""
    query = (
        "SELECT name, host, pid, process_start FROM {worker} WHERE queue = $2 AND "
        "leases_until >= {now}"
    )
    rows = await db.rows(query, db.now, await db.known_queue())
    return any(name not in but and not is_dead(*process) for name, *process in rows)


@dataclass(slots=True)
class Extend:
    """Renew leases; one answer each."""

    claims: Sequence[tuple[int, int]]
    length: float

    async def __call__(self, db: Db) -> list[Extended]:
        bound = zip(*self.claims, strict=True) if self.claims else ((), ())
        rows = await db.rows(_EXTEND, db.now, self.length, *(list(each) for each in bound))
        held = {(number, attempt): cancel for number, attempt, cancel in rows}
        words = {None: Extended.LOST, False: Extended.OK, True: Extended.CANCEL}
        return [words[held.get(each)] for each in self.claims]
