"""Resolves dependencies: the end of a parent releases its children, or cancels them.

A child that waits for its parents is *blocked*: it is due at infinity, so that no claim finds it.
Everything else that may happen to a pending event may happen to it.

The transaction that ends a parent changes no child. It inserts a row into ``parent_change``, and
only if children wait. ``resolve`` consumes these rows in transactions of its own: after such a
commit, and before a claim if there are any. So nothing is forgotten if a process dies.

**An append and the end of a parent at the same moment.** The append inserts a row as well, for each
parent that existed before. ``resolve`` then locks the parent's row in ``ready`` or ``lease``. If it
gets the lock, the parent can only end afterwards, by a statement that sees the new edge. If the
parent is in neither table, it has finished, and the edge is resolved now.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

from ...model.after import When
from ...model.execution import EventStatus
from ...rules.dependencies import after_removal, after_unmet, is_met
from ...rules.state_machine import Ending
from .backend import FinishedRow, ReadyRow, Transaction
from .codec import state_after_ending
from .dependencies import count_met, note_retried
from .operations import delete_finished, until_done
from .queries import as_uuid
from .rows import IS_BLOCKED, StateColumns

if TYPE_CHECKING:
    from .backend import Backend

__all__ = ("Resolved", "Resolver", "resolve")

MAX_CHANGES: Final = 1_000
"""Maximum number of changes, and of edges, that one transaction resolves."""

_CANCELLED: Final = EventStatus.CANCELLED.value


class Resolved(NamedTuple):
    """Result of ``resolve``: the children that have changed.

    Attributes:
        released: Children that may start, each with its earliest start; 0.0 for at once.
        cancelled: Children that are CANCELLED.
        waiting: Children that were CANCELLED and wait again.
        has_locked_ready: True if it locked a ready event, which a claim may have passed over.
        left: True if there is more to resolve.
        other_queues: The names of other queues whose children are to be resolved.
    """

    released: Sequence[tuple[int, float]] = ()
    cancelled: Sequence[int] = ()
    waiting: Sequence[int] = ()
    has_locked_ready: bool = False
    left: bool = False
    other_queues: Sequence[str] = ()


class _Parent(NamedTuple):
    """A parent that has finished, or that was removed while its child was appended.

    Attributes:
        number: Its number.
        id, kind, status: As recorded; None if it was removed.
        error, message: The class and the message of its error, if it is CANCELLED.
        following: The event that continues it; None if there is none.
    """

    number: int
    id: UUID | None = None
    kind: str = ""
    status: EventStatus = EventStatus.CANCELLED
    error: str | None = None
    message: str | None = None
    following: int | None = None

    def meets(self, when: When) -> bool:
        """Return True if its ending meets a condition."""
        return self.id is not None and is_met(when, self.status, self.error, self.message)

    def ending(self, when: When) -> Ending:
        """Return the outcome of a child whose condition it does not meet."""
        if self.id is None:
            return after_removal()
        return after_unmet(self.id, self.kind, self.status, when)


# -- statements --------------------------------------------------------------------------------

_CHANGES: Final = """
SELECT number, parent, is_retry FROM {parent_change} WHERE queue = $1 ORDER BY number LIMIT $2
"""
_DELETE_CHANGES: Final = "DELETE FROM {parent_change} WHERE number {in_1}"
_ALL_WAIT: Final = "UPDATE {parent_change} SET is_retry = false WHERE number {in_1} AND is_retry"
_OTHER_QUEUES: Final = """
SELECT DISTINCT q.name FROM {parent_change} c JOIN {queue} q ON q.number = c.queue
WHERE c.queue <> $1
"""
_LOCK_PARENTS: Final = """
SELECT number FROM {event} WHERE number {in_1} ORDER BY number {for_update}
"""
_ENDED: Final = """
SELECT f.number, n.next, e.id, e.event_type, f.status,
    CASE WHEN f.status = 'cancelled' THEN f.result END
