"""The claim: the first events that are ready get a lease, in one statement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

from ..clock import boot_time
from ..sql.operations import Expired
from ..sql.rows import NEW_STATE, STATE, FirstClaimRow, FixedColumns, ReadyRow
from .link import Db

__all__ = ("AFTER", "Claim", "Claimed", "Gate", "gate_of", "mature", "wait_of")

BUSY: Final = 0.02
"""Seconds until a claim looks again that has passed over what others hold just now."""

_SELDOM: Final = ("retry", "unique_key", "unique_at")
"""What never changes of an event, and few have; the last columns of ``FixedColumns``."""

_STATE: Final = [each.strip() for each in STATE.split(",")]
AFTER: Final = ", ".join(
    {"attempt": "attempt + 1", "denials": "CASE WHEN $6 THEN 0 ELSE denials END"}.get(each, each)
    for each in _STATE
)
"""The state of an event as it is leased; $6 says whether it starts at once."""
_READY: Final = ", ".join(f"r.{each}" for each in _STATE)
_PICKED: Final = ", ".join(f"picked.{each}" for each in _STATE)
_ODD: Final = f"ROW(picked.due, {_PICKED}, {', '.join(f'e.{each}' for each in _SELDOM)})"
_IS_USUAL: Final = " AND ".join(
    [
        "picked.due = 0",
        *(
            f"picked.{each} {'= 0' if new == 0 else 'IS NULL'}"
            for each, new in zip(_STATE, NEW_STATE, strict=True)
        ),
        *(f"e.{each} IS NULL" for each in _SELDOM),
    ]
)

_USUAL: Final = 8
"""Arguments that a claim always has."""

_SINCE: Final = "(SELECT date_part('epoch', now()))"
"""What stands in ``since`` if nobody says otherwise, found out once and not for each lease."""

_GATE: Final = """
WITH gate AS MATERIALIZED (
    SELECT t.now, q.paused_until,
        (SELECT due FROM {ready} WHERE queue = $2 AND due > 0 ORDER BY due LIMIT 1) AS due,
        (SELECT expires FROM {ready} WHERE queue = $2 AND expires IS NOT NULL
         ORDER BY expires LIMIT 1) AS expires
    FROM (SELECT {now} AS now) t, {queue} q WHERE q.number = $2
)"""
_OPEN: Final = "(SELECT paused_until <= now AND coalesce(due > now, true) FROM gate)"
_IN_TIME: Final = "(r.expires IS NULL OR r.expires > (SELECT now FROM gate))"

_MATURE: Final = """
UPDATE {ready} SET due = 0 WHERE queue = $2 AND due > 0 AND due <= (SELECT {now})
"""


class Gate(NamedTuple):
    """What a claim learned of its queue.

    Attributes:
        now: The time.
        paused: Nothing is claimed before this time.
        due: When the first of what is not due yet will be.
        expires: When the first of what has to start by some time expires.
        more: Whether more was ready than it took.
    """

    now: float
    paused: float
    due: float | None
    expires: float | None
    more: bool


class Claimed(NamedTuple):
    """What a claim took; see ``ClaimAnswer``.

    Attributes:
        now: The time of the claim.
        expired: What was ended, since it was not started in time.
        rationed: What they took of the limits, if there are any.
        untried: More events: those of which nobody has tried any, with all that it takes to build
            them; they are not in ``rows``.
    """

    rows: Sequence[ReadyRow]
    kept: Mapping[int, FixedColumns]
    wait: float | None
    now: float
    expired: Expired
    new: Sequence[tuple[float, int]] = ()
    rationed: Any = None
    untried: Sequence[FirstClaimRow] = ()

    @property
    def numbers(self) -> list[int]:
        """Of all that it took."""
        return [one[0] for one in self.untried] + [one[0] for one in self.rows]

    def moved(self, others: Sequence[FirstClaimRow], untried: Sequence[FirstClaimRow]) -> Claimed:
        """The same with others of the untried among the rows, and these left."""
        rows = sorted([*self.rows, *map(_waits, others)], key=_in_order)
        kept = {**self.kept, **{one[0]: _kept(one) for one in others}}
        return self._replace(rows=rows, kept=kept, untried=untried)


_in_order: Final = itemgetter(2, 0)


def _waits(one: Any) -> ReadyRow:
    """The row that waited, from a row of the answer."""
    odd = one[6]
    return (
        (one[0], 0.0, one[1], *NEW_STATE) if odd is None else (one[0], odd[0], one[1], *odd[1:-3])
    )


def _kept(one: Any) -> FixedColumns:
    """What never changes of an event, from a row of the answer."""
    odd = one[6]
    return (*one[2:6], *((None, None, None) if odd is None else odd[-3:]))


@dataclass(slots=True)
class Claim:
    """Lease what is to be run next.

    Attributes:
        worker, n: Who takes how many at most.
        length: Seconds that the leases hold.
        until, skip, denied: Which events; see ``Store.claim``.
        start: Whether they start at once, which ends a row of denials.
        missing: The kinds of events that this process has no class for.
        met: More of them that were met.
        whole: Whether to bring what never changes of each event along.
        expire: Ends what was not started in time.
        asked: A time of ``boot_time()`` before the time from which the leases count.
    """

    worker: str
    n: int
    length: float
    until: int | None
    skip: Collection[int]
    denied: bool
    start: bool
    missing: Collection[str]
    whole: bool
    expire: Callable[[Db], Awaitable[Expired]]
    met: set[str] = field(default_factory=set)
    asked: float = 0.0

    async def __call__(self, db: Db) -> Claimed:
        queue = db.queue
        gate, found = await self._take(db, queue)
        if gate.due is not None and gate.due <= gate.now and gate.paused <= gate.now:
            await mature(db, queue)
            gate, found = await self._take(db, queue)
        expired = Expired([], gate.expires)
        if gate.expires is not None and gate.expires <= gate.now:
            expired = await self.expire(db)
        untried = [one for one in found if one[6] is None] if self.whole else []
        others = [one for one in found if one[6] is not None] if self.whole else found
        return Claimed(
            rows=list(map(_waits, others)),
            kept={one[0]: _kept(one) for one in others} if self.whole else {},
            wait=wait_of(gate, len(found), self.n),
            now=gate.now,
            expired=expired,
            untried=untried,
        )

    async def _take(self, db: Db, queue: int) -> tuple[Gate, list[Any]]:
        has = self.until is not None, bool(self.skip), self.denied, bool(self.missing)
        bound: list[Any] = [db.now, queue, db.shard, self.n, self.worker, self.start, self.length]
        bound.append(self.whole)
        if self.until is not None:
            bound.append(self.until)
        if self.skip:
            bound.append(list(self.skip))
        if self.missing:
            bound.append(list(self.missing))
        self.asked = boot_time()
        found = await db.rows(statement(*has), *bound)
        return Gate._make(found[0][7]), [] if found[0][0] is None else found


async def gate_of(db: Db, queue: int) -> Gate:
    """What there is to know of a queue before a claim."""
    return Gate._make(await db.row(f"{_GATE} SELECT *, false FROM gate", db.now, queue))


async def mature(db: Db, queue: int) -> None:
    """Make ready what has become due."""
    await db.run(_MATURE, db.now, queue)


def wait_of(gate: Gate, taken: int, n: int) -> float | None:
    """Seconds until another claim may find something; None: nobody knows."""
    if gate.paused > gate.now:
        return max(1e-9, gate.paused - gate.now)
    if gate.more:
        return 0.0 if taken == n else BUSY
    # Not less than a loop's timer can tell from now, or it would fire without end.
    return None if gate.due is None else max(1e-9, gate.due - gate.now)


@lru_cache(maxsize=16)
def statement(until: bool, skip: bool, denied: bool, missing: bool) -> str:
    """Return the claim with these conditions."""
    place, where = _USUAL + 1, ["r.queue = $2", _IN_TIME]
    if until:
        where.append(f"r.number <= ${place}")
        place += 1
    if skip:
        where.append(f"r.number <> ALL(${place}::bigint[])")
        place += 1
    wanted = where[-1:] if skip else []
    if missing:
        kind = "(SELECT event_type FROM {event} e WHERE e.number = r.number)"
        where.append(f"{kind} <> ALL(${place}::text[])")
        wanted.append(where[-1])
    first = _pick(" AND ".join(["r.due = 0", *where, _OPEN]))
    if denied:
        later = _pick(" AND ".join(["r.due > 0", "r.denials > 0", *where, _OPEN]))
        picked = f"""{_GATE}, now AS MATERIALIZED ({first}), later AS MATERIALIZED ({later}),
