"""Completed attempts, put on record by a statement of their own or along with a claim."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import Any, Final

from ..sql.forms import Ended
from .link import Db
from .reading import standing

__all__ = ("ARGUMENTS", "Completing", "complete", "parts")

ARGUMENTS: Final = 4
"""How many arguments of a statement say what has completed."""


def parts(place: int, now: str) -> str:
    """The parts of a statement that put completions on record; ``gone`` is what held.

    BETWEEN, here and in other statements, has each lease looked up by its number, whatever the
    planner believes. With an equality it reads all leases for each batch, as soon as a vacuum has
    found the table empty: that takes a thousand times as long.

    Args:
        place: The number of the first of the arguments that say what has completed.
        now: The time, which is evaluated once.
    """
    types = "bigint", "int", "float8", "text"
    given = [f"${place + n}::{each}[]" for n, each in enumerate(types)]
    return f"""gone AS (
    DELETE FROM {{lease}} l USING (
        SELECT number, {_of_one(given[1], "attempt")}, duration,
            {_of_one(given[3], "result")}, place
        FROM unnest({", ".join(given)})
            WITH ORDINALITY AS one (number, attempt, duration, result, place)
    ) given
    WHERE l.number BETWEEN given.number AND given.number AND l.attempt = given.attempt
    RETURNING l.number, l.attempt, l.tries, l.interruptions, l.attempts, given.duration,
        given.result, given.place
), ended AS (
    INSERT INTO {{finished}} (number, queue, status, ended, attempt, tries, denials, interruptions,
        duration, result, attempts)
    SELECT number, $2, 'completed', (SELECT {now}) + place * 1e-6, attempt, tries, 0,
        interruptions, duration, result, attempts
    FROM gone
)"""


def _of_one(column: str, name: str) -> str:
    """The value of one row, from a column that has it once if it is the same in all."""
    return f"CASE WHEN cardinality({column}) = 1 THEN ({column})[1] ELSE {name} END AS {name}"


def _once(column: list[Any]) -> list[Any]:
    """A column, or its one value: to send each takes the driver longer than to compare all."""
    return column[:1] if column.count(column[0]) == len(column) else column


_COMPLETE: Final = f"""
WITH {parts(4, "{now}")}, counted AS (
    UPDATE {{tally}} t SET processing = t.processing - n, completed = t.completed + n
    FROM (SELECT count(*) AS n FROM gone) AS gone WHERE t.queue = $2 AND t.shard = $3
)
SELECT array_agg(number) FROM gone
"""


_number: Final = itemgetter(0)


class Completing:
    """Attempts that completed: what to ask of a statement, and what its answer says of each.

    Args:
        ended: Their columns.
    """

    __slots__ = ("_ended", "arguments")

    def __init__(self, ended: Sequence[Ended]) -> None:
        self._ended = ended
        numbers = {one[0] for one in ended}
        given = ended if len(numbers) == len(ended) else self._once().values()
        given = sorted(given, key=_number)
        self.arguments: Sequence[Sequence[Any]] = (
            [one[0] for one in given],
            _once([one[1] for one in given]),
            [one[3] for one in given],
            _once([one[4] for one in given]),
        )

    def _once(self) -> dict[Any, Ended]:
        """Each attempt once, as it was said first."""
        return {one[:2]: one for one in reversed(self._ended)}

    async def applied(self, db: Db, gone: Collection[int] | None) -> list[bool]:
        """Of each, in order, whether its claim held.

        Args:
            db: The tables, to ask what came of a try before.
            gone: The numbers of those whose claims the statement found; None: all.
        """
        ended = self._ended
        if gone is None or len(gone) == len(ended):
            return [True] * len(ended)
        applied, first = set(gone), self._once()
        if db.again and (lost := [one for one in first.values() if one[0] not in applied]):
            stands = await standing(db, [one[0] for one in lost])
            applied |= {one[0] for one in lost if stands.get(one[0]) == ("completed", one[1])}
        return [one[0] in applied and first.get(one[:2]) is one for one in ended]


async def complete(db: Db, ended: Sequence[Ended]) -> list[bool]:
    """Put completed attempts on record; of each, whether its claim held."""
    asked = Completing(ended)
    gone = await db.value(_COMPLETE, db.ending, db.queue, db.shard, *asked.arguments)
    return await asked.applied(db, gone or ())
