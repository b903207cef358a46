"""Changes of many events of a store, in pieces, while other callers may change the same events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeVar

from ..errors import NotFoundError, OperationError
from .contract import Named, Store
from .inspector import EventFilter, Inspector
from .record import Record

__all__ = ("PIECE", "matching_pages", "retry_known")

PIECE: Final = 500
"""Number of events that one transaction of a durable store changes."""

_EVERYTHING: Final = 2**62
"""An arrival number above all others."""

T = TypeVar("T", bound=Named)


async def matching_pages(
    inspector: Inspector,
    what: EventFilter,
    *,
    before: int | None = None,
    after: int | None = None,
) -> AsyncIterator[list[Record]]:
    """Yield the matching events in pages, the newest first, each event once.

    Args:
        inspector: The inspector of the queue.
        what: The filter.
        before: Only events with a smaller arrival number.
        after: Only events with a larger arrival number.
    """
    below = _EVERYTHING if before is None else before
    while page := await inspector.list_events(what, before=below, after=after, limit=PIECE):
        yield page
        below = page[-1].number


async def retry_known(store: Store, events: Sequence[T], *, by: str | None = None) -> list[T]:
    """Return events to pending, and leave out those that cannot be retried any more.

    Args:
        store: Their store.
        events: The events, or their ids.
        by: See ``Store.retry``.

    Returns:
        Those that were retried.
    """
    if not events:
        return []
    try:
        await store.retry(events, by=by)
    except (OperationError, NotFoundError):
        if len(events) == 1:
            return []
        middle = len(events) // 2
        first = await retry_known(store, events[:middle], by=by)
        return first + await retry_known(store, events[middle:], by=by)
    return list(events)
