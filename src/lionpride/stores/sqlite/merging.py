"""A claim in the transaction that takes events in: the first of what waits and of what is new."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from ..sql.operations import Expired
from ..sql.rows import NEW_STATE, ReadyRow
from .bulk import Bulk
from .queries import QueueState
from .steps import Claim, Claimed

__all__ = ("New", "claim_first")

New = list[tuple[float, int]]
"""Priority and number of events that are taken in and stand nowhere yet, in this order."""


def claim_first(
    rows: Bulk, claim: Claim, new: New, glance: QueueState
) -> tuple[Claimed | None, New]:
    """Lease the first of what waits and what is new; what is left of the new.

    Nothing is answered if this process has no class for one of them, or if too many were not
    started in time: then undo this.
    """
    claim.now = claim.clock()
    if not glance.pending and glance.paused <= claim.now:
        return _claim_new(rows, claim, new)
    expired = claim.expire.by(rows, claim.now)
    if expired.leaves(claim.now):
        return None, new
    rows.mature(claim.now)
    if (halt := claim.halt(rows, expired)) is not None:
        return halt, new
    found = rows.next(claim.n + 1)
    n = _share(found, new, claim.n)
    waited, fresh = found[: claim.n - n], new[:n]
    kept = claim.kept(rows, waited)
    if claim.missing:
        return None, new
    until = claim.lapse()
    if waited:
        rows.lease_first(waited, claim.worker, until, claim.start)
    if fresh:
        rows.lease_new(fresh, claim.worker, until)
    more = len(found) > len(waited) or len(new) > n
    wait = 0.0 if more else claim.wait(rows)
    if claim.start:
        return Claimed(waited, kept, wait, expired, fresh), new[n:]
    taken = waited + _as_waiting(fresh)
    if waited and fresh:
        taken.sort(key=_key)
    return Claimed(taken, kept, wait, expired), new[n:]


def _claim_new(rows: Bulk, claim: Claim, new: New) -> tuple[Claimed, New]:
    """The same where nothing waits."""
    fresh, rest = new[: claim.n], new[claim.n :]
    if fresh:
        rows.lease_new(fresh, claim.worker, claim.lapse())
    wait = 0.0 if rest else None
    if claim.start:
        return Claimed([], {}, wait, _NONE, fresh), rest
    return Claimed(_as_waiting(fresh), {}, wait, _NONE), rest


_NONE: Final = Expired([], None)


def _as_waiting(fresh: New) -> list[ReadyRow]:
    return [(number, 0.0, priority, *NEW_STATE) for priority, number in fresh]


def _key(one: ReadyRow) -> tuple[float, int]:
    return one[2], one[0]


def _share(found: list[ReadyRow], new: New, most: int) -> int:
    """How many of the first ``most`` are new."""
    old = 0
    for one in found:
        if old + bisect_left(new, _key(one)) >= most:
            break
        old += 1
    return min(len(new), most - old)
