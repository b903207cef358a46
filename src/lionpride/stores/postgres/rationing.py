"""Claims under limits: all that an event costs is reserved with its lease, or it gets none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...model import registry
from ...model.costs import REQUEST
from ..sql.forms import PENDING, PROCESSING, STATE, Waits
from ..sql.rationing import Ration
from ..sql.takings import pool_of
from .claiming import Claim, Claimed, Gate, gate_of, mature, wait_of
from .expiring import Expired
from .link import Db
from .placing import count
from .takings import Ledger, write_held

__all__ = ("Rationed",)

PAGE: Final = 100
"""Events that wait of which is read at a time."""

_STATE: Final = ", ".join(f"r.{each.strip()}" for each in STATE.split(","))
_LINE: Final = f"""
SELECT r.number, r.due, r.priority, {_STATE}, e.kind, e.key, e.costs
FROM {{ready}} r JOIN {{event}} e ON e.number = r.number
WHERE r.queue = $1 AND (r.expires IS NULL OR r.expires > $2)
    AND ($3::bigint IS NULL OR r.number <= $3) AND r.number <> ALL($4::bigint[])
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
)
DELETE FROM {{ready}} r WHERE r.ctid = ANY(ARRAY(SELECT at FROM found))
RETURNING r.number, r.due, r.priority, {_STATE}
"""
_LEASE: Final = f"""
INSERT INTO {{lease}} (number, queue, due, priority, {STATE}, worker, until, held)
SELECT number, $1, due, priority, {STATE}, $2, $3, held FROM unnest(
    $4::bigint[], $5::float8[], $6::float8[], $7::int[], $8::int[], $9::int[], $10::int[],
    $11::float8[], $12::int[], $13::text[], $14::text[], $15::float8[], $16::text[]
) AS given (number, due, priority, {STATE}, held)
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
    """

    claim: Claim
    ration: Ration

    async def __call__(self, db: Db) -> Claimed:
        async with db.transaction():
            queue = db.queue
            for pool in sorted({limit.pool for limit in self.ration.limits.values()}):
                await db.lock(f"pool {pool}")
            gate = await gate_of(db, queue)
            if gate.due is not None and gate.due <= gate.now:
                await mature(db, queue)
                gate = await gate_of(db, queue)
            rows: Sequence[Waits] = ()
            if gate.paused <= gate.now:
                rows = await self._choose(db, queue, gate)
        expired = Expired([], gate.expires)
        if gate.expires is not None and gate.expires <= gate.now:
            expired = await self.claim.expire(db)
        return Claimed(rows, {}, self._wait(gate), gate.now, expired, rationed=self.ration.rationed)

    def _wait(self, gate: Gate) -> float | None:
        rationed = self.ration.rationed
        due = wait_of(gate._replace(more=False), 0, 0)
        waits = [each for each in (rationed.wait, due) if each is not None]
        return 0.0 if rationed.is_cut else min(waits, default=None)

    async def _choose(self, db: Db, queue: int, gate: Gate) -> list[Waits]:
        claim, ration, ledger = self.claim, self.ration, Ledger(db)
        ration.begin(ledger, claim.n, gate.now)
        usual = [pool_of(limit, None) for limit in ration.limits.values() if not limit.per_key]
        await ledger.load(usual)
        line = db.line(
            _line(claim.denied), queue, gate.now, claim.until, list(claim.skip), size=PAGE
        )
        async for page in line:
            await ledger.load(self._pools(page))
            await ledger.set_back(gate.now)
            if not all(ration.consider(tuple(row), self._is_known) for row in page):
                break
        rows = await self._lease(db, queue, gate.now)
        ration.end(await db.value("SELECT {now}", db.now))
        await ledger.write()
        return rows

    def _pools(self, page: Sequence[Any]) -> list[str]:
        """The pools that events take of."""
        names = dict[str, None]()
        for *_, key, costs in page:
            cost = REQUEST if costs is None else json.loads(costs)
            for limit, _ in self.ration.limits.amounts(cost, key):
                names[pool_of(limit, key)] = None
        return list(names)

    def _is_known(self, kind: str) -> bool:
        """Whether this process has a class; else it is noted as missing."""
        if registry.is_defined(kind):
            return True
        self.claim.met.add(kind)
        return False

    async def _lease(self, db: Db, queue: int, now: float) -> list[Waits]:
        """Give the worker what was chosen, but for what others have taken meanwhile."""
        claim, chosen = self.claim, self.ration.chosen
        if not chosen:
            return []
        bound = [one[0] for one in chosen], [one[2] for one in chosen], [one[1] for one in chosen]
        found = {row[0]: row for row in await db.rows(_TAKE, queue, *bound)}
        rows: list[Waits] = [tuple(found[one[0]]) for one in chosen if one[0] in found]
        leases = []
        for number, due, priority, attempt, tries, denials, *state in rows:
            at_once = (0.0, 0) if claim.start else (due, denials)
            held = write_held(self.ration.holds.get(number, {}))
            leases.append(
                (number, at_once[0], priority, attempt + 1, tries, at_once[1], *state, held)
            )
        if leases:
            columns = zip(*leases, strict=True)
            await db.run(_LEASE, queue, claim.worker, now + claim.length, *columns)
            await count(db, queue, {PENDING: -len(rows), PROCESSING: len(rows)})
        return rows
