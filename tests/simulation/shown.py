"""What a store shows of itself at one moment, by the verbs that ask."""

from dataclasses import dataclass, replace
from typing import TypeAlias
from uuid import UUID

from lionpride.model.execution import TERMINAL, EventStatus
from lionpride.stores.contract import Store
from lionpride.stores.record import Record

Token: TypeAlias = tuple[UUID, int]
"""An event's id and an attempt number: the fencing token."""


@dataclass
class Shown:
    """What a store shows at one moment.

    Attributes:
        records: Its records by id.
        pages: The ids of its pages over all events.
        listed: The ids of its pages over each status.
        statuses: The status of each event object.
        progressions: The ids of each status progression.
    """

    records: dict[UUID, Record]
    pages: list[UUID]
    listed: dict[EventStatus, list[UUID]]
    counts: dict[EventStatus, int]
    statuses: dict[UUID, EventStatus]
    progressions: dict[EventStatus, list[UUID]]


async def look(store: Store, now: float, size: int, *, whole: bool) -> Shown:
    """What a store shows now.

    Args:
        now: The time; a due time that has come is none.
        size: The size of the pages.
        whole: Whether all events are paged through once more, whatever their status.
    """
    listed = {status: await _pages(store, now, status, size) for status in EventStatus}
    paged = [record for each in listed.values() for record in each]
    in_order = sorted(paged, key=lambda record: record.number)
    if whole:
        in_order = await _pages(store, now, None, size)
    return Shown(
        records={record.id: record for record in paged},
        pages=[record.id for record in in_order],
        listed={status: [record.id for record in each] for status, each in listed.items()},
        counts=await store.counts(),
        statuses={event.id: event.status for event in store.states.items},
        progressions={
            status: store.states.get_progression(status.value).order for status in EventStatus
        },
    )


def without_alarm(store: Store) -> Store:
    """Have a store end what is late with a claim alone, and at no other turn of the loop.

    Its alarm counts real time: a store in a database shows some turns later what it has ended.
    """
    alarm = getattr(store, "_alarm", None)
    if alarm is not None:
        alarm._call = lambda: None
    return store


async def resolved(store: Store) -> None:
    """Wait until what has ended is known to its children: SQL stores change them afterwards."""
    resolver = getattr(store, "_resolver", None)
    if resolver is not None:
        await resolver.idle()


async def _pages(store: Store, now: float, status: EventStatus | None, size: int) -> list[Record]:
    found: list[Record] = []
    while page := await store.list_records(
        status, after=found[-1].number if found else None, limit=size
    ):
        found += page
    return [plain(record, now) for record in found]


def plain(record: Record, now: float) -> Record:
    """A record without a due time that has come, or that an ended event has left."""
    record.payload["execution"].pop("due", None)
    due = None if record.due is None or record.due <= now else record.due
    return replace(record, due=None if record.status in TERMINAL else due)
