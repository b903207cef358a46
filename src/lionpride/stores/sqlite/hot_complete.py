"""Complete: one statement ends the leases of all callers, another records the results."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from ...model.execution import EventStatus
from ..sql.rows import CompletedRow
from .rows import Rows

__all__ = ("complete",)

_INSERT_COMPLETED: Final = """\
INSERT INTO lionpride_finished (queue, status, denials, number, attempt, finished_at, duration,
                                result, failures, interruptions, attempts)
SELECT ?, 'completed', 0, * FROM (VALUES {rows}) WHERE column1 IS NOT NULL
"""


def complete(rows: Rows, completions: Sequence[CompletedRow]) -> list[bool]:
    """Record that attempts have completed.

    Returns:
        True for each.

    Raises:
        LeaseLost: if an attempt has no lease any more.
    """
    completions = sorted(completions, key=itemgetter(0))  # in the order of the tables
    rows.end_leases([one[:2] for one in completions])
    rows.many(_INSERT_COMPLETED, completions, rows.queue)
    rows.count(EventStatus.COMPLETED.value, len(completions))
    return [True] * len(completions)
