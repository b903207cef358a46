"""Queries for monitoring over the events of a store in memory."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from heapq import nsmallest
from itertools import islice
from time import time
from typing import Any, Final

from ...model import registry
from ...model.event_data import EventData
from ...model.execution import TERMINAL, EventStatus
from ...model.progress import BEGAN
from ...rules.limits.limit import Limit
from ...rules.storable_text import any_case, findable
from ..inspector import EventFilter, FinishedEvent, LimitUsage, RunningEvent
from ..record import Record
from ..schedule_record import ScheduleRecord
from ..states import States

__all__ = ("MemoryInspector",)

FEW: Final = 20_000
"""Number of events up to which all are sorted; for more, each number is looked up in turn."""

SLICE: Final = 2_000
"""Number of events that are read before other tasks run."""

_PROCESSING = EventStatus.PROCESSING


class MemoryInspector:
    """Inspector of a store in memory; it needs no observer.

    Args:
        queue: The name of the queue.
        states: The events.
        schedules: The schedules by name; the store's own dict.
        limits: The limits of the claims, by account name; the store's own dict.
        clock: Returns the time of the limits; None for the event loop's.
    """

    def __init__(
        self,
        queue: str,
        states: States,
        schedules: Mapping[str, ScheduleRecord],
        limits: Mapping[str, Limit],
        clock: Callable[[], float] | None,
    ) -> None:
        self._queue = queue
        self._states = states
        self._schedules = schedules
        self._limits = limits
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._offset = 0.0

    def _unix_offset(self) -> float:
        """Return Unix time minus the loop's clock, by which the start of events is noted.

        It stays the same in one loop, so that the time of an event does not change.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._offset = loop, time() - loop.time()
        return self._offset

    def dated(self, record: Record, event: EventData) -> Record:
        """Return the record of an event with the time at which it finished, if that is known."""
        if record.status not in TERMINAL or BEGAN not in event.__dict__:
            return record
        ended = _ended(event, self._unix_offset())
        return record if ended is None else replace(record, ended=ended)

    def ended_at(self, event: EventData) -> float | None:
        """Return the Unix time at which an event finished; None if that is not known."""
        return _ended(event, self._unix_offset())

    # -- the queries: see Inspector ----------------------------------------------------------

    async def version(self) -> object:
        lanes = tuple(map(len, self._states.lanes.values()))
        live = [
            (state.arrival, state.attempt_number, len(state.chunks), state.progress)
            for state in (event.execution for event in self._running(50))
        ]
        schedules = tuple(each.version for each in self._schedules.values())
        return self._states.by_number.last, lanes, str(live), schedules

    async def list_events(
        self,
        what: EventFilter,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> list[Record]:
        newest = after is None or before is not None
        found: list[Record] = []
        for i, (number, event) in enumerate(self._events(what, newest)):
            if i % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            if (before is not None and number >= before) or (after is not None and number <= after):
                continue
            record = self._fits(what, number, event)
            if record is not None:
                found.append(record)
                if len(found) == limit:
                    break
        return sorted(found, key=lambda one: -one.number)

    async def count_events(self, what: EventFilter) -> int:
        if what.is_counted:
            lanes = self._states.lanes
            wanted = lanes if what.status is None else [what.status]
            return sum(len(lanes[status]) for status in wanted)
        count = 0
        for i, (number, event) in enumerate(self._events(what, newest=True)):
            if i % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            count += self._fits(what, number, event) is not None
        return count

    def _events(self, what: EventFilter, newest: bool) -> Iterator[tuple[int, EventData]]:
        """Yield events that may match, by number; changes during the iteration are harmless."""
        lanes = self._states.lanes
        wanted = [lanes[s] for s in (lanes if what.status is None else [what.status])]
        if sum(map(len, wanted)) <= FEW:
            here = [item for lane in wanted for item in lane.items()]
            here.sort(key=lambda item: item[0], reverse=newest)
            yield from here
            return
        last = max(max(lane, default=0) for lane in wanted)
        for number in range(last, 0, -1) if newest else range(1, last + 1):
            for lane in wanted:
                event = lane.get(number)
                if event is not None:
                    yield number, event
                    break

    def _fits(self, what: EventFilter, number: int, event: EventData) -> Record | None:
        """Return the record of an event that matches and still exists; else None."""
        if event.execution.arrival != number or (what.upto is not None and number > what.upto):
            return None
        if what.above is not None and number <= what.above:
            return None
        status = event.execution.status
        if what.status not in (None, status):
            return None
        if what.blocked and not event.execution.is_blocked:
            return None
        if what.kind and registry.key_of(type(event)) != what.kind:
            return None
        if what.since is not None and event.created_timestamp < what.since:
            return None
        if what.id_digits and not event.id.hex.startswith(what.id_digits):
            return None
        text = "" if what.id_digits else findable(what.text.strip())
        if text and not isinstance(event.execution.error, BaseException):
            return None
        record = self.dated(Record.of(event, self._queue, status), event)
        return record if not text or _says(record, text) else None

    async def kinds(self) -> Sequence[str]:
        found = {type(event) for lane in self._states.lanes.values() for event in lane.values()}
        return sorted(map(registry.key_of, found))

    async def finished(self, since: float, limit: int = 2000) -> Sequence[FinishedEvent]:
        offset, found = self._unix_offset(), list[FinishedEvent]()
        for status in TERMINAL:
            newest = islice(reversed(self._states.lane(status).values()), limit)
            for event in newest:  # the latest ending comes first
                at = _ended(event, offset)
                if at is not None:
                    if at <= since:
                        break
                    found.append(_finished(event, status, at, offset))
        return sorted(found, key=lambda one: one.ended)[-limit:]

    async def finished_counts(
        self, since: float, width: float
    ) -> Mapping[tuple[int, EventStatus], int]:
        offset, tally = self._unix_offset(), Counter[tuple[int, EventStatus]]()
        for status in TERMINAL:
            events = list(self._states.lane(status).values())
            for i, event in enumerate(reversed(events)):
                if i % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
                at = _ended(event, offset)
                if at is not None:
                    if at < since:
                        break
                    tally[int(at / width), status] += 1
        return tally

    async def running(self, limit: int = 200) -> Sequence[RunningEvent]:
        offset = self._unix_offset()
        return [
            RunningEvent(
                Record.of(event, self._queue, _PROCESSING),
                "this process",
                None if (began := event.__dict__.get(BEGAN)) is None else began + offset,
            )
            for event in self._running(limit)
        ]

    def _running(self, limit: int) -> list[EventData]:
        lane = self._states.lane(_PROCESSING)
        return [event for _, event in nsmallest(limit, lane.items(), key=lambda item: item[0])]

    async def limit_usage(self) -> Sequence[LimitUsage]:
        now = (self._clock or asyncio.get_running_loop().time)()
        found = []
        for limit in self._limits.values():
            for key, account in limit.accounts.items():
                used = account.used(max(now, account.last))
                paused = time() + account.paused - now if account.paused > now else 0.0
                found.append(LimitUsage(limit.pool, used, limit.amount, limit.per, paused, key))
        return found

    async def chunks(self, record: Record, first: int) -> Sequence[Any]:
        event = self._states.find(record.id)
        return [] if event is None else event.execution.chunks[first:]


def _says(record: Record, text: str) -> bool:
    """Return True if the error of an event contains a text, in upper or lower case."""
    error = record.payload["execution"].get("error") or {}
    said = findable(f"{error.get('error') or ''}: {error.get('message') or ''}")
    return _pattern(text).search(said) is not None


@lru_cache(maxsize=8)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile("".join(f"[{c}]" if len(c) > 1 else re.escape(c) for c in any_case(text)))


def _ended(event: EventData, offset: float) -> float | None:
    """Return the time at which an event of this process finished."""
    began, ran = event.__dict__.get(BEGAN), event.__dict__.get("_duration")
    return None if began is None or ran is None else began + ran + offset


def _finished(event: EventData, status: EventStatus, at: float, offset: float) -> FinishedEvent:
    state, began = event.execution, event.__dict__[BEGAN] + offset
    ready = max(event.created_timestamp, state.due or 0.0)
    waited = max(0.0, began - ready) if state.attempt_number == 1 else None
    kind = registry.key_of(type(event))
    return FinishedEvent(
        state.arrival or 0, event.id, kind, status, at, waited, event.__dict__["_duration"]
    )
