"""Putting on record what came of claims: many in one statement, each fenced by its attempt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ...model.execution import EventStatus
from ..contract import Settled
from ..sql.codec import cancelled_row
from ..sql.rows import PENDING, SettlementRow
from .link import Db
from .reading import standing

__all__ = ("settle",)

_CANCELLED: Final = EventStatus.CANCELLED.value

_SETTLE: Final = """
WITH gone AS (
    DELETE FROM {lease} l USING unnest(
        $4::bigint[], $5::int[], $6::text[], $7::float8[], $8::float8[], $9::int[], $10::int[],
        $11::int[], $12::float8[], $13::int[], $14::text[], $15::text[], $16::float8[], $17::int[]
    ) AS given (
        number, attempt, status, due, priority, failures, denials, interruptions,
        duration, retryable, result, attempts, expires, place
    )
    WHERE l.number BETWEEN given.number AND given.number AND l.attempt = given.attempt
        AND NOT (l.cancel_requested AND given.status = 'pending')
    RETURNING given.*
), ended AS (
    INSERT INTO {finished} (number, queue, status, finished_at, attempt, failures, denials,
        interruptions, duration, retryable, result, attempts)
    SELECT number, $2, status, (SELECT {now}) + place * 1e-6, attempt, failures, denials,
        interruptions, duration, retryable, result, attempts
    FROM gone WHERE status <> 'pending'
), back AS (
    INSERT INTO {ready} (queue, due, priority, number, attempt, failures, denials, interruptions,
        duration, retryable, result, attempts, expires)
    SELECT $2, due, priority, number, attempt, failures, denials, interruptions,
        duration, retryable, result, attempts, expires
    FROM gone WHERE status = 'pending'
), counted AS (
    UPDATE {counter} t SET processing = t.processing - n.all, pending = t.pending + n.pending,
        completed = t.completed + n.completed, failed = t.failed + n.failed,
        cancelled = t.cancelled + n.cancelled, skipped = t.skipped + n.skipped,
        aborted = t.aborted + n.aborted
    FROM (
        SELECT count(*) AS all,
            count(*) FILTER (WHERE status = 'pending') AS pending,
            count(*) FILTER (WHERE status = 'completed') AS completed,
            count(*) FILTER (WHERE status = 'failed') AS failed,
            count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
            count(*) FILTER (WHERE status = 'skipped') AS skipped,
            count(*) FILTER (WHERE status = 'aborted') AS aborted
        FROM gone
    ) n WHERE t.queue = $2 AND t.shard = $3
)
SELECT array_agg(number) FROM gone
"""


async def settle(db: Db, settlings: Sequence[SettlementRow]) -> list[Settled]:
    """Put on record what came of claims; one answer each, in order."""
    first: dict[Any, int] = {}
    for at, one in enumerate(settlings):
        if one[6] is not None:
            first.setdefault(one[:2], at)
    applied = set(await _settle(db, [settlings[at] for at in first.values()])) if first else set()
    answers: dict[int, Settled] = {
        at: Settled.APPLIED for token, at in first.items() if token[0] in applied
    }
    answers |= await _cancel(db, settlings, [at for at in first.values() if at not in answers])
    if len(answers) < len(settlings):
        others = [at for at in range(len(settlings)) if at not in answers]
        stands = await standing(db, [settlings[at][0] for at in others])
        for at in others:
            number, attempt, status, *_ = settlings[at]
            again = db.again and settlings[at][6] is not None and first.get((number, attempt)) == at
            if stands.get(number) == (status, attempt):
                answers[at] = Settled.APPLIED if again else Settled.REPLAYED
            elif status == PENDING and stands.get(number) == (_CANCELLED, attempt):
                answers[at] = Settled.CANCELLED if again else Settled.REPLAYED
            else:
                answers[at] = Settled.FENCED
    return [answers[at] for at in range(len(settlings))]


async def _cancel(
    db: Db, settlings: Sequence[SettlementRow], left: Sequence[int]
) -> dict[int, Settled]:
    """End those events that would return to PENDING though a cancel of the claim was answered.

    Args:
        db: The tables.
        settlings: All that is settled.
        left: The places of those that the first statement did not record.
    """
    back = {settlings[at][0]: at for at in left if settlings[at][2] == PENDING}
    if not back:
        return {}
    done = await _settle(db, [cancelled_row(settlings[at]) for at in back.values()])
    return {back[number]: Settled.CANCELLED for number in done}


async def _settle(db: Db, settlings: Sequence[SettlementRow]) -> list[int]:
    """The numbers of those whose claim held."""
    rows = []
    for place, (number, attempt, status, due, _, priority, state) in enumerate(settlings, 1):
        assert state is not None, "who has no claim settles nothing"
        rows.append((number, attempt, status, due, priority, *state[1:], place))
    rows.sort(key=lambda row: row[0])
    time, bound = db.ending(len(rows)), zip(*rows, strict=True)
    gone: list[int] | None = await db.value(_SETTLE, time, db.queue, db.shard, *bound)
    return gone or []
