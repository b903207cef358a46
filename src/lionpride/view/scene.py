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
from .records import has_failed

__all__ = ["BADLY", "Scene", "failures", "look"]

LOOKED_AT = 500
"""Events of a status that are looked at for some that have failed, at least."""

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
        failures: The latest that have failed.
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
    """The latest that have failed, whatever their queue; none that was cancelled by hand."""
    found: list[Record] = []
    for status in BADLY:
        found += await _failed(office, status, most)
    found.sort(key=lambda one: (one.ended or 0.0, one.number), reverse=True)
    return found[:most]


async def _failed(office: Office, status: EventStatus, most: int) -> list[Record]:
    """The latest of a status that have failed; cancelled by hand may be very many others."""
    found: list[Record] = []
    before, seen = None, 0
    while len(found) < most and seen < LOOKED_AT:
        page = await office.sought(None, Sought(status), before=before, limit=most)
        found += filter(has_failed, page)
        if len(page) < most:
            break
        before, seen = page[-1].number, seen + len(page)
    return found[:most]