FROM {finished} f {join} {event} e ON e.number = f.number
LEFT JOIN {continuation} n ON n.number = f.number WHERE f.number {in_1}
"""
_EDGES: Final = """
SELECT parent, child, condition FROM {dependency}
WHERE parent {in_1} AND queue = $2 AND met IS NULL ORDER BY parent, child LIMIT $3
"""
_SET_MET: Final = "UPDATE {dependency} SET met = true WHERE (parent, child) {pairs_1}"
_SET_UNMET: Final = "UPDATE {dependency} SET met = false WHERE (parent, child) {pairs_1}"
_DROP_DOUBLES: Final = """
DELETE FROM {dependency} WHERE parent = $1 AND queue = $2 AND met IS NULL
    AND child IN (SELECT d.child FROM {dependency} d WHERE d.parent = $3)
RETURNING child
"""
_FOLLOW: Final = """
UPDATE {dependency} SET parent = $3 WHERE parent = $1 AND queue = $2 AND met IS NULL
"""
_CHANGED: Final = "INSERT INTO {parent_change} (parent, queue) VALUES ($1, $2)"
_RELEASE: Final = f"""
UPDATE {{ready}} SET due = (SELECT c.due FROM {{child}} c WHERE c.number = {{ready}}.number)
WHERE number {{in_1}} AND queue = $2 AND {IS_BLOCKED}
RETURNING number, due
"""
_BLOCKED: Final = f"""
SELECT number FROM {{ready}} WHERE number {{in_1}} AND {IS_BLOCKED} ORDER BY number {{for_update}}
"""
_NOTE_CAUSE: Final = "UPDATE {child} SET cancelled_by = $2 WHERE number {in_1}"
_TO_RESET: Final = f"""
SELECT d.child, c.cancelled_by FROM {{dependency}} d {{join}} {{child}} c ON c.number = d.child
WHERE d.parent {{in_1}} AND d.queue = $2 AND d.met IS NOT NULL AND (c.cancelled_by IS NOT NULL
    OR EXISTS (SELECT 1 FROM {{ready}} WHERE number = d.child AND {IS_BLOCKED}))
