"""Snapshot of a store, which a terminal draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import time

from ..core import EventStatus
from ..stores.inspector import EventFilter, LimitUsage, RunningEvent, WorkerRecord
from ..stores.record import Record
from .history import History
from .limits import slots_of
from .office import Office
from .records import has_failed

__all__ = ["BADLY", "Scene", "failures", "look"]

LOOKED_AT = 500
"""Minimum number of events of a status that are read in the search for failed ones."""

BADLY = (EventStatus.FAILED, EventStatus.ABORTED, EventStatus.CANCELLED)
"""Final statuses of failures."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Snapshot of a store.

    Attributes:
        at: The time, a Unix timestamp in seconds.
        counts: Number of events in each status.
        rate: Events that finished per second, over the last minute.
        ended: Number of events that finished in each moment, by status, oldest first.
        runs: The running events, the one that has run longest first.
        failures: The latest failed events.
        workers: The workers, live or gone.
        usage: Usage of the limits, with the slots of all workers first.
    """

    at: float
    counts: dict[EventStatus, int]
    rate: float
    ended: Sequence[dict[EventStatus, int]]
    waited: tuple[float, ...] | None
    ran: tuple[float, ...] | None
    runs: Sequence[RunningEvent]
    failures: Sequence[Record]
    workers: Sequence[WorkerRecord]
    usage: Sequence[LimitUsage]


async def look(office: Office, history: History, most: int = 50) -> Scene:
    """Return a snapshot.

    Args:
        office: The store or executor.
        history: Its recent history.
        most: Maximum number of events in a list.
    """
    counts = await history.look()
    moments = history.series()
    workers = await office.workers()
    running, slots = slots_of(workers)
    usage = list(await office.limit_usage())
    if slots:
        usage.insert(0, LimitUsage("slots", running, slots, None))
    return Scene(
        at=time(),
        counts=counts,
        rate=history.rate(),
        ended=[one.ended for one in moments],
        waited=next((one.waited for one in reversed(moments) if one.waited), None),
        ran=next((one.ran for one in reversed(moments) if one.ran), None),
        runs=await office.running(most),
        failures=await failures(office, most),
        workers=workers,
        usage=usage,
    )


async def failures(office: Office, most: int) -> list[Record]:
    """Return the latest failed events of all queues, without those cancelled by hand."""
    found: list[Record] = []
    for status in BADLY:
        found += await _failed(office, status, most)
    found.sort(key=lambda one: (one.ended or 0.0, one.number), reverse=True)
    return found[:most]


async def _failed(office: Office, status: EventStatus, most: int) -> list[Record]:
    """Return the latest failed events of a status; very many others may be cancelled by hand."""
    found: list[Record] = []
    before, seen = None, 0
    while len(found) < most and seen < LOOKED_AT:
        page = await office.list_events(None, EventFilter(status), before=before, limit=most)
        found += filter(has_failed, page)
        if len(page) < most:
            break
        before, seen = page[-1].number, seen + len(page)
    return found[:most]
