"""Actions on one event, on all events that match a filter, or on a schedule."""

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
from .monitor import Monitor
from .schedules import ShownSchedule

__all__ = [
    "PAUSE_SCHEDULE",
    "RESUME_SCHEDULE",
    "RUN_SCHEDULE",
    "cancel",
    "cancel_all",
    "possible_actions",
    "possible_actions_on_schedule",
    "retry",
    "retry_all",
]

PAUSE_SCHEDULE = "pause_schedule"
RESUME_SCHEDULE = "resume_schedule"
RUN_SCHEDULE = "run_schedule"

PAGE_SIZE = 500

FAILED = EventStatus.FAILED
OPEN = (EventStatus.PENDING, EventStatus.PROCESSING)


def possible_actions(record: Record) -> tuple[str, ...]:
    """Return the actions that are possible for an event."""
    if record.status in RETRYABLE:
        return ("retry",)
    return ("cancel",) if record.status in OPEN else ()


def possible_actions_on_schedule(shown: ShownSchedule) -> tuple[str, ...]:
    """Return the actions that are possible for a schedule."""
    if shown.record.is_paused:
        return RESUME_SCHEDULE, RUN_SCHEDULE
    if shown.record.next is None:  # it is over
        return (RUN_SCHEDULE,)
    return PAUSE_SCHEDULE, RUN_SCHEDULE


async def retry(monitor: Monitor, record: Record) -> bool:
    """Return a finished event to pending; return False if that is no longer possible."""
    return await _retry(monitor, record.queue, [record.id]) == 1


async def cancel(monitor: Monitor, record: Record) -> bool:
    """Cancel a pending event, or ask its worker to; return False if it has finished."""
    return await _cancel(monitor, record.queue, [record.id]) == 1


async def retry_all(monitor: Monitor, queue: str | None, what: EventFilter) -> int:
    """Return all matching events to pending that can be retried, and count them."""
    count = 0
    async for name, page in _pages(monitor, queue, what):
        count += await _retry(monitor, name, [r.id for r in page if r.status in RETRYABLE])
    return count


async def cancel_all(monitor: Monitor, queue: str | None, what: EventFilter) -> int:
    """Cancel all matching events that have not finished, and count them."""
    count = 0
    async for name, page in _pages(monitor, queue, what):
        count += await _cancel(monitor, name, [r.id for r in page if r.status in OPEN])
    return count


async def _pages(
    monitor: Monitor, queue: str | None, what: EventFilter
) -> AsyncIterator[tuple[str, list[Record]]]:
    """Yield all matching events, queue by queue, newest first, each once."""
    for name in await monitor.queues():
        if queue in (None, name):
            before: int | None = None
            while page := await monitor.inspector(name).list_events(
                what, before=before, limit=PAGE_SIZE
            ):
                before = page[-1].number
                yield name, page


async def _retry(monitor: Monitor, queue: str, ids: Sequence[UUID]) -> int:
    """Retry the events that still can be retried: other callers may change them too."""
    if not ids:
        return 0
    executor = monitor.executor
    try:
        if executor is None:
            await monitor.store(queue).retry(ids)
        elif len(ids) == 1:
            await executor.retry(ids[0])
        else:
            return sum(await asyncio.gather(*(_retry(monitor, queue, [one]) for one in ids)))
    except (OperationError, NotFoundError):
        if len(ids) == 1:
            return 0
        middle = len(ids) // 2
        first = await _retry(monitor, queue, ids[:middle])
        return first + await _retry(monitor, queue, ids[middle:])
    return len(ids)


async def _cancel(monitor: Monitor, queue: str, ids: Sequence[UUID]) -> int:
    if not ids:
        return 0
    executor = monitor.executor
    try:
        if executor is not None:
            if len(ids) == 1:
                return int(await executor.cancel(ids[0]))
            return sum(await asyncio.gather(*(_cancel(monitor, queue, [one]) for one in ids)))
        answers = await monitor.store(queue).cancel(ids)
    except NotFoundError:
        if len(ids) == 1:
            return 0
        middle = len(ids) // 2
        first = await _cancel(monitor, queue, ids[:middle])
        return first + await _cancel(monitor, queue, ids[middle:])
    return sum(answer is not Cancelled.SETTLED for answer in answers)