ORDER BY d.child LIMIT $3
"""
_OLD_EDGES: Final = """
SELECT child, met FROM {dependency} WHERE parent {in_1} AND child {in_2} AND met IS NOT NULL
"""
_RESET: Final = """
UPDATE {dependency} SET met = NULL WHERE parent {in_1} AND child {in_2} AND met IS NOT NULL
"""
_OTHER_CAUSES: Final = """
SELECT child, min(parent) FROM {dependency} WHERE child {in_1} AND met = false GROUP BY child
"""
_PRIORITIES: Final = "SELECT number, priority FROM {event} WHERE number {in_1}"


# -- the operation -----------------------------------------------------------------------------


async def resolve(tx: Transaction) -> Resolved:
    """Resolve changes of parents for the children of this queue, at most ``MAX_CHANGES``.

    A repeat finds other changes, and returns the children of the earlier tries as well.

    Round trips on PostgreSQL: 3 if there is nothing to do; about 9 if children are released.
    """
    await tx.lock(f"dependencies {tx.queue}")
    result = await _resolve_changes(tx)
    if not result.left:
        names = await tx.rows(_OTHER_QUEUES, tx.queue)
        result = result._replace(other_queues=[name for (name,) in names])
    return _with_earlier(tx, result)


async def _resolve_changes(tx: Transaction) -> Resolved:
    """Resolve the oldest changes of parents for the children of this queue."""
    changes = [tuple(row) for row in await tx.rows(_CHANGES, tx.queue, MAX_CHANGES)]
    if not changes:
        return Resolved()
    numbers = [number for number, *_ in changes]
    parents = sorted({parent for _, parent, _ in changes})
    present = [number for (number,) in await tx.rows(_LOCK_PARENTS, parents)]
    retried = sorted({parent for _, parent, is_retry in changes if is_retry})
    waiting, is_cut = await _wait_again(tx, retried) if retried else ([], False)
    if is_cut:  # the parent may have finished again: no child is resolved before all wait
        return Resolved(waiting=waiting, left=True)
    ended, has_locked_ready = await _ended(tx, parents, present)
    ended, freed, is_followed = await _follow(tx, ended)
    released, cancelled, is_more = await _resolve_edges(tx, ended)
    if is_more:
        if retried:
            await tx.rows(_ALL_WAIT, numbers)
    else:
        await tx.rows(_DELETE_CHANGES, numbers)
    is_left = is_more or is_followed or len(changes) == MAX_CHANGES
    left = is_left or bool(waiting) or bool(cancelled)
    return Resolved([*freed, *released], cancelled, waiting, has_locked_ready, left)


def _with_earlier(tx: Transaction, result: Resolved) -> Resolved:
    """Return a result with the children of the earlier tries of the transaction."""
    for earlier in tx.earlier:
        result = result._replace(
            released=[*earlier.released, *result.released],
            cancelled=[*earlier.cancelled, *result.cancelled],
            waiting=[*earlier.waiting, *result.waiting],
        )
    return result


async def _ended(
    tx: Transaction, parents: Sequence[int], present: Collection[int]
) -> tuple[list[_Parent], bool]:
    """Return the parents that have finished, or were removed; and True if a ready one is locked.

    The others do not finish before the end of this transaction.
    """
    found: dict[int, _Parent | None] = {}
    has_locked_ready = False
    for left in until_done(sorted(present), found):
        for number, following, uid, kind, status, result in await tx.rows(_ENDED, left):
            error = (json.loads(result).get("error") if result else None) or {}
            ending = EventStatus(status), error.get("error"), error.get("message")
            found[number] = _Parent(number, as_uuid(uid), kind, *ending, following)
        if others := [number for number in left if number not in found]:
            ready, leased = await tx.lock_unfinished(others)
            has_locked_ready = has_locked_ready or bool(ready)
            found |= dict.fromkeys([*ready, *leased])
    removed = [_Parent(number) for number in set(parents).difference(present)]
    return [one for one in found.values() if one is not None] + removed, has_locked_ready


async def _follow(
    tx: Transaction, ended: Sequence[_Parent]
) -> tuple[list[_Parent], list[tuple[int, float]], bool]:
    """Let children wait for the continuations of their parents.

    Returns:
        The parents without a continuation, children that were released since they had waited for
        both, and True if children wait for other parents now.
    """
    released: list[tuple[int, float]] = []
    following = {one.number: one.following for one in ended if one.following is not None}
    for number, successor in sorted(following.items()):
        rows = await tx.rows(_DROP_DOUBLES, number, tx.queue, successor)
        released += await _release(tx, [child for (child,) in rows])
        await tx.rows(_FOLLOW, number, tx.queue, successor)
        await tx.rows(_CHANGED, successor, tx.queue)
    others = [one for one in ended if one.number not in following]
    return others, released, bool(following)


async def _resolve_edges(
    tx: Transaction, parents: Sequence[_Parent]
) -> tuple[list[tuple[int, float]], list[int], bool]:
    """Resolve edges of finished parents.

    Returns:
        The children that were released, those that were cancelled, and True if there are more.
    """
    by_number = {parent.number: parent for parent in parents}
    edges = await tx.rows(_EDGES, sorted(by_number), tx.queue, MAX_CHANGES) if by_number else []
    met, unmet = list[tuple[int, int]](), list[tuple[int, int]]()
    causes: dict[int, tuple[_Parent, When]] = {}
    for parent, child, when in edges:
        if by_number[parent].meets(when):
            met.append((parent, child))
        else:
            unmet.append((parent, child))
            causes.setdefault(child, (by_number[parent], when))
    if met:
        await tx.rows(_SET_MET, json.dumps(met))
    if unmet:
        await tx.rows(_SET_UNMET, json.dumps(unmet))
    released = await _release(tx, [child for _, child in met])
    cancelled = await _cancel(tx, causes)
    return released, cancelled, len(edges) == MAX_CHANGES


async def _release(tx: Transaction, children: Sequence[int]) -> list[tuple[int, float]]:
    """Count edges that are met, by their children, and release the children without any other."""
    if not (free := await count_met(tx, children)):
        return []
    return sorted(map(tuple, await tx.rows(_RELEASE, free, tx.queue)))


async def _cancel(tx: Transaction, causes: Mapping[int, tuple[_Parent, When]]) -> list[int]:
    """Cancel blocked children, of each of which a parent does not meet the condition."""
    if not causes:
        return []
    blocked = [number for (number,) in await tx.rows(_BLOCKED, sorted(causes))]
    rows = await tx.delete_ready(blocked) if blocked else []
    finished, by_parent = list[FinishedRow](), dict[int, list[int]]()
    for row in rows:
        parent, when = causes[row.number]
        by_parent.setdefault(parent.number, []).append(row.number)
        state = state_after_ending(parent.ending(when), row.state)
        finished.append(FinishedRow(row.number, _CANCELLED, state))
    await tx.insert_finished(finished)
    for number, children in by_parent.items():
        await tx.rows(_NOTE_CAUSE, children, number)
    return [row.number for row in rows]


async def _wait_again(tx: Transaction, parents: Sequence[int]) -> tuple[list[int], bool]:
    """Let children wait again for parents that were retried.

    A child that was cancelled for one of them, or for a parent that was removed, waits again,
    unless another parent does not meet its condition either. Then it stays CANCELLED for that one.
    A child that still waits for others waits for these parents as well.

    Returns:
        The children that were CANCELLED and wait again, and True if there may be more.
    """
    rows = [tuple(row) for row in await tx.rows(_TO_RESET, list(parents), tx.queue, MAX_CHANGES)]
    if not rows:
        return [], False
    children = sorted({child for child, _ in rows})
    edges = await tx.rows(_OLD_EDGES, list(parents), children)
    await tx.rows(_RESET, list(parents), children)
    await count_met(tx, (child for child, was_met in edges if was_met), by=-1)
    # The parent for which a child was cancelled may have been removed since.
    was_cancelled = sorted({child for child, cause in rows if cause is not None})
    causes = dict(map(tuple, await tx.rows(_OTHER_CAUSES, was_cancelled))) if was_cancelled else {}
    for child, cause in sorted(causes.items()):
        await tx.rows(_NOTE_CAUSE, [child], cause)
    returned = await _requeue_blocked(tx, [child for child in was_cancelled if child not in causes])
    if returned:
        await note_retried(tx, returned)
    return returned, len(rows) == MAX_CHANGES


async def _requeue_blocked(tx: Transaction, children: Sequence[int]) -> list[int]:
    """Return cancelled children to the queue, blocked."""
    if not children:
        return []
    priorities = dict(map(tuple, await tx.rows(_PRIORITIES, list(children))))
    ready = []
    for row in await delete_finished(tx, children, [_CANCELLED]):
        state: StateColumns = (row.attempt, 0, 0, 0, None, None, None, row.attempts, None)
        ready.append(ReadyRow(row.number, inf, priorities[row.number], state))
    await tx.insert_ready(ready)
    return [row.number for row in ready]


# -- when it is run ----------------------------------------------------------------------------


class Resolver:
    """Runs ``resolve`` for a store, one request at a time, until nothing is left.

    Args:
        backend: The database.
        show: Shows what has changed, after each commit.
    """

    def __init__(
        self, backend: Backend, show: Callable[[Resolved], Coroutine[Any, Any, Resolved]]
    ) -> None:
        self._backend = backend
        self._show = show
        self._request: asyncio.Future[Any] | None = None
        self._is_wanted = False
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def is_running(self) -> bool:
        """True if a request is running."""
        running = self._request
        return running is not None and running.get_loop() is asyncio.get_running_loop()

    def soon(self) -> None:
        """Resolve what was committed before this call, as soon as possible."""
        if self.is_running:
            self._is_wanted = True
        elif self._backend.is_open:
            self._start()

    def _start(self) -> None:
        self._is_wanted = False
        self._request = self._backend.run(resolve, self._show)
        self._request.add_done_callback(self._done)

    def _done(self, request: asyncio.Future[Any]) -> None:
        """Continue if there is more; a failed request is repeated by the next claim."""
        self._request = None
        is_failed = request.cancelled() or request.exception() is not None
        if not is_failed and (self._is_wanted or request.result().left) and self._backend.is_open:
            self._start()
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def idle(self) -> None:
        """Wait until no request is running: all earlier commits of this store are resolved."""
        if self.is_running:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
