"""Primitives of the SQL operations on SQLite; see ``sql.backend``. None of them suspends."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ..sql.appending import insert_states
from ..sql.backend import FinishedRow, Location, ReadyRow, Transaction, run
from ..sql.codec import full_row
from ..sql.operations import Expired, expire
from ..sql.rows import (
    PENDING,
    PROCESSING,
    STATE,
    AppendRow,
    EventRow,
    KnownEvent,
    SettlementRow,
)
from .hot_append import insert_events, make_ready
from .rows import CONTAINER, Rows
from .statements import as_argument, fill

__all__ = ("Clocks", "OperationStep", "SqliteTransaction", "expire_late")

_LEASE: Final = f"""
INSERT INTO lionpride_lease
    (number, queue, due, priority, {STATE}, worker, leased_until, reserved)
VALUES (?, ?, ?, ?, {", ".join("?" * (STATE.count(",") + 1))}, ?, ?, ?)
"""
_DELETE_READY: Final = """
DELETE FROM lionpride_ready WHERE queue = ? AND due = ? AND priority = ? AND number = ?
"""


_DELETE_THESE: Final = f"""
DELETE FROM {{ready}} WHERE queue = $2 AND (due, priority, number) IN (
    SELECT w.due, w.priority, w.number FROM {{event}} e CROSS JOIN {{ready}} w
    WHERE e.number {{in_1}} AND e.queue = $2
        AND w.queue = $2 AND w.due = 0 AND w.priority = e.priority AND w.number = e.number
    UNION ALL
    SELECT due, priority, number FROM {{ready}} INDEXED BY lionpride_ready_later
    WHERE due > 0 AND number {{in_1}}
) RETURNING number, due, priority, {STATE}
"""


_END_LEASES: Final = """
DELETE FROM {lease}
WHERE number IN (SELECT value ->> 0 FROM json_each($1))
    AND (number, attempt) IN (SELECT value ->> 0, value ->> 1 FROM json_each($1))
    AND NOT (cancel_requested AND number {in_2})
