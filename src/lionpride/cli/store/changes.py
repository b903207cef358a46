"""The changes of all events of a store, as queries of it show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from uuid import UUID

from ...core import EventStatus
from ...model.execution import TERMINAL
from ...rules.state_machine import RETRYABLE
from ...stores.contract import Store
from ...stores.inspector import EventFilter
from ...stores.record import Record
from ...view.monitor import Monitor
from ...view.records import created_of, status_of

__all__ = ["EventChange", "StoreChanges"]

PAGE: Final = 500
"""Number of events that are read at once, and of arrival numbers that are read again.

On PostgreSQL, an event can appear after one with a higher number.
"""

MOST: Final = 1_000
"""Number of running events that are followed, of finished ones that one look reads, and of failed
ones of which a retry is noticed."""

OVERLAP: Final = 5.0
"""Seconds before the last look in which finished events are read again.

The time of a settlement is before that of its commit, so an event can appear late.
"""


class EventChange(NamedTuple):
    """An event has another status than at the last look, or is new.

    Attributes:
        at: The time of the change, a Unix timestamp in seconds; of a return to pending, the time
            at which it was seen.
        id, number, kind, queue: Those of the event.
        status: Its status; "blocked" if it waits for its parents.
    """

    at: float
    id: UUID
    number: int
    kind: str
    status: str
    queue: str


class StoreChanges:
    """Finds what has changed since the last look.

    Changes between two looks are one change: of an event that runs shortly, only the end may be
    seen. The retry of an event that failed long ago is seen when it runs.

    Args:
        monitor: The queues of the store.
        queue: The one queue that is looked at; None for all, and those that are made later.
    """

    def __init__(self, monitor: Monitor, queue: str | None) -> None:
        self._monitor = monitor
        self._queue = queue
        self._known: dict[str, _QueueChanges] = {}

    async def begin(self) -> None:
        """Take what the store has now as known."""
        for name in await self._names():
            self._known[name] = found = _QueueChanges(self._monitor.store(name))
            await found.begin()

    async def look(self) -> list[EventChange]:
        """Return the changes since the last look, by their times."""
        changes = []
        for name in await self._names():
            if name not in self._known:
                self._known[name] = _QueueChanges(self._monitor.store(name))
            changes += await self._known[name].look()
        return sorted(changes, key=lambda each: each.at)

    async def _names(self) -> list[str]:
        return [n for n in await self._monitor.queues() if self._queue in (None, n)]


class _Seen(NamedTuple):
    """An unfinished event as it was seen last; its attempt counts while it runs only."""

    id: UUID
    status: str
    attempt: int


class _QueueChanges:
    """The changes of one queue.

    Args:
        store: Its store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version: object = None
        self._looked = store.time()
        self._base = self._last = 0  # arrival numbers: the last at the beginning, and so far
        self._arrived = set[int]()  # the numbers above ``_last - PAGE`` that were seen
        self._open: dict[int, _Seen] = {}  # events that have not finished
        self._ended: dict[int, float] = {}  # the times of those that finished lately
        self._failed: dict[int, UUID] = {}  # the last that can be retried
        self._retryable = 0  # number of all that can be retried

    async def begin(self) -> None:
        """Take what the queue has now as known."""
        inspector = self._store.inspector
        self._version = await inspector.version()
        self._base = self._last = await self._store.last_arrival()
        recent = await inspector.list_events(EventFilter(), after=self._last - PAGE, limit=PAGE)
        self._arrived = {record.number for record in recent}
        for each in await inspector.running(MOST):
            self._open[each.record.number] = _seen(each.record)
        for one in await inspector.finished(self._looked - OVERLAP, MOST):
            self._ended[one.number] = one.ended
        self._retryable = _retryable(await self._store.counts())
        for status in RETRYABLE:
            for record in await inspector.list_events(EventFilter(status), limit=PAGE):
                self._failed[record.number] = record.id

    async def look(self) -> list[EventChange]:
        """Return the changes since the last look."""
        inspector, version = self._store.inspector, await self._store.inspector.version()
        if version == self._version:
            return []
        before, now = self._looked, self._store.time()
        changes = await self._arrivals(before, now)
        running = await inspector.running(MOST)
        for each in running:
            changes += self._note(each.record, each.since or now)
        for one in await inspector.finished(before - OVERLAP, MOST):
            if self._ended.get(one.number) != one.ended:
                changes.append(self._end(one.id, one.number, one.kind, one.status, one.ended))
        ended = sum(change.status in RETRYABLE for change in changes)
        changes += await self._others({one.record.number for one in running}, ended, now)
        self._ended = {n: at for n, at in self._ended.items() if at > now - 2 * OVERLAP}
        self._failed = dict([*self._failed.items()][-len(RETRYABLE) * PAGE :])
        self._version, self._looked = version, now
        return changes

    async def _arrivals(self, before: float, now: float) -> list[EventChange]:
        """Return the changes of events that are new."""
        changes: list[EventChange] = []
        after = max(self._base, self._last - PAGE)
        query = self._store.inspector.list_events
        while page := await query(EventFilter(), after=after, limit=PAGE):
            after = page[0].number
            for record in reversed(page):
                if record.number not in self._arrived:
                    created = created_of(record.payload).timestamp()
                    at = record.ended or min(max(created, before), now)
                    changes += self._note(record, at)
            self._arrived.update(record.number for record in page)
        self._last = max(self._last, after)
        self._arrived = {number for number in self._arrived if number > self._last - PAGE}
        return changes

    async def _others(self, running: set[int], ended: int, now: float) -> list[EventChange]:
        """Return the changes of known events that no other query has shown.

        Args:
            running: The numbers of running events.
            ended: Number of events that have failed since the last look.
            now: The time.
        """
        counts = await self._store.counts()
        unfinished = sum(n for status, n in counts.items() if status not in TERMINAL)
        is_lacking = len(self._open) > unfinished
        lost = {
            number: seen.id
            for number, seen in self._open.items()
            if is_lacking or (seen.attempt and number not in running)
        }
        retryable = _retryable(counts)
        if retryable < self._retryable + ended:  # some were retried, or removed
            lost |= self._failed
        self._retryable = retryable
        numbers, changes = [*lost], list[EventChange]()
        for i in range(0, len(numbers), PAGE):
            some = numbers[i : i + PAGE]
            records = await self._store.get([lost[number] for number in some])
            for number, record in zip(some, records, strict=True):
                if record is None:
                    self._open.pop(number, None)
                    self._failed.pop(number, None)
                else:
                    changes += self._note(record, record.ended or now)
        return changes

    def _note(self, record: Record, at: float) -> Iterable[EventChange]:
        """Remember an event; return the change if there is one."""
        if record.status in TERMINAL:
            is_known = record.number in self._ended or record.number in self._failed
            if not is_known or record.number in self._open:
                yield self._end(record.id, record.number, record.kind, record.status, at)
            return
        seen = _seen(record)
        if self._open.get(record.number) != seen:
            self._open[record.number] = seen
            self._ended.pop(record.number, None)
            self._failed.pop(record.number, None)
            yield self._change(at, record.id, record.number, record.kind, seen.status)

    def _end(
        self, uid: UUID, number: int, kind: str, status: EventStatus, ended: float
    ) -> EventChange:
        self._open.pop(number, None)
        self._ended[number] = ended
        if status in RETRYABLE:
            self._failed[number] = uid
        return self._change(ended, uid, number, kind, status.value)

    def _change(self, at: float, uid: UUID, number: int, kind: str, status: str) -> EventChange:
        return EventChange(at, uid, number, kind, status, self._store.queue)


def _retryable(counts: Mapping[EventStatus, int]) -> int:
    return sum(counts[status] for status in RETRYABLE)


def _seen(record: Record) -> _Seen:
    is_running = record.status is EventStatus.PROCESSING
    return _Seen(record.id, status_of(record), record.attempt if is_running else 0)
