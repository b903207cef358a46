"""Writing the tables: every statement a step inside a transaction that others begin."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import apsw

from ..sql.leases import LapsedLease
from ..sql.rows import FINAL, PENDING, PROCESSING, STATE, EventRow, ReadyRow, StateColumns
from .many import each_of
from .queries import HELD_UNTIL, Tables

__all__ = ("CommitError", "Rows")

_ANY: Final = 2**62
"""Above every number."""


class CommitError(apsw.IOError):
    """An I/O error in COMMIT."""


class Rows(Tables):
    """The rows of a queue, over a connection that is inside a transaction."""

    def __init__(self, connection: apsw.Connection, queue: str) -> None:
        super().__init__(connection, queue)
        self._skipped: tuple[tuple[int, ...], str] = (), "[]"  # skipped last, and as JSON

    @property
    def connection(self) -> apsw.Connection:
        """The connection that writes."""
        return self._db

    @property
    def queue(self) -> int:
        """The number of the queue."""
        return self._queue

    # -- the transaction ---------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a transaction that writes."""
        self._db.execute("BEGIN IMMEDIATE")
        self._change = {}
        if not self._queue:
            self._db.execute(
                "INSERT OR IGNORE INTO lionpride_queue (name, paused_until) VALUES (?, "
                "coalesce((SELECT paused_until FROM lionpride_queue WHERE name = ''), 0))",
                (self.name,),
            )
            query = "SELECT number FROM lionpride_queue WHERE name = ?"
            self._queue = self._db.execute(query, (self.name,)).get

    def write_counts(self) -> bool:
        """Write what the transaction has changed in the counts; then it may be committed.

        Returns:
            Whether nothing waits and nothing is claimed any more.
        """
        changed = {status: by for status, by in self._change.items() if by}
        if changed:
            sums = ", ".join(f"{status} = {status} + ?" for status in sorted(changed))
            query = (
                f"UPDATE lionpride_queue SET {sums} WHERE number = ? RETURNING {PENDING} + "
                f"{PROCESSING}"
            )
            bound = *(changed[status] for status in sorted(changed)), self._queue
        else:
            query = f"SELECT {PENDING} + {PROCESSING} FROM lionpride_queue WHERE number = ?"
            bound = (self._queue,)
        self._change = {}
        return not self._db.execute(query, bound).get

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

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Undo what the block has done, if it raises."""
        change = dict(self._change)
        self._db.execute("SAVEPOINT step")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._change = change
                self._db.execute("ROLLBACK TO step")
                self._db.execute("RELEASE step")
            raise
        self._db.execute("RELEASE step")

    def count(self, status: str, by: int) -> None:
        """Change the number of events in a status; it is written with the commit."""
        self._count(status, by)

    def _count(self, status: str, by: int) -> None:
        self._change[status] = self._change.get(status, 0) + by

    # -- taking in ---------------------------------------------------------------------------

    def insert(self, places: Sequence[EventRow]) -> range | None:
        """Take events in; their numbers, or None if an id is known: then undo this."""
        last = self.last()
        numbers = range(last + 1, last + 1 + len(places))
        queue = self._queue
        inserted = self._db.executemany(
            "INSERT INTO lionpride_event (number, id, queue, event_type, created_at, priority, "
            "key, costs, retry, "
            "unique_key, unique_at, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO NOTHING RETURNING 1",
            [(n, p[0], queue, *p[1:10]) for n, p in zip(numbers, places, strict=True)],
        )
        if len(inserted.fetchall()) != len(places):
            return None
        waiting = [
            (p.due, p.priority, n, p.state)
            for n, p in zip(numbers, places, strict=True)
            if p.status == PENDING
        ]
        self._let_wait(waiting)
        self._finish(
            [
                (n, p.status, p.ended, p.state)
                for n, p in zip(numbers, places, strict=True)
                if p.status != PENDING
            ]
        )
        return numbers

    def _let_wait(self, entries: Sequence[tuple[float, float, int, StateColumns]]) -> None:
        """Let events wait: due, priority, number, state."""
        if entries:
            queue = self._queue
            self._db.executemany(
                f"INSERT INTO lionpride_ready (queue, due, priority, number, {STATE}) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(queue, due, priority, n, *state) for due, priority, n, state in entries],
            )
            self._count(PENDING, len(entries))

    def _finish(self, entries: Sequence[tuple[int, str, float, StateColumns]]) -> None:
        """Put ended events on record: number, status, when, state."""
        if entries:
            queue = self._queue
            self._db.executemany(
                f"INSERT INTO lionpride_finished (number, queue, status, finished_at, {FINAL}) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(n, queue, status, ended, *state[:-1]) for n, status, ended, state in entries],
            )
            for _, status, _, _ in entries:
                self._count(status, 1)

    # -- claiming ----------------------------------------------------------------------------

    def mature(self, now: float) -> None:
        """Make ready what has become due."""
        self._db.execute(
            "UPDATE lionpride_ready SET due = 0 WHERE queue = ? AND due > 0 AND due <= ?",
            (self._queue, now),
        )

    def _json_of(self, numbers: Collection[int]) -> str:
        """Return numbers as JSON; that of a tuple is kept for the next claim."""
        if type(numbers) is not tuple:
            return json.dumps(list(numbers))
        if self._skipped[0] is not numbers:
            self._skipped = numbers, json.dumps(numbers)
        return self._skipped[1]

    def next(self, n: int) -> list[ReadyRow]:
        """What is to be claimed next: the first ``n`` that are ready."""
        rows: Any = self._db.execute(
            f"SELECT number, due, priority, {STATE} FROM lionpride_ready "
            "WHERE queue = ? AND due = 0 ORDER BY priority, number LIMIT ?",
            (self._queue, n),
        )
        return list(rows)

    def next_of(
        self,
        n: int,
        until: int | None,
        skip: Collection[int],
        denied: bool,
        but: Collection[str],
        late: float | None = None,
    ) -> list[ReadyRow]:
        """What is to be claimed next, of some.

        Args:
            n: How many at most.
            until: The highest number; None: any.
            skip: Not these numbers.
            denied: Also those that wait out a denial.
            but: Not events of these kinds.
            late: Not what was to be started by this time; None: there is none.
        """
        where, bound = ["queue = ?"], list[Any]([self._queue])
        where.append("(due = 0 OR denials > 0)" if denied else "due = 0")
        if until is not None:
            where.append("number <= ?")
            bound.append(until)
        if late is not None:
            where.append("(expires IS NULL OR expires > ?)")
            bound.append(late)
        if skip:
            where.append("number NOT IN (SELECT value FROM json_each(?))")
            bound.append(self._json_of(skip))
        if but:
            where.append(
                "(SELECT event_type FROM lionpride_event WHERE lionpride_event.number = "
                "lionpride_ready.number) "
                "NOT IN (SELECT value FROM json_each(?))"
            )
            bound.append(json.dumps(list(but)))
        rows: Any = self._db.execute(
            f"SELECT number, due, priority, {STATE} FROM lionpride_ready WHERE "
            f"{' AND '.join(where)} "
            "ORDER BY priority, number LIMIT ?",
            (*bound, n),
        )
        return list(rows)

    def lease_first(
        self, found: Sequence[ReadyRow], worker: str, until: float, start: bool
    ) -> None:
        """Give a worker what ``next`` has found: all of it, in two statements."""
        last = self._queue, found[-1][2], found[-1][0]
        self._db.execute(
            f"INSERT INTO lionpride_lease (number, queue, due, priority, {STATE}, worker, "
            "leased_until) SELECT "
            f"number, queue, due, priority, attempt + 1, failures, {'0' if start else 'denials'}, "
            "interruptions, duration, retryable, result, attempts, expires, ?4, ?5 FROM "
            "lionpride_ready "
            "WHERE queue = ?1 AND due = 0 AND (priority, number) <= (?2, ?3)",
            (*last, worker, until),
        )
        self._db.execute(
            "DELETE FROM lionpride_ready WHERE queue = ? AND due = 0 AND (priority, number) <= "
            "(?, ?)",
            last,
        )
        self._count(PENDING, -len(found))
        self._count(PROCESSING, len(found))

    def lease(self, found: Sequence[ReadyRow], worker: str, until: float, start: bool) -> None:
        """Give a worker what ``next_of`` has found."""
        queue = self._queue
        self._db.executemany(
            f"INSERT INTO lionpride_lease (number, queue, due, priority, {STATE}, worker, "
            "leased_until) VALUES "
            f"(?, {queue}, {'0 * ?' if start else '?'}, ?, ? + 1, ?, {'0 * ?' if start else '?'}, "
            "?, ?, ?, ?, ?, ?, ?, ?)",
            [(*one, worker, until) for one in found],
        )
        self._db.executemany(
            "DELETE FROM lionpride_ready WHERE queue = ? AND due = ? AND priority = ? AND number "
            "= ?",
            [(queue, one[1], one[2], one[0]) for one in found],
        )
        self._count(PENDING, -len(found))
        self._count(PROCESSING, len(found))

    # -- leases ------------------------------------------------------------------------------

    def enlist(
        self,
        worker: str,
        process: tuple[str, int, str],
        node: str,
        now: float,
        until: float,
        about: str | None,
    ) -> None:
        """Register a worker.

        Args:
            worker: Its name.
            process: Host, id and start of its process.
            node: The name of its machine.
            now: The time.
            until: The time until which its leases hold.
            about: Its description, as JSON.
        """
        self._db.execute(
            "INSERT INTO lionpride_worker (name, queue, host, pid, process_start, heartbeat_at, "
            "started_at, machine, leases_until, description) "
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9) "
            "ON CONFLICT (name) DO UPDATE SET heartbeat_at = excluded.heartbeat_at, "
            "leases_until = excluded.leases_until, description = excluded.description",
            (worker, self._queue, *process, now, node, until, about),
        )

    def beat(self, worker: str, now: float, until: float, about: str | None) -> bool:
        """Write a heartbeat, which renews all leases of a worker; False if it is not registered."""
        self._db.execute(
            "UPDATE lionpride_worker SET heartbeat_at = ?, leases_until = ?, "
            "description = coalesce(?, description) WHERE name = ?",
            (now, until, about, worker),
        )
        return self._db.changes() > 0

    def discharge(self, worker: str) -> None:
        """Forget a worker."""
        self._db.execute("DELETE FROM lionpride_worker WHERE name = ?", (worker,))

    def first_lapsed(self, now: float) -> dict[str, float]:
        """Return the time at which the first lease of each worker lapsed, if any has."""
        query = (
            f"SELECT l.worker, min({HELD_UNTIL}) FROM lionpride_lease l WHERE l.queue = ?1 AND "
            f"l.leased_until > 0 AND l.leased_until < ?2 AND {HELD_UNTIL} < ?2 GROUP BY l.worker"
        )
        return dict(self._db.execute(query, (self._queue, now)))

    def lapsed(self, now: float, limit: int, keep: Sequence[str] = ()) -> list[LapsedLease]:
        """Return lapsed leases, except for those of some workers."""
        marks = ", ".join("?" * len(keep))
        rows = self._db.execute(
            f"SELECT number, priority, reserved, cancel_requested, {STATE} FROM lionpride_lease l "
            f"WHERE queue = ? AND leased_until < ? AND {HELD_UNTIL} < ? "
            f"AND worker NOT IN ({marks}) ORDER BY number LIMIT ?",
            (self._queue, now, now, *keep, limit),
        )
        return [LapsedLease(row[0], row[1], row[4:], row[2], bool(row[3])) for row in rows]

    def lapsed_of(self, workers: Collection[str], now: float) -> list[tuple[int, int]]:
        """Return the number and the attempt of each lapsed lease of some workers."""
        marks = ", ".join("?" * len(workers))
        rows: Any = self._db.execute(
            "SELECT number, attempt FROM lionpride_lease l WHERE queue = ? AND "
            f"leased_until < ? AND {HELD_UNTIL} < ? AND worker IN ({marks})",
            (self._queue, now, now, *workers),
        )
        return list(rows)

    def extend(self, number: int, attempt: int, until: float) -> int | None:
        """Renew a lease: whether a cancel is asked for; None if it is lost."""
        query = (
            "UPDATE lionpride_lease SET leased_until = ? WHERE number = ? AND attempt = ? "
            "RETURNING cancel_requested"
        )
        return self._db.execute(query, (until, number, attempt)).get  # type: ignore[no-any-return]

    # -- settling ----------------------------------------------------------------------------

    def end_leases(self, claims: Sequence[tuple[int, int]]) -> bool:
        """End leases by number and attempt; False if one was not there: then undo this."""
        by_attempt: dict[int, list[int]] = {}
        for number, attempt in claims:
            by_attempt.setdefault(attempt, []).append(number)
        return all(self.end_leases_of(numbers, each) for each, numbers in by_attempt.items())

    def end_leases_of(self, numbers: list[int], attempt: int) -> bool:
        """End leases of one attempt number; False if one was not there: then undo this."""
        delete = "DELETE FROM lionpride_lease WHERE attempt = ? AND number"
        if each_of(self._db, delete, numbers, attempt) != len(numbers):
            return False
        self._count(PROCESSING, -len(numbers))
        return True

    def has_ordered_endings(self) -> bool:
        """Whether ``order_endings`` has nothing to do: over a million it takes a second."""
        query = (
            "SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = 'lionpride_finished_order'"
        )
        return self._db.execute(query).get is not None

    def order_endings(self) -> None:
        """Have the endings in order of time, from now on; ``oldest`` would take for ever else."""
        self._db.execute(
            "CREATE INDEX IF NOT EXISTS lionpride_finished_order ON lionpride_finished (queue, "
            "status, finished_at)"
        )
