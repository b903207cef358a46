"""The claim: the first ready events get a lease, in one statement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, NamedTuple

from ..clock import boot_time
from ..sql.backend import QueueState
from ..sql.claiming import ClaimRequest, ClaimResult
from ..sql.limits import Reservations
from ..sql.operations import Expired
from ..sql.rows import NEW_STATE, NOT_BLOCKED, STATE, FirstClaimRow, FixedColumns, ReadyColumns
from .session import TableConnection

__all__ = ("AFTER", "Claim", "Leased")

BUSY: Final = 0.02
"""Seconds until a claim looks again that has passed over rows which others have locked."""

_ALL: Final = 2**63 - 1
"""A number that no event exceeds."""

_COLUMNS: Final = [each.strip() for each in STATE.split(",")]
AFTER: Final = ", ".join(
    {"attempt": "attempt + 1", "denials": "CASE WHEN $6 THEN 0 ELSE denials END"}.get(each, each)
    for each in _COLUMNS
)
"""The state of an event in its lease; $6 is true if it starts at once."""

# Nearly all events have never been tried and have no retry policy or unique value. The statement
# returns NULL in place of these columns then, which saves a tenth of the client's work.
_OTHERS: Final = ("retry", "unique_key", "unique_at")
_ODD: Final = ", ".join(
    ["p.due", *(f"p.{each}" for each in _COLUMNS), *(f"e.{each}" for each in _OTHERS)]
)
_IS_ODD: Final = " OR ".join(
    [
        "p.due > 0",
        *(
            f"p.{each} {'<> 0' if new == 0 else 'IS NOT NULL'}"
            for each, new in zip(_COLUMNS, NEW_STATE, strict=True)
        ),
        *(f"e.{each} IS NOT NULL" for each in _OTHERS),
    ]
)

_IS_WANTED: Final = """r.queue = $2 AND (r.expires IS NULL OR r.expires > (SELECT now FROM state))
        AND r.number <= $9 AND r.number <> ALL($10::bigint[]) AND (cardinality($11::text[]) = 0
            OR (SELECT e.event_type FROM {event} e WHERE e.number = r.number) <> ALL($11))"""
_PICK: Final = f"""
    SELECT r.ctid AS place, r.due, r.priority, r.number, {", ".join(f"r.{c}" for c in _COLUMNS)}
    FROM {{ready}} r
    WHERE %s AND {_IS_WANTED} AND (SELECT is_open FROM state)
    ORDER BY r.priority, r.number LIMIT $4 FOR UPDATE SKIP LOCKED
"""
_READY: Final = _PICK % "r.due = 0"
_DENIED: Final = f"""
    SELECT * FROM (
        SELECT * FROM ({_READY}) ready
        UNION ALL SELECT * FROM ({_PICK % "r.due > 0 AND r.denials > 0"}) denied
    ) either ORDER BY priority, number LIMIT $4
"""
# The picked rows are locked, so they are deleted by their place, without another look at the index.
# That requires that no statement updates a row that can be claimed: its place would be another.
_CLAIM: Final = f"""
WITH state AS MATERIALIZED (
    SELECT now, paused_until, due, expires,
        paused_until <= now AND coalesce(due > now, true) AS is_open
    FROM (
        SELECT t.now, q.paused_until,
            (SELECT due FROM {{ready}} WHERE queue = $2 AND due > 0 AND {NOT_BLOCKED}
             ORDER BY due LIMIT 1) AS due,
            (SELECT expires FROM {{ready}} WHERE queue = $2 AND expires IS NOT NULL
             ORDER BY expires LIMIT 1) AS expires
        FROM (SELECT {{now}} AS now) t, {{queue}} q WHERE q.number = $2
    ) found
), picked AS MATERIALIZED (%s), last AS MATERIALIZED (
    SELECT priority, number FROM picked ORDER BY priority DESC, number DESC LIMIT 1
), taken AS (
    DELETE FROM {{ready}} WHERE ctid = ANY(ARRAY(SELECT place FROM picked))
), leased AS (
    INSERT INTO {{lease}} (number, queue, due, priority, {STATE}, worker, leased_until, claimed_at)
    SELECT number, $2, CASE WHEN $6 THEN 0 ELSE p.due END, priority, {AFTER}, $5,
        state.now + $7::float8, (SELECT date_part('epoch', now()))
    FROM picked p, (SELECT now FROM state) state
), counted AS (
    UPDATE {{counter}} t SET pending = t.pending - n, processing = t.processing + n
    FROM (SELECT count(*) AS n FROM picked) AS moved
    WHERE t.queue = $2 AND t.shard = $3 AND n > 0
)
SELECT p.number, p.priority, uuid_send(e.id), e.event_type, e.created_at, e.payload,
    CASE WHEN {_IS_ODD} THEN ROW({_ODD}) END,
    CASE WHEN p.number IS NOT DISTINCT FROM (SELECT number FROM last) THEN ROW(
        s.now, s.paused_until, s.due, s.expires,
        EXISTS (SELECT FROM {{parent_change}} WHERE queue = $2), EXISTS (
            SELECT FROM {{ready}} r WHERE r.due = 0 AND {_IS_WANTED} AND (r.priority, r.number) > (
                coalesce((SELECT priority FROM last), '-infinity'),
                coalesce((SELECT number FROM last), 0)
            )
        )
    ) END