RETURNING number, attempt
"""


class Clocks(NamedTuple):
    """The clocks of a store; they are called in other threads, too.

    Attributes:
        due: The time for scheduled and expiring events, and for limits.
        lease: The time for leases.
        finished: A time for finished events; each is later than the last one.
    """

    due: Callable[[], float]
    lease: Callable[[], float]
    finished: Callable[[], float]


class SqliteTransaction:
    """See ``sql.backend.Transaction``. The caller holds the write lock, and commits.

    Args:
        rows: The tables, inside a transaction.
        clocks: The clocks.
    """

    container: Final = CONTAINER

    def __init__(self, rows: Rows, clocks: Clocks) -> None:
        self._db = rows.connection
        self._clocks = clocks
        self.queue = rows.queue
        self.earlier: Sequence[Any] = ()  # a commit without an answer is not repeated here
        self.count = rows.count
        self.is_first_try = True
        self.is_repeat = False
        self._rows = rows

    @property
    def time(self) -> float:
        return self._clocks.due()

    @property
    def lease_time(self) -> float:
        return self._clocks.lease()

    async def rows(self, statement: str, *arguments: Any) -> list[Any]:
        bound = map(as_argument, arguments)
        return self._db.execute(fill(statement), tuple(bound)).fetchall()

    async def many(self, statement: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        self._db.executemany(fill(statement), arguments)

    async def counts(self) -> dict[str, int]:
        return self._rows.counts()

    async def locate(self, numbers: Sequence[int]) -> dict[int, Location]:
        return self._rows.locate(numbers)

    def resolve_later(self) -> None:
        """Do nothing: each commit looks for changes of parents."""

    async def lock_unfinished(self, numbers: Sequence[int]) -> tuple[list[int], list[int]]:
        found = self._rows.locate(numbers)  # the write lock excludes all other transactions
        ready = [number for number, place in found.items() if place.status == PENDING]
        return ready, [number for number, place in found.items() if place.status == PROCESSING]

    async def delete_ready(self, numbers: Sequence[int]) -> list[ReadyRow]:
        found = await self.rows(_DELETE_THESE, list(numbers), self.queue)
        self.count(PENDING, -len(found))
        return sorted(ReadyRow(row[0], row[1], row[2], row[3:]) for row in found)

    async def insert_ready(self, rows: Sequence[ReadyRow]) -> None:
        self._rows.insert_ready(rows)

    async def insert_finished(self, rows: Sequence[FinishedRow]) -> None:
        now = self._clocks.finished
        self._rows.insert_finished(
            [one if one.finished_at else one._replace(finished_at=now()) for one in rows]
        )

    async def settle(self, settlings: Sequence[SettlementRow]) -> list[tuple[int, int]]:
        tokens = [one[:2] for one in settlings]
        pending = [one[0] for one in settlings if one[2] == PENDING]
        ended = set(await self.rows(_END_LEASES, tokens, pending))
        self.count(PROCESSING, -len(ended))
        ready, finished = [], []
        for number, attempt, status, due, at, priority, state in settlings:
            assert state is not None, "only the owner of a lease settles it"
            if (number, attempt) not in ended:
                continue
            if status == PENDING:
                ready.append(ReadyRow(number, due, priority, state))
            else:
                finished.append(FinishedRow(number, status, state, at))
        await self.insert_ready(ready)
        await self.insert_finished(finished)
        return list(ended)

    async def lock(self, *names: str) -> None:
        """Do nothing: the write lock excludes all other transactions."""

    async def known(self, ids: Sequence[bytes]) -> dict[bytes, KnownEvent]:
        return self._rows.known(ids)

    async def insert_events(self, rows: Sequence[AppendRow]) -> Sequence[int]:
        if not isinstance(rows[0], EventRow):
            numbers = insert_events(self._rows, rows)  # type: ignore[arg-type]
            make_ready(self._rows)
            return numbers
        events = [full_row(row) for row in rows]
        numbers = self._rows.insert_events(events)
        await insert_states(self, numbers, events)
        return numbers

    async def claim(
        self,
        chosen: Sequence[ReadyRow],
        worker: str,
        seconds: float,
        *,
        start: bool,
        reserved: Mapping[int, str],
    ) -> list[ReadyRow]:
        queue, until = self.queue, self._clocks.lease() + seconds
        leases = []
        for one in chosen:
            attempt, tries, denials, *state = one.state
            due, denials = (0.0, 0) if start else (one.due, denials)
            before = one.number, queue, due, one.priority, attempt + 1, tries, denials, *state
            leases.append((*before, worker, until, reserved.get(one.number)))
        self._db.executemany(_LEASE, leases)
        places = [(queue, one.due, one.priority, one.number) for one in chosen]
        self._db.executemany(_DELETE_READY, places)
        self.count(PENDING, -len(chosen))
        self.count(PROCESSING, len(chosen))
        return list(chosen)


@dataclass(frozen=True, slots=True)
class OperationStep:
    """Runs an operation as a step of a batch.

    Attributes:
        work: The operation.
        clocks: The clocks of the store.
        is_usage: True if it changes the usage of limits by an attempt, which may be settled in the
            same batch: it goes first.
        is_prune: True if it reads finished events in the order of their ends.
    """

    work: Callable[[Transaction], Coroutine[Any, Any, Any]]
    clocks: Clocks
    is_usage: bool = False
    is_prune: bool = False

    def __call__(self, rows: Rows) -> Any:
        if self.is_prune:
            rows.order_endings()
        return run(self.work(SqliteTransaction(rows, self.clocks)))


def expire_late(rows: Rows, clocks: Clocks, now: float) -> Expired:
    """Finish events that have expired by a time; mostly there are none."""
    first = rows.next_expiry()
    if first is None or first > now:
        return Expired([], first)
    return run(expire(SqliteTransaction(rows, clocks)))
