"""Operations of the SQL stores, each written once; see ``sql.backend`` for their rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, Final, NamedTuple

from ...errors import NotFoundError, OperationError
from ...model.execution import TERMINAL, EventStatus
from ...rules.action import Action
from ...rules.state_machine import RETRYABLE, cancelled_while_waiting
from ..contract import Cancelled, Settled
from .actions import delete_actions, note_action
from .backend import FinishedRow, Location, ReadyRow, Transaction
from .codec import cancelled_row, state_after_ending, state_after_expiry
from .dependencies import check_no_children, delete_edges, given_children_that_wait, note_retried
from .rows import PENDING, PROCESSING, SettlementRow, StateColumns

__all__ = (
    "EXPIRE",
    "Expired",
    "cancel",
    "cancel_results",
    "delete_finished",
    "expire",
    "pause",
    "prune",
    "remove",
    "retain",
    "retry",
    "settle",
    "until_done",
)

MAX_ROUNDS: Final = 100
"""Searches for events that move between tables while an operation runs, before it gives up."""

EXPIRE: Final = 500
"""Maximum number of events that one operation expires: the event loop waits meanwhile."""

_CANCELLED: Final = EventStatus.CANCELLED.value
_RETRYABLE: Final = sorted(status.value for status in RETRYABLE)
_TERMINAL: Final = [status.value for status in EventStatus if status in TERMINAL]


# -- statements --------------------------------------------------------------------------------

_LOCK_EVENTS: Final = """
SELECT number, priority FROM {event} WHERE number {in_1} AND queue = $2
ORDER BY number {for_update}
"""
_EXISTING: Final = "SELECT number FROM {event} WHERE number {in_1} ORDER BY number {for_update}"
_DELETE_EVENTS: Final = "DELETE FROM {event} WHERE number {in_1}"
_REQUEST_CANCEL: Final = """
UPDATE {lease} SET cancel_requested = true WHERE number IN (
    SELECT number FROM {lease} WHERE number {in_1} ORDER BY number {for_update}
) RETURNING number
"""
_ENDINGS: Final = "SELECT number, attempt, finished_at FROM {finished} WHERE number {in_1}"
_DELETE_FINISHED: Final = """
DELETE FROM {finished} WHERE number IN (
    SELECT number FROM {finished} WHERE number {in_1} AND status {in_2}
    ORDER BY number {for_update}
) RETURNING number, status, attempt, attempts, finished_at
"""
_OLDEST: Final = """
SELECT finished_at, number FROM {finished} WHERE queue = $1 AND status = $2 AND finished_at < $3
    AND NOT EXISTS (SELECT 1 FROM {dependency} d WHERE d.parent = {finished}.number
        AND NOT EXISTS (SELECT 1 FROM {finished} c WHERE c.number = d.child))
