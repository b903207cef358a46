"""Cancel, requeue, remove and prune events: each in one transaction, all or nothing.

If the answer to a commit is lost, the step is taken again, and the server may commit the first try
before, during or after that. So a step notes what each of its tries changed, and the next try
first finds out whether that was committed: it locks the same rows, which waits for the other
transaction, and it changes nothing for a second time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ...errors import NotFoundError, OperationError
from ...model.execution import TERMINAL, EventStatus
from ...rules.lifecycle import RETRYABLE, cancelled_while_waiting
from ..contract import Cancelled
from ..sql.columns import packed_ending
from ..sql.forms import PENDING, PROCESSING, STATE, State
from .link import Db
from .placing import count, finish, let_wait
from .reading import counts, standing

__all__ = ("Cancel", "Prune", "Remove", "Requeue", "Retain")

_RETRYABLE: Final = sorted(status.value for status in RETRYABLE)

_LEAVE: Final = f"""
DELETE FROM {{ready}} WHERE ctid = ANY(ARRAY(
    SELECT coalesce(r.place, d.ctid) FROM {{event}} e
    LEFT JOIN LATERAL (
        SELECT w.ctid AS place FROM {{ready}} w
        WHERE w.queue = e.queue AND w.due = 0 AND w.priority = e.priority AND w.number = e.number
        LIMIT 1
    ) r ON true
    LEFT JOIN {{ready}} d ON d.number = e.number AND d.due > 0
    WHERE e.number = ANY($1::bigint[]) AND e.queue = $2
    AND coalesce(r.place, d.ctid) IS NOT NULL
)) RETURNING number, {STATE}
"""
_REOPEN: Final = """
DELETE FROM {finished} f USING {event} e
WHERE f.number = ANY($1::bigint[]) AND f.queue = $2 AND f.status = ANY($3::text[])
    AND e.number = f.number
