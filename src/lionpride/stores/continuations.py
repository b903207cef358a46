"""Cancellation of an event that others continue; see ``model.continuation.Then``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from ..errors import NotFoundError
from ..model.execution import EventStatus
from .contract import Cancelled, Store
from .record import Record
from .relatives import relative_pages

__all__ = ("cancel_continuation", "cancel_known")


async def cancel_continuation(store: Store, uid: UUID, *, by: str | None = None) -> Cancelled:
    """Cancel what continues an event that has completed, and the events that it has appended.

    The last continuation is cancelled, and those of its parents that are pending and have arrived
    after the event that it continues. They were appended by that event, with the continuation.

    Args:
        store: The store of the event.
        uid: The id of the event.
        by: See ``Store.cancel``.

    Returns:
        The answer for the last continuation; SETTLED if there is none.
    """
    (record,) = await store.get([uid])
    while record is not None and (following := record.continued_by) is not None:
        continued, (record,) = record, await store.get([following])
        if record is None or record.continued_by is not None:
            continue
        answer = (await cancel_known(store, [following], by=by)).get(following, Cancelled.SETTLED)
        await _cancel_parents(store, record, continued, by)
        if answer is not Cancelled.SETTLED:
            return answer
        (record,) = await store.get([following])  # it may have been continued meanwhile
        if record is not None and record.continued_by is None:
            break
    return Cancelled.SETTLED


async def _cancel_parents(store: Store, event: Record, continued: Record, by: str | None) -> None:
    """Cancel the pending parents of a continuation that have arrived after the first event."""
    with suppress(NotFoundError):  # it may be removed meanwhile
        async for page in relative_pages(store.parents, event.id):
            await cancel_known(
                store,
                [
                    record.id
                    for _, record, *_ in page
                    if record.status is EventStatus.PENDING
                    and record.queue == continued.queue
                    and record.number > continued.number
                ],
                by=by,
            )


async def cancel_known(
    store: Store, ids: Sequence[UUID], *, by: str | None = None
) -> dict[UUID, Cancelled]:
    """Cancel events, and return the answer for each; events that were removed are left out."""
    if not ids:
        return {}
    try:
        return dict(zip(ids, await store.cancel(ids, by=by), strict=True))
    except NotFoundError:
        if len(ids) == 1:
            return {}
    middle = len(ids) // 2
    first = await cancel_known(store, ids[:middle], by=by)
    return first | await cancel_known(store, ids[middle:], by=by)
