"""Actions on events: on one event, or on all that match a filter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from ..core import EventStatus
from ..errors import NotFoundError, OperationError
from ..rules.state_machine import RETRYABLE
from ..stores.contract import Cancelled
from ..stores.inspector import EventFilter
from ..stores.record import Record
from .office import Office

__all__ = ["cancel", "cancel_all", "doable", "retry", "retry_all"]

PAGE = 500

FAILED = EventStatus.FAILED
OPEN = (EventStatus.PENDING, EventStatus.PROCESSING)


def doable(record: Record) -> tuple[str, ...]:
    """Return the actions that are possible for an event."""
    if record.status in RETRYABLE:
        return ("retry",)
    return ("cancel",) if record.status in OPEN else ()


async def retry(office: Office, record: Record) -> bool:
    """Return a finished event to pending; return False if that is no longer possible."""
    return await _retried(office, record.queue, [record.id]) == 1


async def cancel(office: Office, record: Record) -> bool:
    """Cancel a pending event, or ask its worker to; return False if it has finished."""
    return await _cancelled(office, record.queue, [record.id]) == 1


async def retry_all(office: Office, queue: str | None, what: EventFilter) -> int:
    """Return all matching events to pending that can be retried, and count them."""
    count = 0
    async for name, page in _pages(office, queue, what):
        count += await _retried(office, name, [r.id for r in page if r.status in RETRYABLE])
    return count


async def cancel_all(office: Office, queue: str | None, what: EventFilter) -> int:
    """Cancel all matching events that have not finished, and count them."""
    count = 0
    async for name, page in _pages(office, queue, what):
        count += await _cancelled(office, name, [r.id for r in page if r.status in OPEN])
    return count


async def _pages(
    office: Office, queue: str | None, what: EventFilter
) -> AsyncIterator[tuple[str, list[Record]]]:
    """Yield all matching events, queue by queue, newest first, each once."""
    for name in await office.queues():
        if queue in (None, name):
            before: int | None = None
            while page := await office.inspector(name).list_events(what, before=before, limit=PAGE):
                before = page[-1].number
                yield name, page


async def _retried(office: Office, queue: str, ids: Sequence[UUID]) -> int:
    """Retry the events that still can be retried: other callers may change them too."""
    if not ids:
        return 0
    executor = office.executor
    try:
        if executor is None:
            await office.store(queue).retry(ids)
        elif len(ids) == 1:
            await executor.retry(ids[0])
        else:
            return sum(await asyncio.gather(*(_retried(office, queue, [one]) for one in ids)))
    except (OperationError, NotFoundError):
        if len(ids) == 1:
            return 0
        middle = len(ids) // 2
        first = await _retried(office, queue, ids[:middle])
        return first + await _retried(office, queue, ids[middle:])
    return len(ids)


async def _cancelled(office: Office, queue: str, ids: Sequence[UUID]) -> int:
    if not ids:
        return 0
    executor = office.executor
    try:
        if executor is not None:
            if len(ids) == 1:
                return int(await executor.cancel(ids[0]))
            return sum(await asyncio.gather(*(_cancelled(office, queue, [one]) for one in ids)))
        answers = await office.store(queue).cancel(ids)
    except NotFoundError:
        if len(ids) == 1:
            return 0
        middle = len(ids) // 2
        first = await _cancelled(office, queue, ids[:middle])
        return first + await _cancelled(office, queue, ids[middle:])
    return sum(answer is not Cancelled.SETTLED for answer in answers)
