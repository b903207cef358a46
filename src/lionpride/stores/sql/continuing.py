"""Settlement of an attempt that another event continues."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ..contract import Settled
from .appending import AppendRequest, append
from .backend import Transaction
from .dependencies import check_continuation, continue_event, parents_outside
from .operations import settle
from .rows import SettlementRow

__all__ = ("ContinuedResult", "settle_continued")


class ContinuedResult(NamedTuple):
    """Result of ``settle_continued``.

    Attributes:
        settled: The answer to the settlement.
        numbers, known: Of the append; see ``Appended``. There are no numbers if the outcome was not
            recorded.
    """

    settled: Settled
    numbers: Sequence[int] = ()
    known: Collection[int] = ()


async def settle_continued(
    tx: Transaction, row: SettlementRow, request: AppendRequest
) -> ContinuedResult:
    """Record that an attempt has completed, and append what continues it: both or nothing.

    A repeat returns the result of the earlier try if it was committed.

    Round trips on PostgreSQL: 2, and those of ``append``; 1 more if the continuation waits for
    events that were appended before.

    Args:
        tx: The transaction.
        row: The outcome.
        request: The new events, the continuation last.

    Raises:
        ExistsError, NotFoundError: as ``append``; nothing was recorded.
        ValidationError: if the continuation would wait for the event itself; nothing was recorded.
    """
    if (earlier := await _committed_result(tx, request)) is not None:
        return earlier
    (settled,) = await settle(tx, [row])
    # An earlier try may have been committing at the first look; the settlement has waited for it.
    if (earlier := await _committed_result(tx, request)) is not None:
        return earlier
    if settled is not Settled.APPLIED:
        return ContinuedResult(settled)
    appended = await append(tx, request)
    if parents_outside(request.after.values(), request.ids):
        await check_continuation(tx, row[0], appended.numbers[-1])
    await continue_event(tx, row[0], appended.numbers[-1])
    return ContinuedResult(settled, *appended)


async def _committed_result(tx: Transaction, request: AppendRequest) -> ContinuedResult | None:
    """Return the result of the earlier try that was committed; None if there is none."""
    if tx.earlier and (known := await tx.known(request.ids[-1:])):
        numbers = [event.number for event in known.values()]
        for earlier in tx.earlier:
            if list(earlier.numbers[-1:]) == numbers:
                return earlier  # type: ignore[no-any-return]
    return None
