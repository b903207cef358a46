"""All that one look at a store sees: what a terminal draws of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import time

from ..core import EventStatus
from ..stores.record import Record
from ..stores.roster import WorkerRecord
from ..stores.seen import Runs, Sought, Usage
from .history import History
from .limits import slots_of
from .office import Office

__all__ = ["BADLY", "Scene", "failures", "look"]

BADLY = (EventStatus.FAILED, EventStatus.ABORTED, EventStatus.CANCELLED)
"""What did not end well."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What was seen.

    Attributes:
        at: When, a Unix timestamp in seconds.
        counts: How many events are in each status.
        rate: Events that ended in a second, over the last minute.
        ended: How many ended in each moment, by status, the oldest first.
        runs: What runs, that which runs longest at the front.
        failures: The latest that did not end well.
        workers: Who is at work, or was.
        usage: How full limits are; the slots of all workers at the front.
    """

    at: float
    counts: dict[EventStatus, int]
    rate: float
    ended: Sequence[dict[EventStatus, int]]
    waited: tuple[float, ...] | None
    ran: tuple[float, ...] | None
    runs: Sequence[Runs]
    failures: Sequence[Record]
    workers: Sequence[WorkerRecord]
    usage: Sequence[Usage]


async def look(office: Office, history: History, most: int = 50) -> Scene:
    """See what is going on.

    Args:
        office: What is looked at.
        history: How it went before.
        most: Events of a list that are seen.
    """
    counts = await history.look()
    moments = history.series()
    workers = await office.workers()
    running, slots = slots_of(workers)
    usage = list(await office.usage())
    if slots:
        usage.insert(0, Usage("slots", running, slots, None))
    return Scene(
        at=time(),
        counts=counts,
        rate=history.rate(),
        ended=[one.ended for one in moments],
        waited=next((one.waited for one in reversed(moments) if one.waited), None),
        ran=next((one.ran for one in reversed(moments) if one.ran), None),
        runs=await office.runs(most),
        failures=await failures(office, most),
        workers=workers,
        usage=usage,
    )


async def failures(office: Office, most: int) -> list[Record]:
    """The latest that did not end well, whatever their queue."""
    found: list[Record] = []
    for status in BADLY:
        found += await office.sought(None, Sought(status), limit=most)
    found.sort(key=lambda one: (one.ended or 0.0, one.number), reverse=True)
    return found[:most]
