"""Append of new events: one statement for the events of all callers of a transaction.

A statement costs more than a row, so each of the hot operations writes many rows. If one request
makes a statement fail, the group commit runs the same function again for each half of the requests
(``in_halves``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from ...errors import ExistsError
from ..append_checks import check_room
from ..sql.appending import exists
from ..sql.rows import NEW_STATE_SQL, PENDING, STATE, NewEventRow, QueuedAppend
from .rows import CONTAINER, Rows

__all__ = ("append", "insert_events", "make_ready")

_INSERT_EVENTS: Final = """\
INSERT INTO lionpride_event (queue, id, event_type, payload, created_at, priority, key, costs)
SELECT ?, * FROM (VALUES {rows}) WHERE column1 IS NOT NULL ON CONFLICT (id) DO NOTHING
"""
_MAKE_READY: Final = f"""\
INSERT INTO lionpride_ready (queue, due, priority, number, {STATE})
SELECT queue, 0, priority, number, {NEW_STATE_SQL} FROM lionpride_event
WHERE number >= ? AND (priority, number) BETWEEN (?, ?) AND (?, ?)
"""


def append(rows: Rows, entries: Sequence[QueuedAppend]) -> range:
    """Append events that have no record yet.

    Returns:
        The numbers of the events, in order.

    Raises:
        ExistsError, QueueFullError: if an event cannot be appended.
    """
    limits = [one[3] for one in entries if one[3] is not None]
    if limits and not (len(entries) == 1 and rows.known([entries[0][1][0]])):
        check_room(rows.counts()[PENDING], len(entries), min(limits))
    return insert_events(rows, [one[1] for one in entries])


def insert_events(rows: Rows, events: Sequence[NewEventRow]) -> range:
    """Insert events that have no record yet; ``make_ready`` has to follow.

    Returns:
        The numbers of the events, in order.

    Raises:
        ExistsError: if an id is known, or occurs twice.
    """
    first = rows.last() + 1
    columns = [one if len(one) == _COLUMNS else (*one, None, None) for one in events]
    inserted = rows.many(_INSERT_EVENTS, columns, rows.queue)
    if inserted != len(events):
        raise _refused(rows, [one[0] for one in events], first)
    numbers = range(first, first + len(events))
    new = [(one[4], number) for one, number in zip(events, numbers, strict=True)]
    rows.new = sorted(rows.new + new)
    rows.count(PENDING, len(events))
    return numbers


def make_ready(rows: Rows) -> None:
    """Make the events ready that this transaction has appended and not claimed.

    They follow one another in the order of priority and number, since claims take the first ones.
    """
    if rows.new:
        first = min(number for _, number in rows.new)
        rows.connection.execute(_MAKE_READY, (first, *rows.new[0], *rows.new[-1]))
        rows.new = []


def _refused(rows: Rows, ids: Sequence[bytes], first: int) -> ExistsError:
    """Return the error for the first id that was known before, or occurs twice."""
    known = {uid: event for uid, event in rows.known(ids).items() if event.number < first}
    uid = next(iter(known), None) or Counter(ids).most_common(1)[0][0]
    return exists(uid, known.get(uid), rows.queue, CONTAINER)


_COLUMNS: Final = 7
"""The number of columns of ``NewEventRow`` with key and costs."""
