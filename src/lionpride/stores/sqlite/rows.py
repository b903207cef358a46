"""Writing the tables: every statement a step inside a transaction that others begin."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import apsw

from ..sql.appending import KnownIdError
from ..sql.backend import FinishedRow, ReadyRow
from ..sql.rows import FINAL, PENDING, PROCESSING, STATE, EventRow
from .queries import Tables

__all__ = ("CONTAINER", "SIZES", "CommitError", "MissingLease", "Rows")

CONTAINER: Final = "file"
"""What contains all queues, in messages."""

SIZES: Final = (1, 2, 4, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128)
"""Rows of one statement: few sizes, so that SQLite finds the statements compiled."""

_INSERT_EVENT: Final = """
INSERT INTO lionpride_event (number, id, queue, event_type, created_at, priority, key, costs, retry,
    unique_key, unique_at, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING RETURNING 1
"""
_INSERT_READY: Final = f"""
INSERT INTO lionpride_ready (queue, number, due, priority, {STATE})
VALUES ({", ".join("?" * (4 + STATE.count(",") + 1))})
"""
_INSERT_FINISHED: Final = f"""
INSERT INTO lionpride_finished (number, queue, status, finished_at, {FINAL})
VALUES ({", ".join("?" * (4 + FINAL.count(",") + 1))})
"""
_MAY_RESOLVE: Final = (
    "EXISTS (SELECT 1 FROM lionpride_parent_change c WHERE c.queue = lionpride_queue.number)"
)
_END_LEASES: Final = "DELETE FROM lionpride_lease WHERE attempt = ? AND number IN ({rows})"


class CommitError(apsw.IOError):
    """An I/O error in COMMIT."""


class MissingLease(Exception):
    """An attempt has no lease any more."""


class Rows(Tables):
    """The rows of a queue, over a connection that is inside a transaction."""

    def __init__(self, connection: apsw.Connection, queue: str) -> None:
        super().__init__(connection, queue)
        self.new: list[tuple[float, int]] = []  # sorted (priority, number): appended, not ready yet
        self._skipped: tuple[tuple[int, ...], str] = (), "[]"  # skipped last, and as JSON

    @property
    def queue(self) -> int:
        """The number of the queue."""
        return self._queue

    # -- the transaction ---------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a transaction that writes."""
        self._db.execute("BEGIN IMMEDIATE")
        self._change, self.new = {}, []
        if not self._queue:
            self._db.execute(
                "INSERT OR IGNORE INTO lionpride_queue (name, paused_until, paused_by, paused_at) "
                "SELECT ?, coalesce(q.paused_until, 0), q.paused_by, q.paused_at "
                "FROM (SELECT 1) LEFT JOIN lionpride_queue q ON q.name = ''",
                (self.name,),
            )
            query = "SELECT number FROM lionpride_queue WHERE name = ?"
            self._queue = self._db.execute(query, (self.name,)).get

    def write_counts(self) -> tuple[bool, bool]:
        """Write the changes of the counters, before the commit.

        Returns:
            True if no event is pending or leased any more, and True if parents have changed, so
            that children are to be resolved.
        """
        changed = {status: by for status, by in self._change.items() if by}
        if changed:
            sums = ", ".join(f"{status} = {status} + ?" for status in sorted(changed))
            query = (
                f"UPDATE lionpride_queue SET {sums} WHERE number = ? RETURNING {PENDING} + "
                f"{PROCESSING}, {_MAY_RESOLVE}"
            )
            bound = *(changed[status] for status in sorted(changed)), self._queue
        else:
            query = (
                f"SELECT {PENDING} + {PROCESSING}, {_MAY_RESOLVE} FROM lionpride_queue "
                "WHERE number = ?"
            )
            bound = (self._queue,)
        self._change = {}
        left, may_resolve = self._db.execute(query, bound).get
        return not left, bool(may_resolve)

    def commit(self) -> None:
        """Commit: the one step that waits for the disk.

        Raises:
            CommitError: after an I/O error: recovery may find the transaction, or not.
            apsw.Error: if nothing was written. The mark of a commit is in the last frame that is
                written to the log, so a failed write (as beyond a quota) leaves none.
        """
        try:
            self._db.execute("COMMIT")
        except apsw.IOError as error:
            if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_WRITE:
                raise
            raise CommitError(str(error)) from error

    def roll_back(self) -> None:
        """Undo all, if SQLite has not done so by itself."""
        self._queue = 0  # it may have been made in this transaction
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def savepoint(self) -> tuple[dict[str, int], list[tuple[float, int]]]:
        """Begin a part of the transaction that can be undone.

        Returns:
            The state of this object, for ``undo``.
        """
        before = dict(self._change), self.new
        self._db.execute("SAVEPOINT step")
        return before

    def release(self) -> None:
        """End the part: what it has done belongs to the transaction."""
        self._db.execute("RELEASE step")

    def undo(self, before: tuple[dict[str, int], list[tuple[float, int]]]) -> None:
        """End the part, and undo what it has done."""
        self._change, self.new = before
        self._db.execute("ROLLBACK TO step")
        self._db.execute("RELEASE step")

    def many(self, statement: str, values: Sequence[tuple[Any, ...]], *first: Any) -> int:
        """Run a statement for any number of rows of values.

        A statement costs more than a row. So the rows of one statement are filled up with NULLs to
        one of few sizes: SQLite finds it compiled, and has nothing to do for a row of NULLs.

        Args:
            statement: The statement, with ``{rows}`` for the rows.
            values: The values of each row.
            *first: Values that are bound before the rows.

        Returns:
            The number of rows that the statement itself has changed, without those of triggers.
        """
        changed = 0
        for at in range(0, len(values), SIZES[-1]):
            some = values[at : at + SIZES[-1]]
            size, width = SIZES[bisect_left(SIZES, len(some))], len(some[0])
            nothing = (None,) * ((size - len(some)) * width)
            bound = (*first, *chain.from_iterable(some), *nothing)
            self._db.execute(_with_rows(statement, width, size), bound)
            changed += self._db.changes()
        return changed

    def count(self, status: str, by: int) -> None:
        """Change the number of events in a status; it is written with the commit."""
        self._change[status] = self._change.get(status, 0) + by

    # -- append ------------------------------------------------------------------------------

    def insert_events(self, rows: Sequence[EventRow]) -> range:
        """Insert rows of ``event``, and return their numbers; the state has to follow.

        Raises:
            KnownIdError: if an id is known, or occurs twice.
        """
        first, queue = self.last() + 1, self._queue
        numbers = range(first, first + len(rows))
        inserted = self._db.executemany(
            _INSERT_EVENT,
            [(n, row[0], queue, *row[1:10]) for n, row in zip(numbers, rows, strict=True)],
        )
        if len(inserted.fetchall()) != len(rows):
            raise KnownIdError
        return numbers

    def insert_ready(self, rows: Sequence[ReadyRow]) -> None:
        """Insert ready events."""
        bound = [(self._queue, *row[:3], *row.state) for row in rows]
        self._db.executemany(_INSERT_READY, bound)
        self.count(PENDING, len(rows))

    def insert_finished(self, rows: Sequence[FinishedRow]) -> None:
        """Insert finished events, each with its time, in this order."""
        bound = [
            (one.number, self._queue, one.status, one.finished_at, *one.state[:-1]) for one in rows
        ]
        self._db.executemany(_INSERT_FINISHED, bound)
        for one in rows:
            self.count(one.status, 1)

    def json_of(self, numbers: Collection[int]) -> str:
        """Return numbers as JSON; that of a tuple is kept for the next claim."""
        if type(numbers) is not tuple:
            return json.dumps(list(numbers))
        if self._skipped[0] is not numbers:
            self._skipped = numbers, json.dumps(numbers)
        return self._skipped[1]

    # -- leases and finished events ----------------------------------------------------------

    def end_leases(self, claims: Sequence[tuple[int, int]]) -> None:
        """End leases by number and attempt.

        Raises:
            MissingLease: if one of them is not there; then the others may have been ended.
        """
        by_attempt: dict[int, list[tuple[int]]] = {}
        for number, attempt in claims:
            by_attempt.setdefault(attempt, []).append((number,))
        for attempt, numbers in by_attempt.items():
            if self.many(_END_LEASES, numbers, attempt) != len(numbers):
                raise MissingLease
        self.count(PROCESSING, -len(claims))

    def has_ordered_endings(self) -> bool:
        """Return True if ``order_endings`` has nothing to do; a million events take a second."""
        query = (
            "SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = 'lionpride_finished_order'"
        )
        return self._db.execute(query).get is not None

    def order_endings(self) -> None:
        """Index finished events by time, for the search for the oldest ones."""
        self._db.execute(
            "CREATE INDEX IF NOT EXISTS lionpride_finished_order ON lionpride_finished (queue, "
            "status, finished_at)"
        )


@lru_cache(maxsize=256)
def _with_rows(statement: str, width: int, size: int) -> str:
    row = f"({', '.join('?' * width)})"
    return statement.format(rows=", ".join([row] * size))
