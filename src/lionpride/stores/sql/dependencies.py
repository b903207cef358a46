"""Edges between parents and children, as appends, retries and removals write them.

``sql.resolving`` decides what the end of a parent means for its children.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from ...errors import NotFoundError, OperationError
from ...model.after import After
from ...model.execution import EventStatus
from ...rules.dependencies import cause_on_record, continuation_cycle, is_cancelled_for_parent
from .codec import full_row
from .queries import as_uuid
from .rows import IS_BLOCKED, PENDING, PROCESSING, AppendRow, EventRow

if TYPE_CHECKING:
    from .backend import Transaction

__all__ = (
    "blocked",
    "check_continuation",
    "check_no_children",
    "continuations",
    "continue_event",
    "count_met",
    "delete_edges",
    "given_children_that_wait",
    "insert_continuations",
    "insert_dependencies",
    "last_continuation",
    "locate_parents",
    "note_retried",
    "parents_outside",
    "unknown_parent",
)


_PIECE: Final = 5_000
"""Maximum number of edges that one statement inserts."""

# -- statements --------------------------------------------------------------------------------

_INSERT_EDGE: Final = """
INSERT INTO {dependency} (parent, child, place, queue, condition)
SELECT CAST(e.value ->> 0 AS bigint), CAST(e.value ->> 1 AS bigint),
    CAST(e.value ->> 2 AS integer), $2, e.value ->> 3
FROM {json_rows}
"""
_INSERT_CHILD: Final = """
INSERT INTO {child} (number, queue, due, missing, cancelled_by)
SELECT CAST(e.value ->> 0 AS bigint), $2, CAST(e.value ->> 1 AS double precision),
    CAST(e.value ->> 2 AS integer), CAST(e.value ->> 3 AS bigint)
FROM {json_rows}
"""
_INSERT_CHANGE: Final = """
INSERT INTO {parent_change} (parent, queue)
SELECT CAST(e.value ->> 0 AS bigint), $2 FROM {json_rows}
"""
_NOTE_RETRIED: Final = """
INSERT INTO {parent_change} (parent, queue, is_retry)
SELECT DISTINCT parent, queue, true FROM {dependency} WHERE parent {in_1} RETURNING parent
"""
_CANCELLED_BETWEEN: Final = """
SELECT d.child, d.parent, d.met FROM {dependency} d JOIN {child} c ON c.number = d.child
WHERE d.parent {in_1} AND d.child {in_1} AND d.met IS NOT NULL AND c.cancelled_by IS NOT NULL
ORDER BY d.child, d.parent
"""
_RESET_EDGE: Final = "UPDATE {dependency} SET met = NULL WHERE child = $1 AND parent = $2"
_FORGET_CAUSE: Final = """
UPDATE {child} SET cancelled_by = NULL WHERE number {in_1} AND cancelled_by IS NOT NULL
"""
_WAITS_FOR: Final = """
SELECT d.parent, d.child FROM {dependency} d WHERE d.parent {in_1} AND NOT d.child {in_1}
    AND NOT EXISTS (SELECT 1 FROM {finished} f WHERE f.number = d.child)
LIMIT 1
"""
_CANCELLED_FOR_PARENT: Final = """
SELECT number FROM {child} WHERE number {in_1} AND cancelled_by IS NOT NULL LIMIT 1
"""
_UNMET: Final = """
SELECT c.number, d.parent FROM {child} c
LEFT JOIN {dependency} d ON d.child = c.number AND d.met = false
WHERE c.cancelled_by IS NOT NULL
    AND c.number IN (SELECT child FROM {dependency} WHERE parent {in_1} AND met IS NOT NULL)
