"""What the tables say of limits: read before a claim chooses, and written when it has chosen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import fsum
from typing import Final

from ..sql.takings import AHEAD, Held, Pool
from .link import Db

__all__ = (
    "Ledger",
    "count_spend",
    "held_by",
    "hold",
    "pause",
    "spend_held",
    "stamp",
    "take_back",
    "tidy",
)

FINE: Final = 512
"""Parts of a window: what is taken in one of them after another shares an instant."""

_READ: Final = """
SELECT 'pool', name, last_at, paused_until FROM {limit_account} WHERE name = ANY($1::text[])
UNION ALL
SELECT 'taken', account, at, amount FROM {limit_usage} WHERE account = ANY($1::text[])
UNION ALL
SELECT 'held', key, sum((value ->> 0)::float8), 0 FROM {lease}, json_each(reserved::json)
WHERE reserved IS NOT NULL AND key = ANY($1::text[]) GROUP BY key
"""
_FORGET: Final = """
DELETE FROM {limit_usage} t USING unnest($1::text[], $2::float8[]) AS gone (account, at)
WHERE t.account = gone.account AND t.at <= gone.at
"""
_STAMP: Final = """
WITH account AS (
    INSERT INTO {limit_account} AS p (name, window_seconds, last_at, paused_until)
    SELECT name, window_seconds, last_at, 0
    FROM unnest($1::text[], $2::float8[], $3::float8[]) g (name, window_seconds, last_at)
    ON CONFLICT (name) DO UPDATE SET window_seconds = excluded.window_seconds,
        last_at = greatest(p.last_at, excluded.last_at)
)
INSERT INTO {limit_usage} AS t (account, at, amount)
SELECT * FROM unnest($4::text[], $5::float8[], $6::float8[])
ON CONFLICT (account, at) DO UPDATE SET amount = t.amount + excluded.amount
"""
_SET_BACK: Final = """
WITH gone AS (DELETE FROM {limit_usage} WHERE account = $1 AND at >= $2 RETURNING amount),
known AS (UPDATE {limit_account} SET last_at = $2 WHERE name = $1)
INSERT INTO {limit_usage} (account, at, amount) SELECT $1, $2, coalesce(sum(amount), 0) FROM gone
"""


class Ledger:
    """What counts of pools in one transaction, which has locked them.

    It is read by ``load`` before somebody asks, and written by ``write`` after all have chosen.

    Args:
        db: The tables.
    """

    fine = FINE

    def __init__(self, db: Db) -> None:
        self._db = db
        self._pools: dict[str, tuple[float, float]] = {}  # last, paused
        self._taken: dict[str, list[tuple[float, float]]] = {}
        self._held: Counter[str] = Counter()
        self._known: set[str] = set()
        self._new: list[tuple[str, float, float, float]] = []
        self._gone: dict[str, float] = {}

    async def load(self, names: Sequence[str]) -> None:
        """Read what there is of these pools, unless that is done."""
        wanted = [name for name in names if name not in self._known]
        if not wanted:
            return
        self._known.update(wanted)
        for what, name, one, other in await self._db.rows(_READ, wanted):
            if what == "pool":
                self._pools[name] = one, other
            elif what == "taken":
                self._taken.setdefault(name, []).append((one, other))
            else:
                self._held[name] = one
        for name in wanted:
            self._taken.get(name, []).sort()

    async def set_back(self, now: float) -> None:
        """What was taken in a time to come counts as taken now: the clock was set back."""
        late = [name for name, (last, _) in self._pools.items() if last > now + AHEAD]
        for name in late:
            await self._db.run(_SET_BACK, name, now)
        if late:
            self._known.difference_update(late)
            for name in late:
                self._taken.pop(name, None)
            await self.load(late)

    # -- as ``sql.rationing.Takings`` --------------------------------------------------------

    def pool(self, name: str, per: float | None, now: float) -> Pool:
        """What counts of a pool now."""
        last, paused = self._pools.get(name, (0.0, 0.0))
        if per is None:
            return Pool(0.0, paused, last)
        taken = self._taken.get(name, [])
        counts = [one for one in taken if fsum((one[0], per, -now)) > 0.0]
        if len(counts) < len(taken):
            self._gone[name] = taken[len(taken) - len(counts) - 1][0]
            self._taken[name] = counts
        return Pool(fsum(amount for _, amount in counts), paused, last)

    def leaving(self, name: str) -> Iterator[tuple[float, float]]:
        """When so much was taken of a pool, the oldest first."""
        yield from self._taken.get(name, ())

    def stamp_at(self, name: str, per: float, at: float, amount: float) -> None:
        """Take so much of a pool at this very instant."""
        self._new.append((name, per, at, amount))

    def held(self) -> Mapping[str, float]:
        """What all leases hold together, of the pools that were loaded."""
        return self._held

    # -- when all have chosen ----------------------------------------------------------------

    async def write(self) -> None:
        """Put on record what was taken, and forget what has left its window."""
        if self._gone:
            await self._db.run(_FORGET, list(self._gone), list(self._gone.values()))
        await stamp(self._db, self._new)


async def stamp(db: Db, rows: Sequence[tuple[str, float, float, float]]) -> None:
    """Take of pools at their instants: pool, length of its window, when, amount."""
    if rows:
        last: dict[str, tuple[float, float]] = {}
        for name, per, at, _ in rows:
            last[name] = per, max(at, last.get(name, (per, at))[1])
        names = sorted(last)
        bound = [last[name][0] for name in names], [last[name][1] for name in names]
        pools, _, ats, amounts = zip(*sorted(rows), strict=True)
        await db.run(_STAMP, names, *bound, pools, ats, amounts)


async def take_back(db: Db, name: str, at: float, amount: float) -> None:
    """Give back what was taken at an instant, unless that has left the window."""
    query = "UPDATE {limit_usage} SET amount = amount - $3 WHERE account = $1 AND at = $2"
    await db.run(query, name, at, amount)


async def pause(db: Db, name: str, until: float) -> None:
    """Let nothing be had of a pool before this time, or a later one if that is so already."""
    await db.run(
        "INSERT INTO {limit_account} AS p (name, window_seconds, last_at, paused_until) "
        "VALUES ($1, 0, 0, $2) "
        "ON CONFLICT (name) DO UPDATE SET paused_until = greatest(p.paused_until, "
        "excluded.paused_until)",
        name,
        until,
    )


async def tidy(db: Db) -> None:
    """Forget pools of which nothing counts any more."""
    await db.run(
        "WITH gone AS (DELETE FROM {limit_account} WHERE last_at + window_seconds < {now} - 1 AND "
        "paused_until < {now} - 1 RETURNING name) "
        "DELETE FROM {limit_usage} WHERE account IN (SELECT name FROM gone)",
        db.now,
    )


# -- what leases hold --------------------------------------------------------------------------


async def held_by(db: Db, number: int, attempt: int) -> dict[str, Held] | None:
    """What the lease of an attempt holds; None if there is no such lease any more."""
    query = "SELECT reserved FROM {lease} WHERE number = $1 AND attempt = $2 FOR UPDATE"
    row = await db.row(query, number, attempt)
    return None if row is None else read_held(row[0])


async def count_spend(db: Db, number: int, attempt: int, nth: int) -> dict[str, Held] | None:
    """Record the number of a change of costs; return what the lease of the attempt holds.

    Returns:
        None if the lease is gone, or if this change or a later one was recorded before.
    """
    query = (
        "UPDATE {lease} SET spends = $3 WHERE number = $1 AND attempt = $2 AND spends < $3 "
        "RETURNING reserved"
    )
    row = await db.row(query, number, attempt, nth)
    return None if row is None else read_held(row[0])


def read_held(text: str | None) -> dict[str, Held]:
    """What a lease holds, from its column."""
    return {pool: Held(*held) for pool, held in json.loads(text or "{}").items()}


def write_held(held: Mapping[str, Held]) -> str | None:
    """The column of a lease that holds this and nothing else."""
    return json.dumps(held, separators=(",", ":")) if held else None


async def hold(db: Db, number: int, held: Mapping[str, Held]) -> None:
    """Have a lease hold this and nothing else."""
    query = "UPDATE {lease} SET reserved = $2 WHERE number = $1"
    await db.run(query, number, write_held(held))


async def spend_held(db: Db, held: Mapping[str, Held], at: float) -> None:
    """What a lease held for a start counts as taken: perhaps it has started."""
    await stamp(
        db, [(pool, one.per, at, one.amount) for pool, one in held.items() if one.per is not None]
    )
