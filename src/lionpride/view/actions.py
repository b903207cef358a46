"""Actions on one event, on all events that match a filter, or on a schedule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from ..core import EventStatus
from ..errors import NotFoundError, OperationError
from ..rules.state_machine import RETRYABLE
from ..stores.bulk import matching_pages, retry_known
from ..stores.continuations import cancel_known
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


async def retry(monitor: Monitor, record: Record, by: str) -> bool:
    """Return a finished event to pending; return False if that is no longer possible.

    Args:
        monitor: The queues.
        record: The event.
        by: Who asks for it; see ``Store.retry``.
    """
    return await _retry(monitor, record.queue, [record.id], by) == 1


async def cancel(monitor: Monitor, record: Record, by: str) -> bool:
    """Cancel a pending event, or ask its worker to; return False if it has finished."""
    return await _cancel(monitor, record.queue, [record.id], by) == 1


async def retry_all(monitor: Monitor, queue: str | None, what: EventFilter, by: str) -> int:
    """Return all matching events to pending that can be retried, and count them."""
    count = 0
    async for name, page in _pages(monitor, queue, what):
        count += await _retry(monitor, name, [r.id for r in page if r.status in RETRYABLE], by)
    return count


async def cancel_all(monitor: Monitor, queue: str | None, what: EventFilter, by: str) -> int:
    """Cancel all matching events that have not finished, and count them."""
    count = 0
    async for name, page in _pages(monitor, queue, what):
        count += await _cancel(monitor, name, [r.id for r in page if r.status in OPEN], by)
    return count


async def _pages(
    monitor: Monitor, queue: str | None, what: EventFilter
) -> AsyncIterator[tuple[str, list[Record]]]:
    """Yield all matching events, queue by queue, newest first, each once."""
    for name in await monitor.queues():
        if queue in (None, name):
            async for page in matching_pages(monitor.inspector(name), what):
                yield name, page


async def _retry(monitor: Monitor, queue: str, ids: Sequence[UUID], by: str) -> int:
    """Retry the events that still can be retried: other callers may change them too."""
    executor = monitor.executor
    if executor is None:
        return len(await retry_known(monitor.store(queue), ids, by=by))
    if len(ids) != 1:
        return sum(await asyncio.gather(*(_retry(monitor, queue, [one], by) for one in ids)))
    try:
        await executor.retry(ids[0], by=by)
    except (OperationError, NotFoundError):
        return 0
    return 1


async def _cancel(monitor: Monitor, queue: str, ids: Sequence[UUID], by: str) -> int:
    executor = monitor.executor
    if executor is None:
        answers = await cancel_known(monitor.store(queue), ids, by=by)
        return sum(answer is not Cancelled.SETTLED for answer in answers.values())
    if len(ids) != 1:
        return sum(await asyncio.gather(*(_cancel(monitor, queue, [one], by) for one in ids)))
    try:
        return int(await executor.cancel(ids[0], by=by))
    except NotFoundError:
        return 0
