"""Leases: who is at work, and for how long what it holds is held."""

from __future__ import annotations

import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from ..contract import Extended
from ..sql.process import is_dead, this_process
from .link import Db

__all__ = ("BEAT", "Discharge", "Enlist", "Extend", "attended", "lapse")

GONE: Final = 3600.0
"""Seconds after which a worker is forgotten that gave no sign of life, and did not take leave."""

_ENLIST: Final = """
WITH present AS MATERIALIZED (
    SELECT {now} AS now
), gone AS (
    DELETE FROM {worker} WHERE leases_until < (SELECT now FROM present) - $10 AND name <> $2
), entered AS (
    INSERT INTO {worker} (name, queue, machine, host, pid, process_start, started_at, heartbeat_at,
        leases_until, description)
    SELECT $2, $3, $4, $5, $6, $7, now, now, now + $8, $9 FROM present
    ON CONFLICT (name) DO UPDATE
    SET heartbeat_at = excluded.heartbeat_at, leases_until = excluded.leases_until,
        description = excluded.description
)
SELECT name, host, pid, process_start FROM {worker} WHERE queue = $3 AND host = $5 AND name <> $2
"""
"""Enters a worker, and forgets those that are gone for good; the others of its machine."""
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


@dataclass(slots=True)
class Enlist:
    """Note a worker, forget those that are gone for good, and end the leases of the dead beside it.

    Attributes:
        worker: Its name.
        length: Seconds that its sign of life counts.
        about: What it says of itself, as JSON.
    """

    worker: str
    length: float
    about: str | None = None

    async def __call__(self, db: Db) -> None:
        bound = self.worker, db.queue, platform.node(), *this_process(), self.length
        beside = await db.rows(_ENLIST, db.now, *bound, self.about, GONE)
        for name, *process in beside:
            if is_dead(*process):
                await lapse(db, name)


@dataclass(slots=True)
class Discharge:
    """Forget a worker."""

    worker: str

    async def __call__(self, db: Db) -> None:
        await db.run("DELETE FROM {worker} WHERE name = $1", self.worker)


async def lapse(db: Db, worker: str) -> None:
    """End the leases of a worker, whose process is dead, and forget it."""
    await db.run("UPDATE {lease} SET leased_until = 0 WHERE worker = $1", worker)
    await db.run("DELETE FROM {worker} WHERE name = $1", worker)


async def attended(db: Db, but: Collection[str]) -> bool:
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