FROM state s LEFT JOIN picked p ON true
LEFT JOIN {{event}} e ON e.number = CASE WHEN $8 THEN p.number END
ORDER BY p.priority, p.number
"""
"""The last row says how the queue stands, also if there is no other."""

CLAIM: Final = _CLAIM % _READY
CLAIM_WITH_DENIED: Final = _CLAIM % _DENIED
"""Also claims events that were denied and wait for their next try."""

_PROMOTE: Final = """
UPDATE {ready} SET due = 0 WHERE queue = $2 AND due > 0 AND due <= (SELECT {now})
"""


class Leased(NamedTuple):
    """Leased events, before the columns are read that events are built of.

    Attributes:
        rows, kept, wait, expired, reservations, unknown, may_resolve: See ``ClaimResult``.
        asked: A time of ``boot_time()`` before the time from which the leases count.
        untried: Leased events that have never been tried. They are not in ``rows``.
        whole: True if ``untried`` and ``kept`` have all columns that events are built of.
    """

    rows: Sequence[ReadyColumns]
    kept: Mapping[int, FixedColumns]
    wait: float | None
    expired: Expired
    asked: float
    reservations: Reservations | None = None
    unknown: Collection[str] = ()
    untried: Sequence[FirstClaimRow] = ()
    whole: bool = False
    may_resolve: bool = False

    @property
    def numbers(self) -> list[int]:
        """The numbers of all claimed events."""
        return [one[0] for one in self.untried] + [one[0] for one in self.rows]

    @property
    def result(self) -> ClaimResult:
        """The result of the claim, without ``untried``."""
        return ClaimResult(
            self.rows,
            self.kept,
            self.wait,
            self.expired,
            reservations=self.reservations,
            unknown=self.unknown,
            may_resolve=self.may_resolve,
        )

    def moved(self, others: Sequence[FirstClaimRow], untried: Sequence[FirstClaimRow]) -> Leased:
        """Return the claim with ``others`` among the rows, and ``untried`` as what is left."""
        rows = sorted([*self.rows, *map(_waits, others)], key=_in_order)
        kept = self.kept
        if self.whole:
            kept = {**kept, **{one[0]: _kept(one) for one in others}}
        return self._replace(rows=rows, kept=kept, untried=untried)


_in_order: Final = itemgetter(2, 0)


def _waits(row: Any) -> ReadyColumns:
    """Return the row of ``ready`` as it was, from a row of the answer."""
    odd = row[6]
    return (
        (row[0], 0.0, row[1], *NEW_STATE) if odd is None else (row[0], odd[0], row[1], *odd[1:-3])
    )


def _kept(row: Any) -> FixedColumns:
    """Return the columns of ``event``, from a row of the answer."""
    odd = row[6]
    return (*row[2:6], *((None, None, None) if odd is None else odd[-3:]))


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim ready events without limits. It takes one round trip, or three if events are due.

    Attributes:
        request: The request.
        whole: True to return all columns that events are built of.
        expire: Finishes events that were not started in time.
    """

    request: ClaimRequest
    whole: bool
    expire: Callable[[TableConnection], Awaitable[Expired]]

    async def __call__(self, db: TableConnection) -> Leased:
        asked = boot_time()
        state, more, found = await self._take(db)
        if state.due is not None and state.due <= state.now and not state.is_paused:
            await db.run(_PROMOTE, db.now, db.queue)
            asked = boot_time()
            state, more, found = await self._take(db)
        expired = Expired([], state.expires)
        if state.expires is not None and state.expires <= state.now:
            expired = await self.expire(db)
        others = [row for row in found if row[6] is not None]
        untried = [row for row in found if row[6] is None] if others else found
        return Leased(
            rows=list(map(_waits, others)),
            kept={row[0]: _kept(row) for row in others} if self.whole else {},
            wait=_wait(state, more, len(found) == self.request.size),
            expired=expired,
            asked=asked,
            untried=untried,
            whole=self.whole,
            may_resolve=state.may_resolve,
        )

    async def _take(self, db: TableConnection) -> tuple[QueueState, bool, list[Any]]:
        """Return how the queue stands, True if more events are ready, and the claimed events."""
        one = self.request
        until = _ALL if one.until is None else one.until
        which = until, list(one.skip), list(one.excluded)
        lease = one.size, one.worker, one.start, one.seconds
        rows = await db.rows(
            CLAIM_WITH_DENIED if one.denied else CLAIM,
            *(db.now, db.queue, db.shard),
            *lease,
            self.whole,
            *which,
        )
        *state, more = rows[-1][7]
        return QueueState(*state), more, [] if rows[0][0] is None else rows


def _wait(state: QueueState, more: bool, is_full: bool) -> float | None:
    """Return seconds until another claim may find events; None if that is unknown.

    Args:
        state: How the queue stands.
        more: True if more events are ready.
        is_full: True if the claim took as many events as it may.
    """
    if state.paused_until > state.now:
        return max(1e-9, state.paused_until - state.now)
    if more:
        return 0.0 if is_full else BUSY
    # At least a nanosecond: a timer that is set to the present would fire again and again.
    return None if state.due is None else max(1e-9, state.due - state.now)
