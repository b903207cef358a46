"""Claim: the next events of the queue get a lease, by one statement for all of them.

Events that the same transaction has appended are candidates as well.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ..sql.claiming import ClaimRequest, ClaimResult
from ..sql.rows import (
    NEW_STATE,
    NEW_STATE_SQL,
    NOT_BLOCKED,
    PENDING,
    PROCESSING,
    STATE,
    FixedColumns,
    ReadyColumns,
)
from .hot_append import make_ready
from .rows import Rows
from .transaction import Clocks, expire_late

__all__ = ("ClaimStep", "claim")

_QUEUE: Final = f"""\
SELECT paused_until,
    (SELECT due FROM lionpride_ready WHERE queue = ?1 AND due > 0 AND {NOT_BLOCKED}
     ORDER BY due LIMIT 1),
    EXISTS (SELECT 1 FROM lionpride_parent_change WHERE queue = ?1)
FROM lionpride_queue WHERE number = ?1
"""
_PROMOTE: Final = """\
UPDATE lionpride_ready SET due = 0 WHERE queue = ? AND due > 0 AND due <= ?
"""
_CANDIDATES: Final = f"""\
SELECT number, due, priority, {STATE} FROM lionpride_ready WHERE {{eligible}}
ORDER BY priority, number LIMIT ?
"""
_LEASE: Final = f"""\
INSERT INTO lionpride_lease (number, queue, due, priority, {STATE}, worker, leased_until)
SELECT number, queue, {{due}}, priority, attempt + 1, failures, {{denials}}, interruptions,
       duration, retryable, result, attempts, expires, ?, ?
