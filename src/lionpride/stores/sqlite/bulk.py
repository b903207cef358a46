"""The rows of what makes up nearly all of a run, many in a statement.

An event is taken in that has nothing on record; it is claimed; its attempt completes. What is
taken in and claimed in one transaction gets its lease at once: it never waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

from ...model.execution import EventStatus
from ..sql.rows import NEW_STATE_SQL, PENDING, PROCESSING, STATE, CompletedRow, NewEventRow
from .many import many
from .rows import Rows

__all__ = ("Bulk",)


_PLAIN: Final = 5
"""Columns of an event that has neither a key nor costs of its own."""


class Bulk(Rows):
    """The rows of a queue, and the quick ways to write many of them."""

    _new = range(0)  # the numbers that ``enter`` has given last

    def enter(self, fresh: Sequence[NewEventRow], last: int) -> range | None:
        """Take in events with nothing on record; their numbers, or None if an id is known.

        They stand nowhere yet: ``let_new_wait`` or ``lease_new`` says where.

        Args:
            fresh: The events.
            last: The highest number given so far.
        """
        numbers = self._new = range(last + 1, last + 1 + len(fresh))  # as SQLite gives them
        more = max(map(len, fresh), default=0) > _PLAIN
        columns = ", key, costs" if more else ""
        given = ", column6, column7" if more else ""
        inserted = many(
            self._db,
            "INSERT INTO lionpride_event (id, queue, event_type, payload, created_at, "
            f"priority{columns}) "
            f"SELECT column1, {self._queue}, column2, column3, column4, column5{given} "
            "FROM (VALUES ",
            "(?, ?, ?, ?, ?, ?, ?)" if more else "(?, ?, ?, ?, ?)",
            ") WHERE column1 IS NOT NULL ON CONFLICT (id) DO NOTHING",
            [(*one, None, None)[:7] for one in fresh] if more else fresh,
        )
        return numbers if inserted == len(fresh) else None

    def insert_new(self, fresh: Sequence[NewEventRow]) -> range | None:
        """Take in events with nothing on record, and let them wait; as ``insert``, but quicker."""
        numbers = self.enter(fresh, self.last())
        if numbers:
            self._db.execute(
                f"INSERT INTO lionpride_ready (queue, due, priority, number, {STATE}) "
                f"SELECT queue, 0, priority, number, {NEW_STATE_SQL} FROM lionpride_event "
                "WHERE number >= ?",
                (numbers[0],),
            )
            self._count(PENDING, len(fresh))
        return numbers

    # Those that ``enter`` has just taken in are told by their keys, so that none has to be listed.

    def let_new_wait(self, new: Sequence[tuple[float, int]]) -> None:
        """Let new events wait: priority, number, one after another in this order."""
        if new:
            self._db.execute(
                f"INSERT INTO lionpride_ready (queue, due, priority, number, {STATE}) "
                f"SELECT queue, 0, priority, number, {NEW_STATE_SQL} FROM lionpride_event "
                "WHERE number >= ? AND (priority, number) BETWEEN (?, ?) AND (?, ?)",
                (self._new[0], *new[0], *new[-1]),
            )
            self._count(PENDING, len(new))

    def lease_new(self, new: Sequence[tuple[float, int]], worker: str, until: float) -> None:
        """Give a worker new events: priority, number, one after another in this order."""
        all_new = len(new) == len(self._new)
        self._count(PROCESSING, len(new))
        among = "" if all_new else " AND (priority, number) BETWEEN (?, ?) AND (?, ?)"
        ends = () if all_new else (*new[0], *new[-1])
        self._db.execute(
            f"INSERT INTO lionpride_lease (number, queue, due, priority, {STATE}, worker, "
            "leased_until) "
            f"SELECT number, queue, 0, priority, 1{NEW_STATE_SQL[1:]}, ?, ? FROM lionpride_event "
            f"WHERE number >= ?{among}",
            (worker, until, self._new[0], *ends),
        )

    def complete(self, ended: Sequence[CompletedRow]) -> bool:
        """Put completed attempts on record; False if a lease was lost: then undo this."""
        ended = sorted(ended, key=_number)  # to go through the trees once
        befores = set(map(_before, ended))
        if len(befores) == 1:
            return self._complete_alike(ended, *befores.pop())
        if not self.end_leases([one[:2] for one in ended]):
            return False
        many(
            self._db,
            "INSERT INTO lionpride_finished (number, queue, status, attempt, finished_at, "
            "duration, result, "
            f"failures, denials, interruptions, attempts) SELECT column1, {self._queue}, "
            "'completed', column2, column3, column4, column5, column6, 0, column7, column8 "
            "FROM (VALUES ",
            "(?, ?, ?, ?, ?, ?, ?, ?)",
            ") WHERE column1 IS NOT NULL",
            ended,
        )
        self._count(EventStatus.COMPLETED.value, len(ended))
        return True

    def _complete_alike(self, ended: Sequence[CompletedRow], attempt: int, *before: Any) -> bool:
        """The same for those of which the same is known of the time before, and in order.

        Mostly that is nothing: these are first attempts. Half of the values are bound but once.
        """
        if not self.end_leases_of([one[0] for one in ended], attempt):
            return False
        many(
            self._db,
            "INSERT INTO lionpride_finished (number, queue, status, attempt, failures, denials, "
            "interruptions, "
            f"attempts, finished_at, duration, result) SELECT column1, {self._queue}, 'completed', "
            "?, ?, 0, ?, ?, column2, column3, column4 FROM (VALUES ",
            "(?, ?, ?, ?)",
            ") WHERE column1 IS NOT NULL",
            list(map(_outcome, ended)),
            attempt,
            *before,
        )
        self._count(EventStatus.COMPLETED.value, len(ended))
        return True


_number = itemgetter(0)
_before = itemgetter(1, 5, 6, 7)  # attempt, tries, interruptions, attempts
_outcome = itemgetter(0, 2, 3, 4)  # number, ended, duration, result