"""
_DELETE_EDGES: Final = """
DELETE FROM {dependency} WHERE parent {in_1} RETURNING child, met
"""
_COUNT_MET: Final = """
UPDATE {child} SET missing = missing - CAST(e.value ->> 1 AS integer)
FROM {json_rows} WHERE number = CAST(e.value ->> 0 AS bigint) RETURNING number, missing
"""
_DELETE_CHILDREN: Final = (
    "DELETE FROM {dependency} WHERE child {in_1}",
    "DELETE FROM {child} WHERE number {in_1}",
    "DELETE FROM {continuation} WHERE number {in_1}",
)


# -- append ------------------------------------------------------------------------------------


def parents_outside(after: Iterable[After], new: Collection[bytes]) -> list[bytes]:
    """Return the ids of the parents that are not among the new events, each once."""
    parents = (uid.bytes for one in after for uid in one.parents)
    return list(dict.fromkeys(uid for uid in parents if uid not in new))


async def locate_parents(
    tx: Transaction, after: Mapping[bytes, After], new: Mapping[bytes, AppendRow]
) -> dict[bytes, int]:
    """Return the numbers of the parents that exist already, in any queue.

    A child that is loaded after it has finished may have lost a parent: its edge is left out.

    Round trips on PostgreSQL: 1 if there are any.

    Args:
        tx: The transaction.
        after: The parents of new events, by the id of the child.
        new: The new events, by id.

    Raises:
        NotFoundError: if a parent of a child that waits is unknown.
    """
    outside = parents_outside(after.values(), new)
    known = await tx.known(outside) if outside else {}
    if len(known) < len(outside):
        waiting = (one for child, one in after.items() if not _is_finished(new[child]))
        for uid in parents_outside(waiting, new):
            if uid not in known:
                raise unknown_parent(UUID(bytes=uid), tx.container)
    return {uid: event.number for uid, event in known.items()}


def unknown_parent(uid: UUID, container: str) -> NotFoundError:
    """Return the error for a parent that is unknown.

    Args:
        uid: Its id.
        container: What contains all queues: "file" or "schema".
    """
    return NotFoundError(
        f"after: the parent {uid} is unknown in this {container}: append it first, or in the same "
        "append_many(); nothing was appended"
    )


async def insert_dependencies(
    tx: Transaction,
    new: Mapping[bytes, AppendRow],
    after: Mapping[bytes, After],
    numbers: Mapping[bytes, int],
) -> None:
    """Insert the edges of new children.

    Round trips on PostgreSQL: 3.

    Args:
        tx: The transaction, which has inserted the events.
        new: The new events, by id.
        after: The parents of some of them, by the id of the child.
        numbers: The numbers of the new events and of all parents that exist, by id.
    """
    edges, children = list[tuple[Any, ...]](), list[tuple[Any, ...]]()
    finished = set[int]()  # or may have finished
    for child, one in after.items():
        row, number = full_row(new[child]), numbers[child]
        parents = [uid for uid in one.parents if uid.bytes in numbers]
        for place, uid in enumerate(parents):
            parent = numbers[uid.bytes]
            edges.append((parent, number, place, one.when))
            if uid.bytes not in new or _is_finished(new[uid.bytes]):
                finished.add(parent)
        due = row.due if one.due is None else one.due
        cause = _cause_of(row, one, numbers)
        children.append((number, 0.0 if due == inf else due, len(parents), cause))
    changes = [(parent,) for parent in sorted(finished)]
    for statement, values in (
        (_INSERT_EDGE, edges),
        (_INSERT_CHILD, children),
        (_INSERT_CHANGE, changes),
    ):
        for at in range(0, len(values), _PIECE):
            await tx.rows(statement, json.dumps(values[at : at + _PIECE]), tx.queue)
    if changes:
        tx.resolve_later()


async def count_met(tx: Transaction, children: Iterable[int], by: int = 1) -> list[int]:
    """Count edges that are met, or deleted.

    Round trips on PostgreSQL: 1 if there are any.

    Args:
        tx: The transaction.
        children: The child of each edge.
        by: 1; or -1 if the edges are not met any more.

    Returns:
        The children without any other edge.
    """
    counts = sorted(Counter(children).items())
    if not counts:
        return []
    rows = await tx.rows(_COUNT_MET, json.dumps([(child, by * n) for child, n in counts]))
    return sorted(number for number, missing in rows if missing == 0)


# -- continuations -------------------------------------------------------------------------------

_CONTINUED: Final = "SELECT number, next FROM {continuation} WHERE number {in_1}"
_CONTINUE: Final = "INSERT INTO {continuation} (number, next) VALUES ($1, $2)"
_WAITING_PARENT: Final = f"""
WITH RECURSIVE waiting (number) AS (
    SELECT CAST($1 AS bigint)
    UNION
    SELECT d.child FROM waiting w JOIN {{dependency}} d ON d.parent = w.number AND d.met IS NULL
    WHERE EXISTS (SELECT 1 FROM {{ready}} WHERE number = d.child AND {IS_BLOCKED})
)
SELECT e.id FROM waiting w JOIN {{dependency}} d ON d.parent = w.number AND d.child = $2
JOIN {{event}} e ON e.number = w.number LIMIT 1
"""


async def continue_event(tx: Transaction, number: int, following: int) -> None:
    """Note that an event that has completed is continued by another.

    Round trips on PostgreSQL: 1.
    """
    await tx.rows(_CONTINUE, number, following)


async def insert_continuations(
    tx: Transaction, new: Mapping[bytes, AppendRow], inserted: Sequence[int]
) -> None:
    """Note the continuations of events that had completed before they were appended.

    An event whose continuation is unknown is left out: the continuation was removed.

    Round trips on PostgreSQL: none if no event has a continuation; otherwise 1 for each, and 1 if
    some of the continuations are not among the new events.

    Args:
        tx: The transaction, which has inserted the events.
        new: The new events, by id.
        inserted: Their numbers, in the same order.
    """
    following = {
        number: uid
        for row, number in zip(new.values(), inserted, strict=True)
        if (uid := _continued_by(row)) is not None
    }
    if not following:
        return
    numbers = dict(zip(new, inserted, strict=True))
    outside = [uid for uid in dict.fromkeys(following.values()) if uid not in numbers]
    known = await tx.known(outside) if outside else {}
    numbers |= {uid: event.number for uid, event in known.items()}
    for number, uid in following.items():
        if uid in numbers:
            await continue_event(tx, number, numbers[uid])


def _continued_by(row: AppendRow) -> bytes | None:
    """Return the id of the event that continues an event to append; None if there is none."""
    if not isinstance(row, EventRow) or row.status != EventStatus.COMPLETED.value:
        return None
    result = row.state[6]
    if result is None or '"$continued"' not in result:
        return None
    response = json.loads(result).get("response")
    continued = response.get("$continued") if isinstance(response, dict) else None
    return UUID(continued).bytes if isinstance(continued, str) else None


async def check_continuation(tx: Transaction, number: int, following: int) -> None:
    """Check that a continuation does not wait for the event itself, directly or through others.

    Round trips on PostgreSQL: 1.

    Args:
        tx: The transaction, which has appended the continuation.
        number: The event.
        following: The continuation.

    Raises:
        ValidationError: if it does.
    """
    for (uid,) in await tx.rows(_WAITING_PARENT, number, following):
        raise continuation_cycle(as_uuid(uid))


async def continuations(tx: Transaction, numbers: Sequence[int]) -> dict[int, int]:
    """Return the continuation of each of these events that has one.

    Round trips on PostgreSQL: 1 if there are any events.
    """
    return dict(map(tuple, await tx.rows(_CONTINUED, list(numbers)))) if numbers else {}


async def last_continuation(tx: Transaction, number: int) -> int:
    """Return the event that computes the result of an event: the last continuation, or itself.

    Round trips on PostgreSQL: 1 for each continuation, and 1.
    """
    while following := (await continuations(tx, [number])).get(number):
        number = following
    return number


# -- retry and removal -------------------------------------------------------------------------


async def note_retried(tx: Transaction, numbers: Sequence[int]) -> None:
    """Note that events were retried: their children wait again, once that is resolved.

    What had cancelled the events themselves does not matter any more.

    Round trips on PostgreSQL: 3.
    """
    edges = await tx.rows(_CANCELLED_BETWEEN, list(numbers))
    for child, parent, _ in edges:
        await tx.rows(_RESET_EDGE, child, parent)
    await count_met(tx, (child for child, _, was_met in edges if was_met), by=-1)
    await tx.rows(_FORGET_CAUSE, list(numbers))
    if await tx.rows(_NOTE_RETRIED, list(numbers)):
        tx.resolve_later()


async def given_children_that_wait(tx: Transaction, numbers: Sequence[int]) -> list[int]:
    """Return those of the events that wait again for others of them, directly or not.

    They were cancelled for parents that are all retried, or wait again themselves.

    Round trips on PostgreSQL: none for one event, 1 if no event was cancelled for a parent;
    otherwise the length of the longest chain.
    """
    if len(numbers) < 2 or not await tx.rows(_CANCELLED_FOR_PARENT, list(numbers)):
        return []
    retried, unmet = set(numbers), dict[int, set[int]]()
    waiting, left = set[int](), sorted(retried)
    while left:
        for child, parent in await tx.rows(_UNMET, left):
            unmet.setdefault(child, set()).update(() if parent is None else (parent,))
        following = {child for child, parents in unmet.items() if parents <= retried | waiting}
        left, waiting = sorted(following - waiting), following
    return sorted(waiting & retried)


async def check_no_children(tx: Transaction, numbers: Sequence[int]) -> None:
    """Check that no unfinished child waits for one of these events, other than these themselves.

    Round trips on PostgreSQL: 1.

    Raises:
        OperationError: if there is one.
    """
    for parent, child in await tx.rows(_WAITS_FOR, list(numbers)):
        raise OperationError(
            f"event {parent} cannot be removed: event {child} waits for it; remove both, or cancel "
            "the child first"
        )


async def delete_edges(tx: Transaction, numbers: Sequence[int]) -> None:
    """Delete the edges of events that are removed; their children do not wait for them any more.

    Round trips on PostgreSQL: 4.
    """
    for statement in _DELETE_CHILDREN:
        await tx.rows(statement, list(numbers))
    edges = await tx.rows(_DELETE_EDGES, list(numbers))
    await count_met(tx, (child for child, was_met in edges if not was_met))


def blocked(row: AppendRow) -> EventRow:
    """Return the row of a child: if it is pending, it is not due before it is released."""
    row = full_row(row)
    return row._replace(due=inf) if row.status == PENDING else row


def _is_finished(row: AppendRow) -> bool:
    """Return True if an event to append has finished before."""
    return isinstance(row, EventRow) and row.status not in (PENDING, PROCESSING)


def _cause_of(row: EventRow, after: After, numbers: Mapping[bytes, int]) -> int | None:
    """Return the parent for which an imported event was cancelled; 0 if it is gone; else None."""
    result = row.state[6]
    error = (json.loads(result).get("error") if result else None) or {}
    if not is_cancelled_for_parent(EventStatus(row.status), error.get("error")):
        return None
    parent = (error.get("details") or {}).get("parent")
    return cause_on_record(after, parent, [numbers.get(uid.bytes, 0) for uid in after.parents])