RETURNING f.number, f.status, f.attempt, f.attempts, e.priority, f.finished_at
"""
_ENDINGS: Final = """
SELECT number, attempt, finished_at FROM {finished} WHERE number = ANY($1::bigint[]) FOR UPDATE
"""
_LEFT: Final = "SELECT number FROM {event} WHERE number = ANY($1::bigint[]) FOR UPDATE"


async def _check_here(db: Db, numbers: Sequence[int]) -> dict[int, tuple[str, int]]:
    """How events of this queue stand.

    Raises:
        NotFoundError: if one is not here.
    """
    stands = await standing(db, numbers)
    for number in numbers:
        if number not in stands:
            raise NotFoundError(f"event {number} is not in this queue any more: it was removed")
    return stands


async def _left(db: Db, numbers: Collection[int]) -> set[int]:
    """Return which events have not been removed, after any transaction that removes them."""
    return {number for (number,) in await db.rows(_LEFT, list(numbers))} if numbers else set()


async def _leave(db: Db, queue: int, numbers: Sequence[int]) -> dict[int, State]:
    """Take out those that wait; the state of each."""
    rows = await db.rows(_LEAVE, list(numbers), queue)
    await count(db, queue, {PENDING: -len(rows)})
    return {number: tuple(state) for number, *state in rows}


@dataclass(slots=True)
class Cancel:
    """Cancel pending events; ask the workers of claimed events to cancel them.

    Attributes:
        numbers: The events.
        earlier: What earlier tries answered, which may have been committed.
    """

    numbers: Sequence[int]
    earlier: dict[int, Cancelled] = field(default_factory=dict)

    async def __call__(self, db: Db) -> list[Cancelled]:
        answers: dict[int, Cancelled] = {}
        async with db.transaction():
            queue = db.queue
            await _check_here(db, self.numbers)
            while left := [number for number in self.numbers if number not in answers]:
                answers |= await self._some(db, queue, left)
            self.earlier |= answers
        given: list[Cancelled] = []
        for number in self.numbers:
            given.append(answers[number])
            if answers[number] is Cancelled.DONE:
                answers[number] = Cancelled.SETTLED  # for whoever names it once more
        return given

    async def _some(self, db: Db, queue: int, numbers: Sequence[int]) -> dict[int, Cancelled]:
        """What it came to; nothing of one that was on its way from one place to another."""
        answers: dict[int, Cancelled] = {}
        ending, ended = cancelled_while_waiting(), []
        for number, state in (await _leave(db, queue, numbers)).items():
            ended.append((number, ending.status.value, 0.0, packed_ending(ending, state)))
            answers[number] = Cancelled.DONE
        await finish(db, queue, sorted(ended))
        left = [number for number in numbers if number not in answers]
        asked = await db.rows(
            "UPDATE {lease} SET cancel_requested = true WHERE number = ANY($1::bigint[]) "
            "RETURNING number",
            left,
        )
        answers |= {number: Cancelled.CLAIMED for (number,) in asked}
        for number, (status, _) in (await _check_here(db, left)).items():
            if status not in (PENDING, PROCESSING):
                is_cancelled = status == EventStatus.CANCELLED.value
                earlier = self.earlier.get(number) if is_cancelled else None
                answers.setdefault(number, earlier or Cancelled.SETTLED)
        return answers


@dataclass(slots=True)
class Requeue:
    """Let ended events wait again.

    Attributes:
        numbers: The events.
        earlier: The endings that earlier tries removed, which may have been committed: of each
            event, its attempt and when it ended.
    """

    numbers: Sequence[int]
    earlier: dict[int, tuple[int, float]] = field(default_factory=dict)

    async def __call__(self, db: Db) -> None:
        async with db.transaction():
            queue = db.queue
            await _check_here(db, self.numbers)
            numbers = await self._to_reopen(db)
            rows = await db.rows(_REOPEN, numbers, queue, _RETRYABLE)
            if len(rows) < len(numbers):
                await self._refuse(db, numbers, {row[0] for row in rows})
            back = []
            for number, _, attempt, attempts, priority, ended in sorted(rows):
                anew: State = (attempt, 0, 0, 0, None, None, None, attempts, None)
                back.append((0.0, priority, number, anew))
                self.earlier[number] = attempt, ended
            await let_wait(db, queue, back)
            before = Counter(row[1] for row in rows)
            await count(db, queue, {status: -n for status, n in before.items()})

    async def _to_reopen(self, db: Db) -> list[int]:
        """Return the events that no earlier try has reopened; they may have ended again since."""
        if not self.earlier:
            return list(self.numbers)
        rows = await db.rows(_ENDINGS, list(self.earlier))
        endings = {number: (attempt, ended) for number, attempt, ended in rows}
        return [n for n in self.numbers if self.earlier.get(n) == endings.get(n)]

    async def _refuse(self, db: Db, numbers: Sequence[int], reopened: set[int]) -> None:
        number = next(number for number in numbers if number not in reopened)
        status, _ = (await standing(db, [number])).get(number, ("removed", 0))
        raise OperationError(
            f"a {status} event cannot be retried, only one of {', '.join(_RETRYABLE)}: "
            "append event.as_fresh_event() to run it again"
        )


@dataclass(slots=True)
class Halt:
    """Let nothing of the queue be claimed before a time."""

    until: float

    async def __call__(self, db: Db) -> None:
        await db.run("UPDATE {queue} SET paused_until = $2 WHERE number = $1", db.queue, self.until)


@dataclass(slots=True)
class Remove:
    """Remove events that no worker has.

    Attributes:
        numbers: The events.
        earlier: Those that earlier tries removed, which may have been committed.
    """

    numbers: Sequence[int]
    earlier: set[int] = field(default_factory=set)

    async def __call__(self, db: Db) -> None:
        async with db.transaction():
            queue = db.queue
            removed = self.earlier - await _left(db, self.earlier)
            numbers = [number for number in self.numbers if number not in removed]
            await _check_here(db, numbers)
            waited = await _leave(db, queue, numbers)
            gone = await _forget(db, queue, [n for n in numbers if n not in waited])
            for number in numbers:
                if number not in waited and number not in gone:
                    raise OperationError(
                        f"event {number} is running: cancel it, and remove it when it has ended"
                    )
            await _forget_events(db, numbers)
            self.earlier.update(numbers)


async def _forget(db: Db, queue: int, numbers: Sequence[int]) -> set[int]:
    """Take endings off the record; the numbers of those that were there."""
    query = "DELETE FROM {finished} WHERE number = ANY($1::bigint[]) RETURNING number, status"
    rows = await db.rows(query, list(numbers))
    gone = Counter(status for _, status in rows)
    await count(db, queue, {status: -n for status, n in gone.items()})
    return {number for number, _ in rows}


async def _forget_events(db: Db, numbers: Sequence[int]) -> None:
    await db.run("DELETE FROM {event} WHERE number = ANY($1::bigint[])", list(numbers))


_OLDEST: Final = """
SELECT finished_at, number FROM {finished} WHERE queue = $1 AND status = $2 AND finished_at < $3
ORDER BY finished_at, number LIMIT $4 FOR UPDATE SKIP LOCKED
"""


async def _oldest(db: Db, queue: int, status: str, limit: int, before: float) -> list[Any]:
    return await db.rows(_OLDEST, queue, status, before, limit)


@dataclass(slots=True)
class Prune:
    """Remove ended events, of each status the oldest endings first; their numbers.

    Attributes:
        statuses: Which.
        limit: How many at most.
        earlier: Those that the last try removed, which may have been committed.
    """

    statuses: Sequence[str]
    limit: int
    earlier: list[int] = field(default_factory=list)

    async def __call__(self, db: Db) -> list[int]:
        gone: list[int] = []
        async with db.transaction():
            queue = db.queue
            if self.earlier and not await _left(db, self.earlier):
                return self.earlier
            for status in self.statuses:
                if len(gone) < self.limit:
                    rows = await _oldest(db, queue, status, self.limit - len(gone), float("inf"))
                    gone += [number for _, number in rows]
            await _forget(db, queue, gone)
            await _forget_events(db, gone)
            self.earlier = gone
        return gone


@dataclass(slots=True)
class Retain:
    """Remove the oldest endings beyond those that are to be kept; their numbers.

    Attributes:
        keep: How many endings stay; None: any number.
        age: Those that ended less than so many seconds ago stay; None: whenever they ended.
        limit: How many are removed at most.
        earlier: Those that the last try removed, which may have been committed.
    """

    keep: int | None
    age: float | None
    limit: int
    earlier: list[int] = field(default_factory=list)

    async def __call__(self, db: Db) -> list[int]:
        async with db.transaction():
            queue, limit, before = db.queue, self.limit, float("inf")
            if self.earlier and not await _left(db, self.earlier):
                return self.earlier
            if self.keep is not None:
                now = await counts(db)
                limit = min(limit, sum(now[each] for each in TERMINAL) - self.keep)
            if self.age is not None:
                before = await db.value("SELECT {now} - $2", db.now, self.age)
            if limit <= 0:
                return []
            oldest: list[Any] = []
            for status in EventStatus:
                if status in TERMINAL:
                    oldest += await _oldest(db, queue, status.value, limit, before)
            gone = [number for _, number in sorted(map(tuple, oldest))[:limit]]
            await _forget(db, queue, gone)
            await _forget_events(db, gone)
            self.earlier = gone
        return gone