FROM lionpride_ready WHERE {{eligible}} AND (priority, number) BETWEEN (?, ?) AND (?, ?)
"""
_DELETE_READY: Final = """\
DELETE FROM lionpride_ready WHERE {eligible} AND (priority, number) BETWEEN (?, ?) AND (?, ?)
"""
_LEASE_NEW: Final = f"""\
INSERT INTO lionpride_lease (number, queue, due, priority, {STATE}, worker, leased_until)
SELECT number, queue, 0, priority, 1{NEW_STATE_SQL[1:]}, ?, ? FROM lionpride_event
WHERE number >= ? AND (priority, number) BETWEEN (?, ?) AND (?, ?)
"""


@dataclass(slots=True)
class ClaimStep:
    """A claim without limits.

    Attributes:
        request: The request.
        has: Returns True if the caller has the event of a number.
        clocks: The clocks of the store. They are called inside the transaction, perhaps in another
            thread: a claim may have waited for the file.
        lease: Returns the time until which the leases hold; called inside the transaction.
    """

    request: ClaimRequest
    has: Callable[[int], bool]
    clocks: Clocks
    lease: Callable[[], float]

    def __call__(self, rows: Rows) -> ClaimResult:
        return claim(rows, self)

    @property
    def is_unconditional(self) -> bool:
        """True if every ready event may be claimed."""
        one = self.request
        return one.until is None and not (one.skip or one.denied or one.excluded)


def claim(rows: Rows, step: ClaimStep) -> ClaimResult:
    """Lease the next events in order of priority and number.

    Events that the same transaction has appended are candidates as well. If they are claimed, they
    never have a row in ``ready``.
    """
    request, now = step.request, step.clocks.due()
    expired = expire_late(rows, step.clocks, now)
    paused_until, due, may_resolve = rows.connection.execute(_QUEUE, (rows.queue,)).get
    if paused_until > now:
        wait = max(1e-9, paused_until - now)
        return ClaimResult([], {}, wait, expired, may_resolve=bool(may_resolve))
    if due is not None and due <= now:
        rows.connection.execute(_PROMOTE, (rows.queue, now))
        due = rows.next_due()
    if not step.is_unconditional:
        make_ready(rows)
    late = now if expired.leaves(now) else None
    found, kept, excluded = _candidates(rows, step, late)
    eligible, new = _eligible(rows, request, excluded, late), rows.new
    new_size = _count_new(found, new, request.size)
    chosen, fresh = found[: request.size - new_size], new[:new_size]
    leased_until = step.lease()
    _lease(rows, request, chosen, leased_until, eligible)
    _lease_new(rows, request, fresh, leased_until)
    more = len(found) > len(chosen) or len(new) > new_size
    if request.until is not None or request.denied:
        others = _eligible(rows, request, excluded, late, is_bound=False)
        more = bool(_read(rows, others, 1))
    # The timer of an event loop cannot tell shorter times from now.
    wait = 0.0 if more else None if due is None else max(1e-9, due - now)
    rest: Any = {"unknown": excluded - request.excluded, "may_resolve": bool(may_resolve)}
    if request.start:
        return ClaimResult(chosen, kept, wait, expired, fresh, **rest)
    chosen += [(number, 0.0, priority, *NEW_STATE) for priority, number in fresh]
    return ClaimResult(sorted(chosen, key=_order), kept, wait, expired, **rest)


class _Condition(NamedTuple):
    """A condition on ``ready``, and the values that are bound in it."""

    text: str
    values: tuple[Any, ...]


def _candidates(
    rows: Rows, step: ClaimStep, late: float | None
) -> tuple[list[ReadyColumns], dict[int, FixedColumns], frozenset[str]]:
    """Return the next events, one more than can be claimed, and the event types without them.

    An event type that this process does not run is excluded, and the search begins again.
    """
    request = step.request
    excluded = request.excluded
    while True:
        found = _read(rows, _eligible(rows, request, excluded, late), request.size + 1)
        kept = {one[0]: rows.kept(one[0]) for one in found[: request.size] if not step.has(one[0])}
        unknown = {one[1] for one in kept.values() if not request.runs(one[1])}
        if not unknown:
            return found, kept, excluded
        excluded |= unknown
        make_ready(rows)


def _eligible(
    rows: Rows,
    request: ClaimRequest,
    excluded: frozenset[str],
    late: float | None,
    *,
    is_bound: bool = True,
) -> _Condition:
    """Return the condition for the ready events that a claim may take.

    Args:
        rows: The tables.
        request: The claim.
        excluded: Event types that it does not take.
        late: Not events that expired by this time; None: there are none.
        is_bound: False to leave out the bounds of a round.
    """
    texts, values = ["queue = ?"], list[Any]([rows.queue])
    texts.append("(due = 0 OR denials > 0)" if request.denied and is_bound else "due = 0")
    if request.until is not None and is_bound:
        texts.append("number <= ?")
        values.append(request.until)
    if late is not None:
        texts.append("(expires IS NULL OR expires > ?)")
        values.append(late)
    if request.skip:
        texts.append("number NOT IN (SELECT value FROM json_each(?))")
        values.append(rows.json_of(request.skip))
    if excluded:
        texts.append(
            "(SELECT event_type FROM lionpride_event e WHERE e.number = lionpride_ready.number) "
            "NOT IN (SELECT value FROM json_each(?))"
        )
        values.append(json.dumps(list(excluded)))
    return _Condition(" AND ".join(texts), tuple(values))


def _read(rows: Rows, eligible: _Condition, size: int) -> list[ReadyColumns]:
    query = _CANDIDATES.format(eligible=eligible.text)
    return list(rows.connection.execute(query, (*eligible.values, size)))


def _lease(
    rows: Rows,
    request: ClaimRequest,
    chosen: Sequence[ReadyColumns],
    leased_until: float,
    eligible: _Condition,
) -> None:
    """Move events from ``ready`` to ``lease``: the first ones that are eligible."""
    if not chosen:
        return
    due, denials = ("0", "0") if request.start else ("due", "denials")
    bounds = *_order(chosen[0]), *_order(chosen[-1])
    insert = _LEASE.format(due=due, denials=denials, eligible=eligible.text)
    rows.connection.execute(insert, (request.worker, leased_until, *eligible.values, *bounds))
    delete = _DELETE_READY.format(eligible=eligible.text)
    rows.connection.execute(delete, (*eligible.values, *bounds))
    rows.count(PENDING, -len(chosen))
    rows.count(PROCESSING, len(chosen))


def _lease_new(
    rows: Rows, request: ClaimRequest, fresh: Sequence[tuple[float, int]], leased_until: float
) -> None:
    """Lease events that this transaction has appended: the first ones of ``rows.new``."""
    if not fresh:
        return
    first = min(number for _, number in fresh)
    lease = request.worker, leased_until
    rows.connection.execute(_LEASE_NEW, (*lease, first, *fresh[0], *fresh[-1]))
    rows.new = rows.new[len(fresh) :]
    rows.count(PENDING, -len(fresh))
    rows.count(PROCESSING, len(fresh))


def _count_new(found: Sequence[ReadyColumns], new: Sequence[tuple[float, int]], size: int) -> int:
    """Return how many of the first ``size`` candidates are new."""
    old = 0
    for one in found:
        if old + bisect_left(new, _order(one)) >= size:
            break
        old += 1
    return min(len(new), size - old)


def _order(one: ReadyColumns) -> tuple[float, int]:
    return one[2], one[0]
