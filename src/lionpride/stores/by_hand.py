"""The store in memory, by hand: what is done to events that no worker is asked for, and asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING
from uuid import UUID

from ..errors import OperationError
from ..model import registry
from ..model.element import as_id
from ..model.execution import TERMINAL, EventStatus
from ..model.work import Work
from ..rules.lifecycle import (
    FOR_EVER,
    after_expiry,
    apply,
    cancelled_while_waiting,
    check_retryable,
    requeue,
)
from ..rules.limits import Limit
from ..rules.metering import Limits
from .alarm import Alarm
from .clock import LoopClock, time_of_loop
from .contract import Cancelled, Named, not_here
from .listeners import Listener, Listeners, Signal, Unsubscribe
from .rationing import Rationing
from .states import States
from .waiting import Waiting

if TYPE_CHECKING:
    from ..rules.standing import About, Room, Standing
    from .inspector import WorkerRecord
    from .record import Record

__all__ = ("ByHand",)

_PENDING, _PROCESSING = EventStatus.PENDING, EventStatus.PROCESSING
_CANCELLED = EventStatus.CANCELLED


class ByHand:
    """The part of ``MemoryStore`` that needs no claim; its arguments are those."""

    is_shared = False

    def __init__(
        self,
        queue: str = "default",
        *,
        name: str | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.queue = queue
        self.states = States(name=name or queue)
        self._clock = clock or LoopClock()
        self._all = self.states.by_number
        self._pending = self.states.lane(_PENDING)
        self._processing = self.states.lane(_PROCESSING)
        self._completed = self.states.lane(EventStatus.COMPLETED)
        # Claimed and not yet started: pending to a reader of this process, taken to a claim.
        self._held: dict[int, Work] = {}
        self._unwanted: set[int] = set()  # claimed, and a cancel was answered
        self._waiting = Waiting(self._pending, self._held, self._clock)
        self._ready = self._waiting.ready
        self._new, self._new_at = self._ready.new, self._ready.new_at
        self._workers: dict[str, Callable[[Work], object]] = {}
        self._since: dict[str, float] = {}  # when each of them began
        self._about: dict[str, Callable[[], About] | None] = {}
        self._listeners = Listeners()
        self._alarm: Alarm | None = None  # made when something expires
        self._given_clock = clock
        self._rations: dict[Limits, Rationing] = {}
        self._pools: dict[str, Limit] = {}
        self._unique: dict[str, int] = {}  # the number of the newest event of each value

    # -- what is not started in time ---------------------------------------------------------

    def _lapse(self) -> None:
        """Finish the events that were not started in time; set the timer for the next one."""
        for number in self._waiting.late():
            self._expire(number)
        self._set_alarm()

    def _set_alarm(self) -> None:
        at = self._waiting.next_expiry()
        if at is not None:
            if self._alarm is None:
                self._alarm = Alarm(self._clock, self._lapse)
            self._alarm.set(at)

    def _expire(self, number: int) -> None:
        event = self._pending[number]
        ending = after_expiry(event.execution)
        self._waiting.leave(number)
        apply(event.execution, ending)
        del self._pending[number]
        self.states.lane(ending.status)[number] = event
        self._notify_finished((number,))
        self._listeners.notify_expired(event, _PENDING)

    def _ration(self, limits: Limits) -> Rationing:
        """Who chooses under these limits."""
        self._disband(but=limits)
        ration = self._rations.get(limits)
        if ration is None:
            limits.adopt(self._pools)
            ration = self._rations[limits] = Rationing(
                limits, self._pending, self._waiting, self._listeners.notify_ready
            )
        ration.clock = self._given_clock or time_of_loop()
        return ration

    def _disband(self, but: Limits | None = None) -> None:
        """What stands aside for limits may start without them, or under others."""
        for limits, ration in self._rations.items():
            if limits is not but:
                ration.disband()

    # -- by hand -----------------------------------------------------------------------------

    async def cancel(self, events: Sequence[Named]) -> list[Cancelled]:
        numbers = [self._number(event) for event in events]
        answers = []
        for number in numbers:
            event = self._all[number]
            if number in self._held or number in self._processing:
                self._unwanted.add(number)
                for end in tuple(self._workers.values()):
                    end(event)
                answers.append(Cancelled.CLAIMED)
            elif number in self._pending:
                self._waiting.leave(number)
                apply(event.execution, cancelled_while_waiting())
                del self._pending[number]
                self.states.lane(_CANCELLED)[number] = event
                answers.append(Cancelled.DONE)
            else:
                answers.append(Cancelled.SETTLED)
        self._notify_finished(numbers)
        return answers

    async def retry(self, events: Sequence[Named]) -> None:
        numbers = dict.fromkeys(self._number(event) for event in events)
        for number in numbers:
            check_retryable(self._all[number].execution)
        for number in numbers:
            event, state = self._all[number], self._all[number].execution
            del self.states.lane(state.status)[number]
            requeue(state)
            self._pending[number] = event
            self._let_wait(number, None)

    async def prune(
        self, statuses: Collection[EventStatus], *, limit: int | None = None
    ) -> list[Work]:
        pruned: list[Work] = []
        for status in EventStatus:
            if status in TERMINAL and status in statuses:
                left = None if limit is None else limit - len(pruned)
                pruned += islice(self.states.lane(status).values(), left)
        numbers = [event.__dict__["_arrival"] for event in pruned]
        self._drop(pruned)
        self._notify_finished(numbers)
        return pruned

    async def remove(self, events: Sequence[Named]) -> None:
        numbers = [self._number(event) for event in events]
        for number in numbers:
            if number in self._held or number in self._processing:
                raise OperationError(
                    f"{self._all[number]!r} is running: cancel it, and remove it when it has ended"
                )
        for number in self._pending.keys() & set(numbers):
            self._waiting.leave(number)
        self._drop([self._all[number] for number in numbers])
        self._notify_finished(numbers)

    def _drop(self, events: Iterable[Work]) -> None:
        if self._unique:
            for event in events:
                unique = event.execution.unique
                if unique is not None and self._unique.get(unique[0]) == event.execution.arrival:
                    del self._unique[unique[0]]
        self.states.drop(events)

    def _number(self, event: Named) -> int:
        held = event if isinstance(event, Work) else self.states.find(as_id(event))
        number = None if held is None else held.execution.arrival
        if number is None or self._all.get(number) is not held:
            raise not_here(event, self.queue)
        return number

    # -- asking ------------------------------------------------------------------------------

    def time(self) -> float:
        return self._clock()

    async def counts(self) -> dict[EventStatus, int]:
        counts = {status: len(lane) for status, lane in self.states.lanes.items()}
        counts[_PENDING] -= len(self._held)
        counts[_PROCESSING] += len(self._held)
        return counts

    async def list_records(
        self, status: EventStatus | None = None, *, after: int | None = None, limit: int = 100
    ) -> list[Record]:
        lower = after or 0
        lane = self._all if status is None or status is _PROCESSING else self.states.lane(status)
        numbers = (
            number
            for number, event in lane.items()
            if number > lower and status in (None, self._status(number, event))
        )
        page = nsmallest(limit, numbers)
        return [self._record(self._all[number]) for number in page]

    async def get(self, ids: Iterable[UUID | str]) -> list[Record | None]:
        found = [self.states.find(as_id(each)) for each in ids]
        return [None if event is None else self._record(event) for event in found]

    def _status(self, number: int, event: Work) -> EventStatus:
        """The status as a store counts it: claimed is PROCESSING."""
        return _PROCESSING if number in self._held else event.execution.status

    def _record(self, event: Work) -> Record:
        from .record import Record  # late: a large dataclass, which running needs not

        return Record.of(event, self.queue, self._status(self._number(event), event))

    async def pause(self, until: float = FOR_EVER) -> None:
        self._waiting.pause_until(until)
        self._listeners.notify_ready()

    async def paused_until(self) -> float:
        return self._waiting.paused_until or 0.0

    async def explain(self, uid: UUID, limits: Limits | None = None) -> Standing | None:
        from ..rules.standing import First, Standing  # late: running needs neither
        from .asked import rooms_here, workers_here  # late: as above

        event = self.states.find(uid)
        if event is None:
            return None
        number = self._number(event)
        state, status, now = event.execution, self._status(number, event), self._clock()
        waits = status is _PENDING
        is_due = waits and (state.due is None or state.due <= now)
        ahead, first = 0, None
        if is_due:
            ahead, head = await self._ahead(state.priority or 0.0, number)
            if head is not None:
                rooms = rooms_here(limits, head, self._given_clock, now)
                first = First(head.id, registry.key_of(type(head)), rooms)
        return Standing(
            event.id,
            self.queue,
            registry.key_of(type(event)),
            status,
            state.attempt_number,
            state.denials,
            state.failure_count,
            state.interruptions,
            now,
            due=state.due if waits else None,
            expires=state.expires,
            ahead=ahead,
            paused=self._waiting.paused_until,
            rooms=rooms_here(limits, event, self._given_clock, now) if waits else (),
            workers=tuple(workers_here(self._about)),
            first=first,
        )

    async def limit_usage(self, limits: Limits | None = None) -> list[Room]:
        from .asked import usage_here  # late: as above

        known: Mapping[str, Limit] = self._pools if limits is None else limits
        return usage_here(known, self._given_clock, self._clock())

    async def _ahead(self, priority: float, number: int) -> tuple[int, Work | None]:
        """How many come before this one of those that are due, and the first of them."""
        from .asked import ahead_of  # late: as above

        return await ahead_of(self._pending, self._held, (priority, number), self._clock())

    async def find(self, uid: UUID | str) -> Work | None:
        return self.states.find(as_id(uid))

    async def last_arrival(self) -> int:
        return self._all.last

    async def workers(self) -> list[WorkerRecord]:
        """See ``Store.workers``; all claims are listed with the first worker."""
        from platform import node  # late: running needs neither

        from .inspector import ClaimedEvent, WorkerRecord  # late: as above

        claimed = (
            (number, event)
            for number, event in self._all.items()
            if self._status(number, event) is _PROCESSING
        )
        held = tuple(
            ClaimedEvent(
                number, event.id, registry.key_of(type(event)), event.execution.attempt_number, None
            )
            for number, event in sorted(claimed)
        )
        now, host, pid, records = self._clock(), node(), os.getpid(), []
        for name, since in self._since.items():
            say = self._about.get(name)
            said = None if say is None else say()
            record = WorkerRecord(name, self.queue, host, pid, since, now, 0.0, True, held, said)
            records.append(record)
            held = ()
        return records

    # -- listeners ---------------------------------------------------------------------------

    def subscribe(
        self,
        signal: Signal,
        listener: Listener,
        *,
        event: Work | None = None,
        once: bool = False,
    ) -> Unsubscribe:
        number = None if event is None else self._number(event)
        return self._listeners.subscribe(signal, listener, number=number, once=once)

    def _let_wait(self, number: int, delay: float | None) -> None:
        self._waiting.add(number, delay)
        if "_expires" in self._pending[number].__dict__:
            self._set_alarm()
        self._listeners.notify_ready()

    def _notify_finished(self, numbers: Iterable[int]) -> None:
        """Notify of these events, of capacity, and of idleness if nothing is left."""
        self._listeners.notify_finished(numbers)
        self._listeners.notify_capacity()
        if not self._pending and not self._processing:
            self._listeners.notify_idle()

    async def close(self) -> None:
        if self._alarm is not None:
            self._alarm.off()
