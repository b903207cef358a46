"""The rows of what makes up nearly all of a run, many in a statement.

An event is taken in that has nothing on record; it is claimed; its attempt completes. What is
taken in and claimed in one transaction gets its lease at once: it never waits.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...model.execution import EventStatus
from .look import NEW_TEXT, PENDING, PROCESSING, STATE
from .many import many
from .rows import Ended, Fresh, Rows

__all__ = ("Bulk",)


class Bulk(Rows):
    """The rows of a queue, and the quick ways to write many of them."""

    def enter(self, fresh: Sequence[Fresh]) -> range | None:
        """Take in events with nothing on record; their numbers, or None if an id is known.

        They stand nowhere yet: ``let_new_wait`` or ``lease_new`` says where.
        """
        last = self.last()
        numbers = range(last + 1, last + 1 + len(fresh))  # as SQLite gives them
        before = self._db.total_changes()
        many(
            self._db,
            "INSERT INTO event (id, queue, kind, payload, created, priority) VALUES ",
            f"(?, {self._queue}, ?, ?, ?, ?)",
            " ON CONFLICT (id) DO NOTHING",
            fresh,
        )
        return numbers if self._db.total_changes() - before == len(fresh) else None

    def insert_new(self, fresh: Sequence[Fresh]) -> range | None:
        """Take in events with nothing on record, and let them wait; as ``insert``, but quicker."""
        numbers = self.enter(fresh)
        if numbers:
            self._db.execute(
                f"INSERT INTO waiting (queue, due, priority, number, {STATE}) "
                f"SELECT queue, 0, priority, number, {NEW_TEXT} FROM event "
                "WHERE number >= ?",
                (numbers[0],),
            )
            self._count(PENDING, len(fresh))
        return numbers

    def let_new_wait(self, new: Sequence[tuple[float, int]]) -> None:
        """Let events wait that have just been taken in: priority, number."""
        many(
            self._db,
            f"INSERT INTO waiting (queue, due, priority, number, {STATE}) VALUES ",
            f"({self._queue}, 0, ?, ?, {NEW_TEXT})",
            "",
            new,
        )
        self._count(PENDING, len(new))

    def lease_new(self, new: Sequence[tuple[float, int]], worker: str, until: float) -> None:
        """Give a worker events that have just been taken in: priority, number."""
        many(
            self._db,
            f"INSERT INTO lease (number, queue, due, priority, {STATE}, worker, until) "
            f"SELECT column2, {self._queue}, 0, column1, 1{NEW_TEXT[1:]}, ?, ? FROM (VALUES ",
            "(?, ?)",
            ")",
            new,
            worker,
            until,
        )
        self._count(PROCESSING, len(new))

    def lease_range(self, first: int, last: int, worker: str, until: float) -> None:
        """Give a worker events that have just been taken in: all numbers from first to last."""
        self._db.execute(
            f"INSERT INTO lease (number, queue, due, priority, {STATE}, worker, until) "
            f"SELECT number, queue, 0, priority, 1{NEW_TEXT[1:]}, ?, ? FROM event "
            "WHERE number BETWEEN ? AND ?",
            (worker, until, first, last),
        )
        self._count(PROCESSING, last - first + 1)

    def complete(self, ended: Sequence[Ended]) -> bool:
        """Put completed attempts on record; False if a lease was lost: then undo this."""
        if not self.end_leases([one[:2] for one in ended]):
            return False
        many(
            self._db,
            "INSERT INTO finished (number, queue, status, attempt, ended, duration, result, "
            "tries, denials, interruptions, attempts) VALUES ",
            f"(?, {self._queue}, 'completed', ?, ?, ?, ?, ?, 0, ?, ?)",
            "",
            sorted(ended),
        )
        self._count(EventStatus.COMPLETED.value, len(ended))
        return True
