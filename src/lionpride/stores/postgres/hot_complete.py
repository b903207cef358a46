"""The completion: attempts that completed are recorded in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

from ..sql.rows import CompletedRow
from .queries import statuses
from .session import TableConnection

__all__ = ("complete",)

# BETWEEN looks each lease up by its number, here and in other statements. With an equality the
# planner reads all leases for each batch, as soon as a vacuum has found the table empty.
# A column with one value for all rows is sent once: the driver takes longer to send each value
# than Python to compare them.
_COMPLETE: Final = """
WITH gone AS (
    DELETE FROM {lease} l USING (
        SELECT number, CASE WHEN cardinality($5::int[]) = 1 THEN ($5::int[])[1] ELSE attempt END
                AS attempt, duration,
            CASE WHEN cardinality($7::text[]) = 1 THEN ($7::text[])[1] ELSE result END
                AS result, place
        FROM unnest($4::bigint[], $5::int[], $6::float8[], $7::text[])
            WITH ORDINALITY AS one (number, attempt, duration, result, place)
    ) given
    WHERE l.number BETWEEN given.number AND given.number AND l.attempt = given.attempt
    RETURNING l.number, l.attempt, l.failures, l.interruptions, l.attempts, given.duration,
        given.result, given.place
), ended AS (
    INSERT INTO {finished} (number, queue, status, finished_at, attempt, failures, denials,
        interruptions, duration, result, attempts)
    SELECT number, $2, 'completed', (SELECT {now}) + place * 1e-6, attempt, failures, 0,
        interruptions, duration, result, attempts
    FROM gone
), counted AS (
    UPDATE {counter} t SET processing = t.processing - n, completed = t.completed + n
    FROM (SELECT count(*) AS n FROM gone) AS gone WHERE t.queue = $2 AND t.shard = $3
)
SELECT array_agg(number), {note_ended}(array_agg(number)) FROM gone
"""


async def complete(db: TableConnection, ended: Sequence[CompletedRow]) -> list[bool]:
    """Record completed attempts; return for each, in order, whether its lease was valid.

    After an earlier try without an answer, an attempt that is on record counts as recorded by it.
    """
    first = {one[:2]: one for one in reversed(ended)}  # each attempt once, as stated first
    given = sorted(first.values(), key=_number)
    columns: Sequence[list[Any]] = (
        [one[0] for one in given],
        _once([one[1] for one in given]),
        [one[3] for one in given],
        _once([one[4] for one in given]),
    )
    where = db.ending(len(given)), db.queue, db.shard
    gone, db.may_resolve = await db.row(_COMPLETE, *where, *columns)
    if gone is not None and len(gone) == len(ended):
        return [True] * len(ended)
    applied = set(gone or ())
    if db.again and (lost := [one for one in given if one[0] not in applied]):
        db.may_resolve = True  # the answer of an earlier try is lost
        stands = await statuses(db, [one[0] for one in lost])
        applied |= {one[0] for one in lost if stands.get(one[0]) == ("completed", one[1])}
    return [one[0] in applied and first[one[:2]] is one for one in ended]


_number: Final = itemgetter(0)


def _once(column: list[Any]) -> list[Any]:
    """Return a column, or its one value if it is the same in all rows."""
    return column[:1] if column.count(column[0]) == len(column) else column
