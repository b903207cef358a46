"""Overview of a store at one moment, which the terminal of ``lionpride top`` draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import time

from ..core import EventStatus
from ..stores.inspector import LimitUsage, RunningEvent, WorkerRecord
from ..stores.record import Record
from .history import History
from .limits import slots_of
from .monitor import Monitor

__all__ = ["Overview", "read_overview"]


@dataclass(frozen=True, slots=True)
class Overview:
    """State of a store at one moment.

    Attributes:
        at: The time, a Unix timestamp in seconds.
        counts: Number of events in each status.
        rate: Events that finished per second, over the last minute.
        ended: Number of events that finished in each interval, by status, oldest first.
        waited, ran: Median and 95th percentile of the latest waits and durations in seconds.
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


async def read_overview(monitor: Monitor, history: History, limit: int = 50) -> Overview:
    """Read the overview of a store.

    Args:
        monitor: The store or executor.
        history: Its recent history.
        limit: Maximum number of events in a list.
    """
    counts = await history.refresh()
    intervals = history.series()
    workers = await monitor.workers()
    running, slots = slots_of(workers)
    usage = list(await monitor.limit_usage())
    if slots:
        usage.insert(0, LimitUsage("slots", running, slots, None))
    return Overview(
        at=time(),
        counts=counts,
        rate=history.rate(),
        ended=[one.ended for one in intervals],
        waited=next((one.waited for one in reversed(intervals) if one.waited), None),
        ran=next((one.ran for one in reversed(intervals) if one.ran), None),
        runs=await monitor.running(limit),
        failures=await monitor.failures(limit),
        workers=workers,
        usage=usage,
    )
