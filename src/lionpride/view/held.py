"""Answers about what a process holds: for a store in memory, and any that has none of its own."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from heapq import nsmallest
from time import time
from typing import Any, Final

from ..engine.observers import Observers
from ..model import registry
from ..model.execution import TERMINAL, EventStatus
from ..model.work import Work
from ..rules.transition import Transition
from ..stores.contract import Store
from ..stores.record import Record
from ..stores.seen import Runs, Sought, Stay, Usage
from .records import error_of

__all__ = ["Held"]

KEPT: Final = 10_000
"""Ended attempts that are remembered."""

FEW: Final = 20_000
"""Events that may be sorted at once; of more, each number is looked up in turn."""

SLICE: Final = 2_000
"""Events that are looked at before others have their turn."""

_PROCESSING = EventStatus.PROCESSING


class Held:
    """See ``Seen``. It observes the store from now on, for no event in memory knows when it ran.

    Args:
        store: Whose events they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._states = store.states
        self._steps = 0
        self._stays: deque[Stay] = deque(maxlen=KEPT)
        self._began: dict[int, float] = {}
        self._ended: dict[int, float] = {}
        self._offset = time() - asyncio.get_running_loop().time()
        self._stop: Callable[[], None] = Observers.of(store).add(self._note)

    async def close(self) -> None:
        """Observe no longer."""
        self._stop()

    def _note(self, step: Transition) -> None:
        self._steps += 1
        event, at = step.event, step.at + self._offset
        number = event.execution.arrival or 0
        if step.after is _PROCESSING:
            self._began[number] = at
            return
        self._began.pop(number, None)
        if step.after in TERMINAL:
            status = EventStatus(step.after)
            kind = registry.key_of(type(event))
            stay = Stay(number, event.id, kind, status, at, step.waited, step.duration)
            if len(self._stays) == KEPT:
                self._ended.pop(self._stays[0].number, None)
            self._stays.append(stay)
            self._ended[number] = at

    # -- the questions: see Seen -------------------------------------------------------------

    async def version(self) -> object:
        lanes = self._states.lanes.values()
        live = [(len(e.execution.chunks), e.execution.progress) for e in self._running(50)]
        return self._steps, tuple(map(len, lanes)), str(live)

    async def sought(
        self, what: Sought, *, before: int | None = None, after: int | None = None, limit: int = 50
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

    async def how_many(self, what: Sought) -> int:
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

    def _events(self, what: Sought, newest: bool) -> Iterator[tuple[int, Work]]:
        """Those that may be meant, by number; what enters or leaves meanwhile does not matter."""
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

    def _fits(self, what: Sought, number: int, event: Work) -> Record | None:
        """The record of an event that is meant, and is still here."""
        if event.execution.arrival != number or (what.upto is not None and number > what.upto):
            return None
        status = event.execution.status
        if what.status not in (None, status):
            return None
        if what.kind and registry.key_of(type(event)) != what.kind:
            return None
        if what.since is not None and event.created_timestamp < what.since:
            return None
        if what.id_digits and not event.id.hex.startswith(what.id_digits):
            return None
        text = "" if what.id_digits else what.text.strip().lower()
        if text and not isinstance(event.execution.error, BaseException):
            return None
        record = self.dated(Record.of(event, self._store.queue, status))
        return record if text in error_of(record).lower() else None

    def dated(self, record: Record) -> Record:
        """A record, with the time at which its event ended, if that was observed."""
        ended = self._ended.get(record.number) if record.status in TERMINAL else None
        return record if ended is None else replace(record, ended=ended)

    async def ended(self, since: float, limit: int = 2000) -> Sequence[Stay]:
        found: list[Stay] = []
        for stay in reversed(self._stays):
            if stay.ended <= since or len(found) == limit:
                break
            found.append(stay)
        return found[::-1]

    async def tallied(self, since: float, width: float) -> Mapping[tuple[int, EventStatus], int]:
        return Counter((int(s.ended / width), s.status) for s in self._stays if s.ended >= since)

    async def runs(self, limit: int = 200) -> Sequence[Runs]:
        return [
            Runs(
                Record.of(event, self._store.queue, _PROCESSING),
                "this process",
                self._began.get(event.execution.arrival or 0),
            )
            for event in self._running(limit)
        ]

    def _running(self, limit: int) -> list[Work]:
        lane = self._states.lane(_PROCESSING)
        return [event for _, event in nsmallest(limit, lane.items(), key=lambda item: item[0])]

    async def usage(self) -> Sequence[Usage]:
        return []

    async def chunks(self, record: Record, first: int) -> Sequence[Any]:
        event = self._states.find(record.id)
        return [] if event is None else event.execution.chunks[first:]