picked AS MATERIALIZED (
    SELECT * FROM (SELECT * FROM now UNION ALL SELECT * FROM later) both_of_them
    ORDER BY priority, number LIMIT $4
)"""
    else:
        picked = f"{_GATE}, picked AS MATERIALIZED ({first})"
    plain = not (until or skip or denied)
    return picked + _rest(plain, " AND ".join(wanted) or "true")


def _pick(where: str) -> str:
    return (
        f"SELECT r.ctid AS at, r.number, r.due, r.priority, {_READY} FROM {{ready}} r "
        f"WHERE {where} ORDER BY r.priority, r.number LIMIT $4 FOR UPDATE SKIP LOCKED"
    )


def _rest(plain: bool, wanted: str) -> str:
    """Return the part of the claim after ``picked``."""
    left = f"SELECT FROM {{ready}} r WHERE r.queue = $2 AND r.due = 0 AND {_IN_TIME} AND {wanted}"
    if plain:
        # What is picked is the first of all: more can only stand behind, and there it is looked
        # for, at once. Where nothing could be picked, others have all that there is.
        more = f"""CASE WHEN EXISTS (SELECT FROM picked) THEN EXISTS (
        {left} AND (r.priority, r.number) > (
            SELECT priority, number FROM picked ORDER BY priority DESC, number DESC LIMIT 1
        )
    ) ELSE EXISTS ({left}) END"""
    else:
        more = f"EXISTS ({left} AND r.number <> ALL(ARRAY(SELECT number FROM picked)))"
    # What is picked is locked and read: it is deleted unseen. That needs rows that nobody updates
    # while they are ready: of one that was, since the statement began, the new place is not seen,
    # and it would be leased and stay. What is asked of an event that is not wanted is looked up by
    # no number, which costs nothing.
    return f""", taken AS (
    DELETE FROM {{ready}} WHERE ctid = ANY(ARRAY(SELECT at FROM picked))
), leased AS (
    INSERT INTO {{lease}} (number, queue, due, priority, {STATE}, worker, leased_until, claimed_at)
    SELECT number, $2, CASE WHEN $6 THEN 0 ELSE picked.due END, priority, {AFTER}, $5,
        gate.now + $7::float8, {_SINCE}
    FROM picked, (SELECT now FROM gate) gate
), counted AS (
    UPDATE {{counter}} t SET pending = t.pending - n, processing = t.processing + n
    FROM (SELECT count(*) AS n FROM picked) AS moved
    WHERE t.queue = $2 AND t.shard = $3 AND n > 0
)
SELECT picked.number, picked.priority, uuid_send(e.id), e.event_type, e.created_at, e.payload,
    CASE WHEN NOT ({_IS_USUAL}) THEN {_ODD} END,
    CASE WHEN picked.at IS NOT DISTINCT FROM (SELECT at FROM picked LIMIT 1)
        THEN ROW(gate.now, gate.paused_until, gate.due, gate.expires, {more}) END
FROM gate LEFT JOIN picked ON true
LEFT JOIN {{event}} e ON e.number = CASE WHEN $8 THEN picked.number END
ORDER BY picked.priority, picked.number
"""
