"""Claims under limits: all that an event costs is reserved with its lease, or it gets none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from ...model.costs import REQUEST
from ..clock import boot_time
from ..sql.forms import STATE, Waits
from ..sql.rationing import Ration
from ..sql.takings import pool_of
from .claiming import AFTER, Claim, Claimed, Gate, gate_of, mature, wait_of
from .expiring import Expired
from .link import Db
from .takings import Ledger, write_held

__all__ = ("Rationed",)

PAGE: Final = 100
"""Events that wait of which is read at a time."""

_STATE: Final = ", ".join(f"r.{each.strip()}" for each in STATE.split(","))
_LINE: Final = f"""
SELECT r.number, r.due, r.priority, {_STATE}, e.event_type, e.key, e.costs
FROM {{ready}} r JOIN {{event}} e ON e.number = r.number
WHERE r.queue = $1 AND (r.expires IS NULL OR r.expires > $2)
    AND ($3::bigint IS NULL OR r.number <= $3) AND r.number <> ALL($4::bigint[])
    AND e.event_type <> ALL($5::text[])
"""
# What is ready and what is not due yet are in an index each. LIMIT keeps the planner from joining
# in any other way than by looking each of them up there, which it does where it knows no better.
_TAKE: Final = f"""
WITH given AS (
    SELECT * FROM unnest($2::bigint[], $3::float8[], $4::float8[]) g (number, priority, due)
), found AS (
    SELECT one.at FROM given CROSS JOIN LATERAL (
        SELECT r.ctid AS at FROM {{ready}} r WHERE r.queue = $1 AND r.due = 0
            AND r.priority = given.priority AND r.number = given.number LIMIT 1
    ) one WHERE given.due = 0
    UNION ALL
    SELECT one.at FROM given CROSS JOIN LATERAL (
        SELECT r.ctid AS at FROM {{ready}} r WHERE r.queue = $1 AND r.due > 0
            AND r.number = given.number LIMIT 1
    ) one WHERE given.due > 0
), taken AS (
    DELETE FROM {{ready}} r WHERE r.ctid = ANY(ARRAY(SELECT at FROM found))
    RETURNING r.number, r.due, r.priority, {_STATE}
), leased AS (
    INSERT INTO {{lease}} (number, queue, due, priority, {STATE}, worker, leased_until, reserved)
    SELECT number, $1, CASE WHEN $6 THEN 0 ELSE due END, priority, {AFTER}, $7, $8,
        ($5::text[])[array_position($2::bigint[], number)]
    FROM taken
), counted AS (
    UPDATE {{counter}} t SET pending = t.pending - n, processing = t.processing + n
    FROM (SELECT count(*) AS n FROM taken) AS taken WHERE t.queue = $1 AND t.shard = $9 AND n > 0
)
SELECT * FROM taken
"""


def _line(denied: bool) -> str:
    first = f"{_LINE} AND r.due = 0"
    if denied:
        first = f"SELECT * FROM ({first} UNION ALL {_LINE} AND r.due > 0 AND r.denials > 0) line"
        return f"{first} ORDER BY priority, number"
    return f"{first} ORDER BY r.priority, r.number"


@dataclass(slots=True)
class Rationed:
    """Lease what is to be run next, within limits.

    Who claims under the same limits waits for the other: what is free is read and taken while
    nobody else does so.

    Attributes:
        claim: Which events, and for whom.
        ration: Chooses among them.
        runs: Returns True if this process runs a kind of events.
    """

    claim: Claim
    ration: Ration
    runs: Callable[[str], bool]

    async def __call__(self, db: Db) -> Claimed:
        async with db.transaction():
            queue = db.queue
            pools = sorted({limit.pool for limit in self.ration.limits.values()})
            await db.lock(*(f"pool {pool}" for pool in pools))
            ledger = await self._ledger(db)
            self.claim.asked = boot_time()
            gate, asked = await gate_of(db, queue), monotonic()
            if gate.due is not None and gate.due <= gate.now:
                await mature(db, queue)
                gate, asked = await gate_of(db, queue), monotonic()
            rows: Sequence[Waits] = ()
            if gate.paused <= gate.now:
                rows = await self._choose(db, ledger, queue, gate)
        expired = Expired([], gate.expires)
        if gate.expires is not None and gate.expires <= gate.now:
            expired = await self.claim.expire(db)
        wait = self._wait(gate)
        if wait and db.now is None:  # it is counted from then, and not from the answer
            wait = max(1e-9, wait - (monotonic() - asked))
        return Claimed(rows, {}, wait, gate.now, expired, rationed=self.ration.rationed)

    async def _ledger(self, db: Db) -> Ledger:
        """What there is of the pools that are known by now.

        It is read before the time is asked for that counts: what is free from then on is had the
        sooner.
        """
        ledger = Ledger(db)
        limits = self.ration.limits.values()
        await ledger.load([pool_of(limit, None) for limit in limits if not limit.per_key])
        return ledger

    def _wait(self, gate: Gate) -> float | None:
        rationed = self.ration.rationed
        due = wait_of(gate._replace(more=False), 0, 0)
        waits = [each for each in (rationed.wait, due) if each is not None]
        return 0.0 if rationed.is_cut else min(waits, default=None)

    async def _choose(self, db: Db, ledger: Ledger, queue: int, gate: Gate) -> list[Waits]:
        ration = self.ration
        ration.begin(ledger, self.claim.n, gate.now)
        async for page in self._pages(db, queue, gate.now):
            await ledger.load(self._pools(page))
            await ledger.set_back(gate.now)
            if not all(ration.consider(tuple(row), self._is_known) for row in page):
                break
        rows = await self._lease(db, queue, gate.now) if ration.chosen else []
        ration.end(await db.value("SELECT {now}", db.now) if rows else None)
        await ledger.write()
        return rows

    async def _pages(self, db: Db, queue: int, now: float) -> AsyncIterator[Sequence[Any]]:
        """Those that wait, in order: the first in one answer, since they are mostly enough."""
        claim = self.claim
        text, not_kinds = _line(claim.denied), list(claim.missing)
        bound = queue, now, claim.until, list(claim.skip), not_kinds
        first = await db.rows(f"{text} LIMIT {PAGE}", *bound)
        yield first
        if len(first) == PAGE:
            seen = {row[0] for row in first}
            async for page in db.line(text, *bound, size=PAGE):
                yield [row for row in page if row[0] not in seen]

    def _pools(self, page: Sequence[Any]) -> list[str]:
        """The pools that events take of."""
        names = dict[str, None]()
        for *_, key, costs in page:
            cost = REQUEST if costs is None else json.loads(costs)
            for limit, _ in self.ration.limits.amounts(cost, key):
                names[pool_of(limit, key)] = None
        return list(names)

    def _is_known(self, kind: str) -> bool:
        """Return True if this process runs a class; else note the class as missing."""
        if self.runs(kind):
            return True
        self.claim.met.add(kind)
        return False

    async def _lease(self, db: Db, queue: int, now: float) -> list[Waits]:
        """Give the worker what was chosen, but for what others have taken meanwhile."""
        claim, chosen, holds = self.claim, self.ration.chosen, self.ration.holds
        bound = [one[0] for one in chosen], [one[2] for one in chosen], [one[1] for one in chosen]
        held = [write_held(holds.get(one[0], {})) for one in chosen]
        until = now + claim.length
        taken = await db.rows(
            _TAKE, queue, *bound, held, claim.start, claim.worker, until, db.shard
        )
        found = {row[0]: row for row in taken}
        return [tuple(found[one[0]]) for one in chosen if one[0] in found]