ORDER BY finished_at, number LIMIT $4
"""
_EXPIRED: Final = """
SELECT number FROM {ready}
WHERE queue = $2 AND expires IS NOT NULL AND expires <= (SELECT {now})
ORDER BY expires, number LIMIT $3 {skip_locked}
"""
_NEXT_EXPIRY: Final = """
SELECT expires FROM {ready} WHERE queue = $1 AND expires IS NOT NULL ORDER BY expires LIMIT 1
"""
_LOCK_QUEUE: Final = "SELECT number FROM {queue} WHERE number = $1 {for_update}"
_PAUSE: Final = """
UPDATE {queue} SET paused_until = $3, paused_by = $4, paused_at = {now} WHERE number = $2
"""


# -- events that are named ---------------------------------------------------------------------


async def cancel(
    tx: Transaction, numbers: Sequence[int], action: Action | None = None
) -> dict[int, Cancelled]:
    """Cancel ready events, and request it of the workers that run the others.

    A repeat returns what an earlier try returned for an event that is CANCELLED by now.

    Round trips on PostgreSQL: 6 (events, ready, finished, leases, locations, counters), and 2 for
    an action. If an event moves at the same time, the operation looks again.

    Args:
        tx: The transaction.
        numbers: The events.
        action: Who asks for it.

    Raises:
        NotFoundError: if an event is not in this queue; nothing is changed then.
    """
    await _lock(tx, numbers)
    results: dict[int, Cancelled] = {}
    order = {number: at for at, number in enumerate(reversed(numbers))}
    for left in until_done(numbers, results):
        ending = cancelled_while_waiting()
        ready = await tx.delete_ready(left)
        ready.sort(key=lambda row: -order[row.number])  # they finish in the order of the request
        await tx.insert_finished(
            [FinishedRow(r.number, _CANCELLED, state_after_ending(ending, r.state)) for r in ready]
        )
        results |= {row.number: Cancelled.DONE for row in ready}
        if others := _without(left, results):
            leased = await tx.rows(_REQUEST_CANCEL, others)
            results |= {number: Cancelled.CLAIMED for (number,) in leased}
        for number, location in (await tx.locate(_without(left, results))).items():
            if location.status not in (PENDING, PROCESSING):
                is_cancelled = location.status == _CANCELLED
                earlier = _earlier_result(tx, number) if is_cancelled else None
                results[number] = earlier or Cancelled.SETTLED
    open_ones = [n for n, result in results.items() if result is not Cancelled.SETTLED]
    await note_action(tx, open_ones, action)
    return results


def _earlier_result(tx: Transaction, number: int) -> Cancelled | None:
    """Return the result of an earlier try that has cancelled an event, or requested it."""
    found = [results[number] for results in tx.earlier if number in results]
    return found[-1] if found else None


def cancel_results(numbers: Sequence[int], results: Mapping[int, Cancelled]) -> list[Cancelled]:
    """Return the results of ``cancel`` in the order of the numbers.

    If a number is given twice, the second one finds the event finished.
    """
    seen: set[int] = set()
    ordered = []
    for number in numbers:
        is_again = number in seen and results[number] is Cancelled.DONE
        ordered.append(Cancelled.SETTLED if is_again else results[number])
        seen.add(number)
    return ordered


class EndedRow(NamedTuple):
    """The end of an event: attempt number and time."""

    attempt: int
    finished_at: float


async def retry(
    tx: Transaction, numbers: Sequence[int], action: Action | None = None
) -> dict[int, EndedRow]:
    """Make finished events ready again, with their counters at zero.

    Args:
        tx: The transaction.
        numbers: The events.
        action: Who asks for it.

    Returns:
        The ending of each event that it undid. A repeat finds out by them which events an earlier
        try has retried, even if they have finished again, and leaves those as they are.

    Children that were cancelled for these events wait again after the next ``resolve``, also if
    they are given.

    Round trips on PostgreSQL: 7 (events, causes, finished, ready, dependencies, counters), and 2
    for an action.

    Raises:
        NotFoundError: if an event is not in this queue; nothing is changed then.
        OperationError: if the status of an event is final; nothing is changed then.
    """
    priorities = await _lock(tx, numbers)
    endings = await _retried(tx)
    left = _without(numbers, {*endings, *await given_children_that_wait(tx, numbers)})
    rows = await delete_finished(tx, left, _RETRYABLE) if left else []
    if len(rows) < len(left):
        await _refuse_retry(tx, _without(left, {row.number for row in rows}))
    ready = []
    for row in rows:
        state: StateColumns = (row.attempt, 0, 0, 0, None, None, None, row.attempts, None)
        ready.append(ReadyRow(row.number, 0.0, priorities[row.number], state))
    await tx.insert_ready(ready)
    await note_retried(tx, [row.number for row in rows])
    await note_action(tx, numbers, action)
    return endings | {row.number: EndedRow(row.attempt, row.finished_at) for row in rows}


async def _retried(tx: Transaction) -> dict[int, EndedRow]:
    """Return the endings that an earlier try undid, if it was committed."""
    undone: dict[int, EndedRow] = {}
    for endings in tx.earlier:
        undone |= endings
    if not undone:
        return {}
    now = {row[0]: EndedRow(*row[1:]) for row in await tx.rows(_ENDINGS, list(undone))}
    return {number: one for number, one in undone.items() if now.get(number) != one}


async def _refuse_retry(tx: Transaction, numbers: Sequence[int]) -> None:
    number = numbers[0]
    location = (await tx.locate([number])).get(number)
    status = "removed" if location is None else location.status
    raise OperationError(
        f"a {status} event cannot be retried, only one of {', '.join(_RETRYABLE)}: "
        "append event.as_fresh_event() to run it again"
    )


async def remove(tx: Transaction, numbers: Sequence[int]) -> frozenset[int]:
    """Remove events that no worker runs.

    Returns:
        Their numbers. A repeat leaves out of its checks those that an earlier try has removed.

    Round trips on PostgreSQL: 10 (events, children, ready, finished, events, edges, actions,
    counters).

    Raises:
        NotFoundError: if an event is not in this queue; nothing is changed then.
        OperationError: if an event is running, or an unfinished child waits for it; nothing is
            changed then.
    """
    removed = await _gone(tx, {number for each in tx.earlier for number in each})
    wanted = _without(numbers, removed)
    await _lock(tx, wanted)
    await check_no_children(tx, wanted)
    done: dict[int, object] = {}
    for left in until_done(wanted, done):
        done |= dict.fromkeys(row.number for row in await tx.delete_ready(left))
        if others := _without(left, done):
            done |= dict.fromkeys(row.number for row in await delete_finished(tx, others))
        for number, location in (await tx.locate(_without(left, done))).items():
            if location.status == PROCESSING:
                raise OperationError(
                    f"event {number} is running: cancel it, and remove it when it has ended"
                )
    await tx.rows(_DELETE_EVENTS, list(done))
    await delete_edges(tx, list(done))
    await delete_actions(tx, list(done))
    return frozenset(numbers)


async def _lock(tx: Transaction, numbers: Sequence[int]) -> dict[int, float]:
    """Lock events against other operations and return the priority of each.

    Raises:
        NotFoundError: if one is not in this queue.
    """
    priorities = dict(map(tuple, await tx.rows(_LOCK_EVENTS, list(numbers), tx.queue)))
    for number in numbers:
        if number not in priorities:
            raise NotFoundError(f"event {number} is not in this queue any more: it was removed")
    return priorities


async def _gone(tx: Transaction, numbers: Collection[int]) -> set[int]:
    """Return those events that were removed, after any transaction that is removing them."""
    if not numbers:
        return set()
    return set(numbers) - {number for (number,) in await tx.rows(_EXISTING, list(numbers))}


def until_done(numbers: Sequence[int], done: Mapping[int, object]) -> Iterator[list[int]]:
    """Yield the events that are not done, until all are.

    An event may move from one table to another between two statements, as claims and settlements
    do not wait for this operation. So it is looked for again.

    Raises:
        OperationError: if an event moves all the time.
    """
    for _ in range(MAX_ROUNDS):
        if not (left := sorted(set(numbers) - done.keys())):
            return
        yield left
    number = min(set(numbers) - done.keys())
    raise OperationError(f"event {number} changes its status all the time: try again")


def _without(numbers: Iterable[int], done: Collection[int]) -> list[int]:
    return [number for number in numbers if number not in done]


class _Finished(NamedTuple):
    """A row that was deleted from ``finished``."""

    number: int
    status: str
    attempt: int
    attempts: str | None
    finished_at: float


async def delete_finished(
    tx: Transaction, numbers: Sequence[int], statuses: Sequence[str] = _TERMINAL
) -> list[_Finished]:
    """Delete rows of finished events and return those that were deleted, by number."""
    found = await tx.rows(_DELETE_FINISHED, list(numbers), list(statuses))
    rows = sorted(_Finished(*row) for row in found)
    for row in rows:
        tx.count(row.status, -1)
    return rows


# -- finished events that are deleted ----------------------------------------------------------


async def prune(
    tx: Transaction, statuses: Sequence[str], limit: int, before: float = inf
) -> list[int]:
    """Remove finished events: of each status the oldest first; ties go by number.

    Parents with unfinished children stay.

    Args:
        tx: The transaction.
        statuses: The statuses.
        limit: Maximum number of events to remove.
        before: Only events that finished before this Unix time.

    Returns:
        Their numbers. A repeat returns those of the earlier try if it was committed.

    Round trips on PostgreSQL: 8 (events, finished, events, edges, actions, counters), and one for
    each status.
    """
    if (earlier := await _pruned(tx)) is not None:
        return earlier
    gone: list[int] = []
    while wanted := limit - len(gone):
        oldest: list[int] = []
        for status in statuses:
            if left := wanted - len(oldest):
                found = await tx.rows(_OLDEST, tx.queue, status, before, left)
                oldest += [number for _, number in found]
        gone += await _delete(tx, oldest)
        if len(oldest) < wanted:
            break
    return gone


async def retain(tx: Transaction, keep: int | None, age: float | None, limit: int) -> list[int]:
    """Remove the oldest finished events beyond those to keep.

    Args:
        tx: The transaction.
        keep: Number of finished events that stay; None for any number.
        age: Seconds after the end for which an event stays; None for any time.
        limit: Maximum number of events to remove.

    Returns:
        Their numbers. A repeat returns those of the earlier try if it was committed.

    Round trips on PostgreSQL: 16 (the queue, counts or time, the oldest of each status, then as
    ``prune``).
    """
    if (before := await _pruned(tx)) is not None:
        return before
    await tx.rows(_LOCK_QUEUE, tx.queue)  # two processes must not both remove the excess
    since = inf
    if keep is not None:
        counts = await tx.counts()
        limit = min(limit, sum(counts[status] for status in _TERMINAL) - keep)
    if age is not None:
        ((now,),) = await tx.rows("SELECT {now}", tx.lease_time)
        since = now - age
    if limit <= 0:
        return []
    oldest: list[Any] = []
    for status in _TERMINAL:
        oldest += map(tuple, await tx.rows(_OLDEST, tx.queue, status, since, limit))
    return await _delete(tx, [number for _, number in sorted(oldest)[:limit]])


async def _pruned(tx: Transaction) -> list[int] | None:
    """Return what an earlier try removed, if it was committed; None if there is none."""
    for numbers in tx.earlier:
        if numbers and len(await _gone(tx, numbers)) == len(numbers):
            return list(numbers)
    return None


async def _delete(tx: Transaction, numbers: Sequence[int]) -> list[int]:
    """Remove finished events and return those that were removed, in the given order."""
    if not numbers:
        return []
    await tx.rows(_LOCK_EVENTS, list(numbers), tx.queue)
    gone = {row.number for row in await delete_finished(tx, numbers)}
    await tx.rows(_DELETE_EVENTS, sorted(gone))
    await delete_edges(tx, sorted(gone))
    await delete_actions(tx, sorted(gone))
    return [number for number in numbers if number in gone]


# -- events that expire ------------------------------------------------------------------------


class Expired(NamedTuple):
    """Result of ``expire``.

    Attributes:
        numbers: The events that have finished since they were not started in time.
        next: The earliest time at which another event may expire; None if there is none.
    """

    numbers: list[int]
    next: float | None

    def leaves(self, now: float) -> bool:
        """Return True if more events have expired by this time."""
        return self.next is not None and self.next <= now


async def expire(tx: Transaction) -> Expired:
    """Finish events that were not started in time: at most ``EXPIRE``, those of the past first.

    It skips events that another transaction has locked: a later call finds them. A repeat also
    returns the events that an earlier try has finished.

    Round trips on PostgreSQL: 2; 5 if there are any.
    """
    found = await tx.rows(_EXPIRED, tx.time, tx.queue, EXPIRE)
    numbers = [number for (number,) in found]
    if numbers:
        states = {row.number: row.state for row in await tx.delete_ready(numbers)}
        numbers = [number for number in numbers if number in states]
        ended = [FinishedRow(number, *state_after_expiry(states[number])) for number in numbers]
        await tx.insert_finished(ended)
    following = await tx.rows(_NEXT_EXPIRY, tx.queue)
    before = [number for each in tx.earlier for number in each.numbers if number not in numbers]
    if before:
        places = await tx.locate(before)
        numbers += [number for number, place in places.items() if place.status in _TERMINAL]
    return Expired(numbers, following[0][0] if following else None)


# -- outcomes of claims ------------------------------------------------------------------------


async def settle(tx: Transaction, settlings: Sequence[SettlementRow]) -> list[Settled]:
    """Record outcomes of claims, each if its lease still has this attempt number.

    An event that would be PENDING again is CANCELLED if a cancel of the claim was requested. Of
    several outcomes of one attempt the first one counts.

    If an earlier try may have recorded it, a repeat returns APPLIED or CANCELLED, not REPLAYED.

    Round trips on PostgreSQL: 1; 3 if leases are lost or to be cancelled. It needs no transaction,
    since each outcome stands for itself.
    """
    first: dict[tuple[int, int], int] = {}
    for at, one in enumerate(settlings):
        if one[6] is not None:
            first.setdefault(one[:2], at)
    answers = await _settle(tx, settlings, first.values(), Settled.APPLIED)
    back = [at for at in first.values() if at not in answers and settlings[at][2] == PENDING]
    if back:
        unwanted = {at: cancelled_row(settlings[at]) for at in back}
        answers |= await _settle(tx, unwanted, back, Settled.CANCELLED)
    if left := [at for at in range(len(settlings)) if at not in answers]:
        places = await tx.locate([settlings[at][0] for at in left])
        for at in left:
            may_be_earlier = tx.is_repeat and first.get(settlings[at][:2]) == at
            answers[at] = _on_record(settlings[at], places, may_be_earlier)
    return [answers[at] for at in range(len(settlings))]


async def _settle(
    tx: Transaction, settlings: Any, which: Collection[int], answer: Settled
) -> dict[int, Settled]:
    """Record some outcomes; return the answer for those that were recorded, by index."""
    if not which:
        return {}
    done = set(await tx.settle([settlings[at] for at in which]))
    return {at: answer for at in which if settlings[at][:2] in done}


def _on_record(one: SettlementRow, places: Mapping[int, Location], may_be_earlier: bool) -> Settled:
    """Return the answer for an outcome that was not recorded now."""
    number, attempt, status, *_ = one
    place = places.get(number)
    if place == (status, attempt):
        return Settled.APPLIED if may_be_earlier else Settled.REPLAYED
    if status == PENDING and place == (_CANCELLED, attempt):
        return Settled.CANCELLED if may_be_earlier else Settled.REPLAYED
    return Settled.FENCED


# -- the queue ---------------------------------------------------------------------------------


async def pause(tx: Transaction, until: float, by: str | None) -> None:
    """Make no claims before a time, whatever was asked for before. A repeat does the same.

    Round trips on PostgreSQL: 1.

    Args:
        tx: The transaction.
        until: The time, a Unix timestamp in seconds.
        by: Who asks for it; None for no name.
    """
    await tx.rows(_PAUSE, tx.time, tx.queue, until, by)
