"""Leases: who is at work, and what is given back of those who are not any more."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...rules.lifecycle import after_interruption
from ..contract import Extended
from ..sql.columns import packed_ending
from ..sql.forms import PENDING, PROCESSING, STATE
from ..sql.host import born, host, is_dead
from .link import Db
from .placing import count, finish, let_wait
from .takings import read_held, spend_held, tidy

__all__ = ("BEAT", "Discharge", "Enlist", "Extend", "Sweep", "attended")

GONE: Final = 3600.0
"""Seconds after which a worker is forgotten that gave no sign of life, and did not take leave."""

_ENLIST: Final = """
INSERT INTO {worker} (name, queue, machine, host, pid, born, began, seen, until, about)
SELECT $2, $3, $4, $5, $6, $7, t.now, t.now, t.now + $8, $9 FROM (SELECT {now} AS now) t
ON CONFLICT (name) DO UPDATE
SET seen = excluded.seen, until = excluded.until, about = excluded.about
"""
BEAT: Final = """
UPDATE {worker} w SET seen = {now}, until = {now} + $2, about = given.about
FROM unnest($3::text[], $4::text[]) AS given (name, about) WHERE w.name = given.name
"""
"""Gives a sign of life of workers, and what they say; all that they hold is held for so long."""

_LAPSED: Final = f"""
SELECT l.held, l.number, l.priority, {", ".join(f"l.{each.strip()}" for each in STATE.split(","))}
FROM {{lease}} l LEFT JOIN {{worker}} w ON w.name = l.worker
WHERE l.queue = $2 AND l.until < {{now}} AND (w.until IS NULL OR w.until < {{now}})
ORDER BY l.number LIMIT $3 FOR UPDATE OF l SKIP LOCKED
"""
_EXTEND: Final = """
UPDATE {lease} l SET until = {now} + $2
FROM unnest($3::bigint[], $4::int[]) AS given (number, attempt)
WHERE l.number = given.number AND l.attempt = given.attempt RETURNING l.number, l.attempt, l.cancel
"""


@dataclass(slots=True)
class Enlist:
    """Note a worker, and forget those that are gone for good.

    Attributes:
        worker: Its name.
        length: Seconds that its sign of life counts.
        about: What it says of itself, as JSON.
    """

    worker: str
    length: float
    about: str | None = None

    async def __call__(self, db: Db) -> None:
        queue, pid = await db.queue(), os.getpid()
        await lapse_dead(db, queue, ())
        await db.run("DELETE FROM {worker} WHERE until < {now} - $2", db.now, GONE)
        machine = platform.node()
        bound = self.worker, queue, machine, host(), pid, born(pid), self.length, self.about
        await db.run(_ENLIST, db.now, *bound)


@dataclass(slots=True)
class Discharge:
    """Forget a worker."""

    worker: str

    async def __call__(self, db: Db) -> None:
        await db.run("DELETE FROM {worker} WHERE name = $1", self.worker)


async def lapse_dead(db: Db, queue: int, mine: Collection[str]) -> None:
    """End the leases of workers of this machine whose process is certainly dead."""
    query = "SELECT name, host, pid, born FROM {worker} WHERE queue = $1 AND host = $2"
    for name, *process in await db.rows(query, queue, host()):
        if name not in mine and is_dead(*process):
            await db.run("UPDATE {lease} SET until = 0 WHERE worker = $1", name)
            await db.run("DELETE FROM {worker} WHERE name = $1", name)


async def attended(db: Db, but: Collection[str]) -> bool:
    """Whether a worker is alive, and not one of these."""
    query = "SELECT name, host, pid, born FROM {worker} WHERE queue = $2 AND until >= {now}"
    rows = await db.rows(query, db.now, await db.known_queue())
    return any(name not in but and not is_dead(*process) for name, *process in rows)


@dataclass(slots=True)
class Sweep:
    """Give back what is held under a lapsed lease, or by a process that is dead.

    It answers their numbers, and whether others than ``mine`` hold leases still.

    Attributes:
        mine: The workers of this process.
        now: The time when it was asked for; None for the server's own when it is done.
        limit: How many at most.
    """

    mine: Collection[str]
    now: float | None
    limit: int = 1000

    async def __call__(self, db: Db) -> tuple[list[int], bool]:
        queue = await db.queue()
        await lapse_dead(db, queue, self.mine)
        await tidy(db)
        async with db.transaction():
            lapsed = await db.rows(_LAPSED, self.now, queue, self.limit)
            if lapsed:
                await self._give_back(db, queue, lapsed)
        others = "SELECT DISTINCT worker FROM {lease} WHERE queue = $1"
        holders = {name for (name,) in await db.rows(others, queue)}
        return [one[1] for one in lapsed], bool(holders - set(self.mine))

    async def _give_back(self, db: Db, queue: int, lapsed: Sequence[Any]) -> None:
        back, ended = [], []
        now: float = await db.value("SELECT {now}", self.now)
        for held, number, priority, *state in lapsed:
            if held is not None:
                await spend_held(db, read_held(held), now)
            ending = after_interruption(state[3])
            after, status = packed_ending(ending, tuple(state)), ending.status.value
            if status == PENDING:
                back.append((0.0, priority, number, after))
            else:
                ended.append((number, status, 0.0, after))
        numbers = [one[1] for one in lapsed]
        await db.run("DELETE FROM {lease} WHERE number = ANY($1::bigint[])", numbers)
        await let_wait(db, queue, back)
        await finish(db, queue, ended)
        await count(db, queue, {PROCESSING: -len(lapsed)})
        await clear_orphans(db)


async def clear_orphans(db: Db) -> None:
    """Take away what was published of attempts whose process did not live to do so."""
    for table in ("live", "chunk"):
        await db.run(
            f"DELETE FROM {{{table}}} p WHERE NOT EXISTS (SELECT FROM {{lease}} l "
            "WHERE l.number = p.number AND l.attempt = p.attempt)"
        )


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
