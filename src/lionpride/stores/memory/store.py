"""Store in memory: the status lists are the data, and a priority queue gives their order."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from heapq import nsmallest
from itertools import islice
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID
from weakref import WeakMethod

from ...errors import ExistsError, NotFoundError, OperationError
from ...model import registry
from ...model.after import After
from ...model.continuation import ContinuedBy
from ...model.element import as_id
from ...model.event_data import EventData
from ...model.execution import TERMINAL, EventStatus
from ...model.serialization.depth import fields_that_may_be_deep, refuse_deep_values
from ...rules.action import Action, PauseRecord, What, and_action, check_by
from ...rules.dependencies import after_unmet, check_acyclic, continuation_cycle
from ...rules.limits.limit import Limit
from ...rules.limits.limit_set import Limits
from ...rules.limits.meter import Meter, end_meter, refusal_of
from ...rules.state_machine import (
    FOR_EVER,
    Completion,
    Continued,
    Ending,
    Outcome,
    after_cancel,
    after_expiry,
    after_interruption,
    apply,
    cancelled_while_waiting,
    check_retryable,
    requeue,
)
from ..alarm import Alarm
from ..append_checks import are_new, check_room, refuse_connection
from ..clock import LoopClock, time_of_loop
from ..contract import (
    NO_PARENTS,
    Cancelled,
    Claim,
    Entry,
    Named,
    Relative,
    Settled,
    Settlement,
    Started,
    Stuck,
    not_here,
)
from ..event_types import RunnableTypes
from ..listeners import Listener, Listeners, Signal, Unsubscribe
from ..states import States
from ..terms import Terms
from .dependencies import Dependencies, Edge
from .limiter import Limiter
from .ready_queue import ReadyQueue

if TYPE_CHECKING:
    from ...rules.queue_position import About, Blockers, Room, Standing
    from ..inspector import WorkerRecord
    from ..record import Record
    from ..schedule_record import ScheduleRecord
    from .inspector import MemoryInspector

__all__ = ("MemoryStore",)

_PENDING, _PROCESSING = EventStatus.PENDING, EventStatus.PROCESSING
_CANCELLED = EventStatus.CANCELLED
_APPLIED = Settled.APPLIED


class MemoryStore:
    """Keeps the events of one queue in this process.

    No method suspends, so each is one atomic step of the event loop. It has the ``ImmediatePath``.

    Args:
        queue: Name of the queue.
        name: Name of the ``states``; by default that of the queue.
        clock: Returns the time as a Unix timestamp in seconds, for scheduled events. By default it
            is the machine's clock, or the event loop's if its time is virtual.
    """

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
        self._given_clock = clock
        self._all = self.states.by_number
        self._pending = self.states.lane(_PENDING)
        self._processing = self.states.lane(_PROCESSING)
        self._completed = self.states.lane(EventStatus.COMPLETED)
        # Claimed and not started: pending to a reader of this process, claimed to other claims.
        self._held: dict[int, EventData] = {}
        self._cancelling: set[int] = set()  # claimed events whose cancel was answered
        self.event_types = RunnableTypes(f"queue {queue!r}", _weak(self._types_changed))
        self._waiting = ReadyQueue(self._pending, self._held, self._clock, _weak(self._refuse))
        self._ready = self._waiting.ready
        self._new, self._new_at = self._ready.new, self._ready.new_at
        # The last event type whose events cannot be nested too deep.
        self._checked_type: type[EventData] | None = None
        self._unique: dict[str, dict[int, None]] = {}  # the events of each unique value, in order
        self._dependencies = Dependencies(self._all)
        self._children = self._dependencies.children
        self._limiters: dict[Limits, Limiter] = {}
        self._last_limiter: Limiter | None = None  # of the last claim, with the clock of its loop
        self._pools: dict[str, Limit] = {}
        self._workers: dict[str, Callable[[EventData], object]] = {}
        self._since: dict[str, float] = {}  # the start of each worker
        self._about: dict[str, Callable[[], About] | None] = {}
        self._listeners = Listeners()
        self._schedules: dict[str, ScheduleRecord] = {}
        self._paused: PauseRecord | None = None
        self._alarm: Alarm | None = None  # made when an event expires
        self._inspector: MemoryInspector | None = None

    # -- append ------------------------------------------------------------------------------

    async def append(
        self,
        entries: Sequence[Entry],
        *,
        room: int | None = None,
        exist_ok: bool = False,
        terms: Terms | None = None,
        after: Mapping[UUID, After] = NO_PARENTS,
        connection: Any = None,
    ) -> list[EventData]:
        """See ``Store.append``."""
        refuse_connection(connection)
        return self._append(entries, room=room, exist_ok=exist_ok, terms=terms, after=after)

    def _append(
        self,
        entries: Sequence[Entry],
        *,
        room: int | None = None,
        exist_ok: bool = False,
        terms: Terms | None = None,
        after: Mapping[UUID, After] = NO_PARENTS,
    ) -> list[EventData]:
        if terms is not None and (holder := self._unique_holder(terms)) is not None:
            return [holder]
        events = [event for event, _ in entries]
        if are_new(events):
            fresh, held = entries, events  # no id has to be made
        else:
            taken = _resolve(self.states, entries, exist_ok=exist_ok)
            fresh = [entry for entry in taken.values() if entry[0].execution.arrival is None]
            held = [taken[event.id][0] for event, _ in entries]
        for event, _ in fresh:
            self._check(event)
        check_room(len(self._pending), len(fresh), room)
        children = [event for event, _ in fresh if event.id in after] if after else []
        self._check_parents({event.id: after[event.id] for event in children}, fresh)
        for event, priority in fresh:
            _write_options(event, terms, after.get(event.id) if after else None)
            self._add(event, priority)
        cancelled = self._link(children)
        self._listeners.notify_ready()
        if cancelled:  # observers are notified of the append first
            asyncio.get_running_loop().call_soon(self._notify_cancelled, cancelled)
        return held

    def append_now(self, event: EventData, priority: float) -> bool:
        """See ``ImmediatePath.append_now``."""
        own = event.__dict__
        if "id" in own or "_status" in own:
            return False  # it may be known
        if type(event) is not self._checked_type or "_metadata" in own:
            self._check(event)
        self._all.last = number = self._all.last + 1
        own["_status"] = "pending"
        own["_arrival"] = number
        own["_priority"] = priority
        self._pending[number] = event
        new, listeners = self._new, self._listeners
        first = not new
        new.append(number)
        self._new_at.append(priority)
        if listeners.ready_once:
            listeners.notify_ready()
        elif first:
            for listener in listeners.ready:
                listener()
        return True

    def append_all_now(self, events: Sequence[EventData], priorities: Sequence[float]) -> bool:
        """See ``ImmediatePath.append_all_now``."""
        if not are_new(events):
            return False
        for event in events:
            if type(event) is not self._checked_type or "_metadata" in event.__dict__:
                self._check(event)
        numbers = range(self._all.last + 1, self._all.last + 1 + len(events))
        pending = self._pending
        for event, priority, number in zip(events, priorities, numbers, strict=True):
            own = event.__dict__
            own["_status"] = "pending"
            own["_arrival"] = number
            own["_priority"] = priority
            pending[number] = event
        self._all.last += len(numbers)
        self._new.extend(numbers)
        self._new_at.extend(priorities)
        self._listeners.notify_ready()
        return True

    async def load(self, events: Sequence[EventData]) -> int:
        """See ``Store.load``."""
        entries = [(event, 0.0) for event in events]
        _resolve(self.states, entries, exist_ok=False)
        for event in events:
            self._check(event)
        children = [event for event in events if event.execution.after is not None]
        waiting = _parents_of(children)
        self._check_parents(waiting, entries)
        check_acyclic(waiting)
        for event in events:
            state = event.execution
            if state.status is _PROCESSING:
                apply(state, after_interruption(state.interruptions))
            if state.priority is None:
                state.priority = event.created_timestamp
            if state.status is _PENDING:
                self._add(event, state.priority)
            else:
                self._all.last = state.arrival = self._all.last + 1
                self.states.lane(state.status)[state.arrival] = event
                self._note_unique(event, state.arrival)
        self._link(children)
        self._listeners.notify_ready()
        return len(events)

    async def import_records(self, records: Sequence[Record]) -> int:
        """See ``Store.import_records``."""
        events = [cast("EventData", record.event()) for record in records]
        for event, record in zip(events, records, strict=True):
            event.execution.status = record.status  # a claimed event may not show it yet
            if record.actions:
                event.__dict__["_actions"] = record.actions
        return await self.load(events)

    def _check(self, event: EventData) -> None:
        """Refuse an event that is nested too deep to be written."""
        refuse_deep_values(event)
        kind = type(event)
        if not self.event_types.runs_class(kind):
            self._waiting.may_refuse = self._waiting.is_mixed = True
        elif not fields_that_may_be_deep(kind) and kind.model_config.get("extra") != "allow":
            self._checked_type = kind

    def _types_changed(self) -> None:
        self._checked_type = None
        self.event_types.still_missing()
        runs = self.event_types.runs_class
        may_refuse = any(not runs(type(event)) for event in self._pending.values())
        self._waiting.refuse_again(may_refuse=may_refuse)
        self._listeners.notify_ready()

    def _refuse(self, number: int) -> bool:
        """Return True if this process does not run an event, which stays pending."""
        kind = type(self._pending[number])
        if self.event_types.runs_class(kind):
            return False
        self.event_types.missing.add(registry.key_of(kind))
        if self.event_types.warn_of_missing():
            self._notify_if_idle()
        return True

    def _add(self, event: EventData, priority: float) -> None:
        """Add a pending event under the next number."""
        state = event.execution
        self._all.last = number = self._all.last + 1
        state.become(_PENDING)
        state.arrival = number
        state.priority = priority
        self._pending[number] = event
        self._note_unique(event, number)
        self._waiting.add(number)
        if state.expires is not None:
            self._set_alarm()

    def _check_parents(self, after: Mapping[UUID, After], entries: Sequence[Entry]) -> None:
        """Check that the parents of new events are in the store, or new as well.

        Raises:
            NotFoundError: if one is not.
        """
        new = {event.id for event, _ in entries} if after else set[UUID]()
        for child, (parents, *_) in after.items():
            for uid in parents:
                if uid not in new and self.states.find(uid) is None:
                    raise NotFoundError(
                        f"after: queue {self.queue!r} has no event {uid}, a parent of {child}: "
                        "append it before, or in the same batch; nothing was appended"
                    )

    def _link(self, children: Sequence[EventData]) -> list[int]:
        """Connect new events with their parents, and resolve the parents that have finished.

        Returns:
            The numbers of the events that were cancelled, and of children that were cancelled for
            these.
        """
        for event in children:
            parents = () if event.execution.after is None else event.execution.after.parents
            held = [self.states.find(uid) for uid in parents]
            numbers = [
                0 if each is None else _number_of(self._last_continuation(each)) for each in held
            ]
            self._dependencies.add(event, numbers)
        cancelled: list[int] = []
        for event in children:
            is_met = self._dependencies.resolve_finished_parents(event)
            if is_met is not None:
                cancelled += self._decide([(_number_of(event), is_met)])
        return cancelled + self._resolve(cancelled)

    def _note_unique(self, event: EventData, number: int) -> None:
        unique = event.execution.unique
        if unique is not None:
            self._unique.setdefault(unique[0], {})[number] = None

    def _unique_holder(self, terms: Terms) -> EventData | None:
        """Return the newest event of the unique value, if it stands for the one to append."""
        numbers = None if terms.unique is None else self._unique.get(terms.unique[0])
        if not numbers:
            return None
        event = self._all[next(reversed(numbers))]
        unique = event.execution.unique
        assert unique is not None, "it is noted by its unique value"
        waits = self._last_continuation(event).execution.status in (_PENDING, _PROCESSING)
        return event if terms.are_met_by(unique, waits) else None

    # -- claim -------------------------------------------------------------------------------

    async def claim(
        self,
        worker: str,
        n: int = 1,
        *,
        until: int | None = None,
        skip: Collection[int] = (),
        denied: bool = False,
        start: bool = False,
        limits: Limits | None = None,
    ) -> tuple[list[Claim], float | None]:
        """See ``Store.claim``."""
        waiting = self._waiting
        if waiting.is_mixed:
            self._finish_expired()
        if limits is not None:
            allowed, wait = self._limiter(limits).select(n, until, skip, denied, start)
            return [self._hold_limited(number, start) for number in allowed], wait
        self._release_deferred()
        newer = until is not None and until < self._all.last
        if newer or skip or (denied and waiting.has_denied()):
            numbers = waiting.take(n, until, skip, denied)
        else:
            numbers = list(islice(iter(waiting.pop, None), n))
        claims = [self._hold(number) for number in numbers]
        if start:
            for event, _ in claims:
                self.start(event)
        return claims, waiting.seconds()

    def claim_now(self, limits: Limits | None = None) -> Started | None:
        """See ``ImmediatePath.claim_now``."""
        ready, new, waiting = self._ready, self._new, self._waiting
        number: int | None
        if limits is not None or waiting.is_mixed:
            number = self._next(limits)
        elif new:
            if len(new) > 1 or ready.run or ready.chunks or ready.heap:
                number = waiting.pop()
            else:  # the only entry: `PriorityQueue.pop`, without two calls
                self._new_at.clear()
                number = new.pop()
        elif ready.run and not ready.heap:
            number = ready.run.popleft()
        else:
            number = waiting.pop()
        if number is None:
            return None
        event = self._processing[number] = self._pending.pop(number)
        own, attempt = event.__dict__, 1
        own["_status"] = "processing"
        if "_attempt" in own:
            attempt += own["_attempt"]
            own.pop("_denials", None)
        own["_attempt"] = attempt
        if self._listeners.capacity:
            self._listeners.notify_capacity()
        return event, attempt, own

    def _next(self, limits: Limits | None) -> int | None:
        """Remove the next event if it may start, and return its number."""
        if self._waiting.is_mixed:
            self._finish_expired()
        if limits is None:
            return self._waiting.pop()
        limiter = self._last_limiter
        if limiter is None or limiter.limits is not limits:
            limiter = self._limiter(limits)
        return limiter.pop()

    def holds(self, event: EventData, attempt: int) -> bool:
        """See ``Store.holds``."""
        own = event.__dict__
        number = own.get("_arrival", 0)
        claimed = self._held.get(number) is event or self._processing.get(number) is event
        if not claimed or own["_attempt"] != attempt:
            return False
        return "_expires" not in own or own["_expires"] > self._clock()

    def start(self, event: EventData) -> None:
        """See ``Store.start``."""
        number = event.execution.arrival
        if number is None or self._held.pop(number, None) is None:
            raise OperationError(f"{event!r} is not claimed: only a claimed event can start")
        del self._pending[number]
        self._processing[number] = event
        state = event.execution
        state.become(_PROCESSING)
        state.denials = 0
        state.due = None
        if "_meter" in state.own:
            state.own["_meter"].begin()
        if self._listeners.capacity:
            self._listeners.notify_capacity()

    def _hold_limited(self, number: int, start: bool) -> Claim:
        claim = self._hold(number)
        if start and refusal_of(claim[0]) is None:
            self.start(claim[0])
        return claim

    def _hold(self, number: int) -> Claim:
        """Claim an event without starting it; its ``due`` stays, in case it is released."""
        event = self._held[number] = self._pending[number]
        event.execution.attempt_number += 1
        return event, event.execution.attempt_number

    def _limiter(self, limits: Limits) -> Limiter:
        """Return the limiter for these limits."""
        self._release_deferred(but=limits)
        limiter = self._limiters.get(limits)
        if limiter is None:
            limits.adopt(self._pools)
            limiter = self._limiters[limits] = Limiter(
                limits, self._pending, self._waiting, self._listeners.notify_ready
            )
        limiter.clock = self._given_clock or time_of_loop()
        self._last_limiter = limiter
        return limiter

    def _release_deferred(self, but: Limits | None = None) -> None:
        """Make the events ready that other limits defer."""
        self._last_limiter = None
        for limits, limiter in self._limiters.items():
            if limits is not but:
                limiter.release()

    # -- settle ------------------------------------------------------------------------------

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        """See ``Store.settle``."""
        return [self.settle_now(*settlement) for settlement in settlements]

    def settle_now(self, event: EventData, attempt: int, outcome: Outcome) -> Settled:
        """See ``ImmediatePath.settle_now``."""
        own = event.__dict__
        if isinstance(outcome, Continued):
            return self._settle_continued(event, attempt, outcome)
        if isinstance(outcome, Completion):
            return self.complete_now(event, attempt, outcome.response, outcome.duration)
        number: int = own.get("_arrival", 0)
        if self._processing.get(number) is not event or own["_attempt"] != attempt:
            return self._settle_unstarted(event, attempt, outcome)
        answer = self._apply(number, event, outcome)
        del self._processing[number]
        status = event.execution.status
        if status is _PENDING:
            self._pending[number] = event
            self._enqueue(number, outcome.delay)
        else:
            self.states.lane(status)[number] = event
        if self._listeners.idle or self._listeners.finished or self._children:
            self._notify_finished((number,))
        return answer

    def _settle_continued(self, event: EventData, attempt: int, outcome: Continued) -> Settled:
        """Complete an event, and append what continues it, if the claim holds."""
        number = event.execution.arrival
        if self._processing.get(number or 0) is event and event.__dict__["_attempt"] == attempt:
            self._check_continuation(event, outcome)
            self._append(outcome.entries, after=outcome.after)
        return self.complete_now(event, attempt, outcome.response, outcome.duration)

    def _check_continuation(self, event: EventData, outcome: Continued) -> None:
        """Check that what continues an event does not wait for the event itself.

        Raises:
            ValidationError: if it does.
        """
        waiting: set[int] | None = None
        for uid in {uid for one in outcome.after.values() for uid in one.parents}:
            if (held := self.states.find(uid)) is not None:
                if waiting is None:
                    waiting = self._dependencies.waiting_for(_number_of(event))
                if held.execution.arrival in waiting:
                    raise continuation_cycle(uid)

    def _last_continuation(self, event: EventData) -> EventData:
        """Return the event that computes the result of an event: the last continuation."""
        while isinstance(by := event.__dict__.get("_response"), ContinuedBy):
            found = self.states.find(by.id)
            if found is None:
                break  # it was removed
            event = found
        return event

    def complete_now(
        self, event: EventData, attempt: int, response: Any, duration: float
    ) -> Settled:
        """See ``ImmediatePath.complete_now``."""
        own, processing = event.__dict__, self._processing
        number: int = own.get("_arrival", 0)
        if own.get("_attempt") != attempt or processing.get(number) is not event:
            return self._settle_unstarted(event, attempt, Completion(response, duration))
        del processing[number]
        if self._cancelling:
            self._cancelling.discard(number)
        own["_status"] = "completed"  # always allowed after PROCESSING
        own["_response"] = response
        own["_duration"] = duration
        self._completed[number] = event
        if "_meter" in own:
            end_meter(event)
        listeners = self._listeners
        if self._children and number in self._children:
            self._notify_finished((number,))
            return _APPLIED
        if listeners.finished:
            listeners.notify_finished((number,))
        is_waited_for = listeners.idle and not self._processing
        if is_waited_for and (not self._pending or self.event_types.missing):
            listeners.notify_idle()
        return _APPLIED

    def _settle_unstarted(self, event: EventData, attempt: int, outcome: Outcome) -> Settled:
        """Settle a claim that was never started; or return why it cannot be settled."""
        state = event.execution
        number = state.arrival
        if number is None or self._all.get(number) is not event or state.attempt_number != attempt:
            return Settled.FENCED
        if number not in self._held:
            cancelled = outcome.status is _PENDING and state.status is _CANCELLED
            same = cancelled or state.status is outcome.status
            return Settled.REPLAYED if same else Settled.FENCED
        answer = self._apply(number, event, outcome)
        del self._held[number]
        if isinstance(outcome, Ending) and state.status is _PENDING:
            self._enqueue(number, outcome.delay)
        else:
            del self._pending[number]
            self.states.lane(state.status)[number] = event
            self._notify_finished((number,))
        return answer

    def _apply(self, number: int, event: EventData, outcome: Outcome) -> Settled:
        """Write the outcome of a claim on its event, or CANCELLED if a cancel was answered."""
        state, is_cancelling = event.execution, number in self._cancelling
        apply(state, outcome)
        self._end_meter(event, outcome)
        self._cancelling.discard(number)
        if not is_cancelling or state.status is not _PENDING:
            return _APPLIED
        apply(state, after_cancel(state.error, state.duration))
        return Settled.CANCELLED

    def _end_meter(self, event: EventData, outcome: Outcome) -> None:
        """End the reservations of a claim, and pause the limit that its outcome names."""
        pause = outcome.pause if isinstance(outcome, Ending) else None
        if pause is not None:
            meter: Meter | None = event.__dict__.get("_meter")
            if meter is None or not meter.pause(pause):
                self._waiting.pause(pause.seconds)
        end_meter(event)

    def _enqueue(self, number: int, delay: float | None) -> None:
        """Have a pending event wait to be claimed."""
        self._waiting.add(number, delay)
        if "_expires" in self._pending[number].__dict__:
            self._set_alarm()
        self._listeners.notify_ready()

    # -- workers -----------------------------------------------------------------------------

    def register_worker(
        self,
        worker: str,
        cancel: Callable[[EventData], object],
        about: Callable[[], About] | None = None,
    ) -> None:
        """See ``Store.register_worker``."""
        self._last_limiter = None  # the event loop may be another one
        self._workers[worker] = cancel
        self._since.setdefault(worker, self._clock())
        self._about[worker] = None if about is None else partial(self._describe, about)

    def _describe(self, about: Callable[[], About]) -> About:
        """Return the description of a worker, with the event types that are not run here."""
        return about()._replace(missing=tuple(sorted(self.event_types.missing)))

    def unregister_worker(self, worker: str) -> None:
        """See ``Store.unregister_worker``."""
        self._workers.pop(worker, None)
        self._since.pop(worker, None)
        self._about.pop(worker, None)
        if not self._workers:
            self._release_deferred()
        self._listeners.notify_idle()

    async def reap(self, limit: int = 1000) -> int:
        """See ``Store.reap``. A claim ends with this process, as does the store."""
        return 0

    def publish(self, event: EventData, attempt: int) -> None:
        """See ``Store.publish``. The event contains its chunks and its progress."""

    # -- expiry ------------------------------------------------------------------------------

    def _finish_expired(self) -> None:
        """Finish the events that were not started in time; set the timer for the next one."""
        if self._waiting.next_expiry() is None:
            return
        numbers = []
        for number in self._waiting.expired():
            self._finish_pending(number, after_expiry(self._pending[number].execution))
            numbers.append(number)
        if numbers:
            self._notify_finished(numbers)
            for number in numbers:
                self._listeners.notify_expired(self._all[number], _PENDING)
        self._set_alarm()

    def _finish_pending(self, number: int, ending: Ending) -> None:
        """Finish an event that is not claimed."""
        event = self._pending[number]
        self._waiting.remove(number)
        apply(event.execution, ending)
        del self._pending[number]
        self.states.lane(ending.status)[number] = event

    # -- dependencies ------------------------------------------------------------------------

    def _resolve(self, numbers: Iterable[int]) -> list[int]:
        """Release or cancel the children of events that have finished, and the children of these.

        Returns:
            The numbers of the events that were cancelled.
        """
        ended = list(numbers)
        first = len(ended)
        for number in ended:  # it grows
            if number in self._children:
                last = self._last_continuation(self._all[number])
                if last is self._all[number]:
                    ended += self._decide(self._dependencies.resolve_children(number))
                else:
                    ended += self._follow(number, _number_of(last))
        return ended[first:]

    def _follow(self, number: int, following: int) -> list[int]:
        """Let the children of an event wait for its continuation; return the cancelled ones."""
        decided = list[tuple[int, bool]]()
        for child in self._dependencies.follow(number, following):
            is_met = self._dependencies.resolve_finished_parents(child)
            if is_met is not None:
                decided.append((_number_of(child), is_met))
        return self._decide(decided)

    def _decide(self, decided: Iterable[tuple[int, bool]]) -> list[int]:
        """Release blocked events (True) or cancel them (False); return the cancelled ones."""
        cancelled: list[int] = []
        is_released = False
        for number, is_met in decided:
            state = self._pending[number].execution
            if is_met:
                state.due = None if state.after is None else state.after.due
                self._waiting.add(number)
                is_released = True
            else:
                parent, when = self._dependencies.cause_of(number)
                kind, status = registry.key_of(type(parent)), parent.execution.status
                self._finish_pending(number, after_unmet(parent.id, kind, status, when))
                cancelled.append(number)
        if is_released:
            self._listeners.notify_ready()
        return cancelled

    def _set_alarm(self) -> None:
        at = self._waiting.next_expiry()
        if at is not None:
            if self._alarm is None:
                self._alarm = Alarm(self._clock, self._finish_expired)
            self._alarm.set(at)

    # -- administration ----------------------------------------------------------------------

    async def cancel(self, events: Sequence[Named], *, by: str | None = None) -> list[Cancelled]:
        """See ``Store.cancel``."""
        numbers = [self._number(event) for event in events]
        check_by(by)
        answers = []
        for number in numbers:
            event = self._all[number]
            if number not in self._pending and number not in self._processing:
                answers.append(Cancelled.SETTLED)
                continue
            self._note_action(event, "cancel", by)
            if number in self._held or number in self._processing:
                self._cancelling.add(number)
                for cancel in tuple(self._workers.values()):
                    cancel(event)
                answers.append(Cancelled.CLAIMED)
            else:
                self._finish_pending(number, cancelled_while_waiting())
                answers.append(Cancelled.DONE)
        self._notify_finished(numbers)
        return answers

    async def retry(self, events: Sequence[Named], *, by: str | None = None) -> None:
        """See ``Store.retry``."""
        numbers = dict.fromkeys(self._number(event) for event in events)
        check_by(by)
        for number in numbers:
            check_retryable(self._all[number].execution)
        again = self._dependencies.wait_again(numbers) if self._children else {}
        for number in {**numbers, **again}:
            event, state = self._all[number], self._all[number].execution
            del self.states.lane(state.status)[number]
            requeue(state)
            if number in numbers:
                self._note_action(event, "retry", by)
            state.due = inf if number in again else None
            self._pending[number] = event
            self._enqueue(number, None)
        for number in again.keys() - numbers.keys():
            self._listeners.notify_expired(self._all[number], _CANCELLED)

    def _note_action(self, event: EventData, what: What, by: str | None) -> None:
        """Record who has cancelled or retried an event, if the caller has given a name."""
        if by is not None:
            own = event.__dict__
            action = Action(what, by, self._clock())
            own["_actions"] = and_action(own.get("_actions", ()), action)

    async def remove(self, events: Sequence[Named]) -> None:
        """See ``Store.remove``."""
        numbers = [self._number(event) for event in events]
        given = set(numbers)
        for number in numbers:
            if number in self._held or number in self._processing:
                raise OperationError(
                    f"{self._all[number]!r} is running: cancel it, and remove it when it has ended"
                )
            if (child := self._dependencies.unfinished_child(number, given)) is not None:
                raise OperationError(
                    f"{self._all[number]!r} is a parent of {child!r}, which has not finished: "
                    "remove both, or cancel the child first"
                )
        for number in self._pending.keys() & given:
            self._waiting.remove(number)
        self._drop([self._all[number] for number in numbers])
        self._notify_finished(numbers)

    async def prune(
        self,
        statuses: Collection[EventStatus],
        *,
        limit: int | None = None,
        before: float | None = None,
    ) -> list[EventData]:
        """See ``Store.prune``."""
        pruned: list[EventData] = []
        for status in EventStatus:
            if status in TERMINAL and status in statuses:
                left = None if limit is None else limit - len(pruned)
                pruned += islice(self._removable(status, before), left)
        numbers = [event.__dict__["_arrival"] for event in pruned]
        self._drop(pruned)
        self._notify_finished(numbers)
        return pruned

    def _removable(self, status: EventStatus, before: float | None) -> Iterator[EventData]:
        """Yield the finished events of a status that have no unfinished children."""
        for number, event in self.states.lane(status).items():
            if before is not None:
                at = self.inspector.ended_at(event)
                if at is None or at >= before:
                    continue
            if not self._children or self._dependencies.unfinished_child(number) is None:
                yield event

    async def pause(self, until: float = FOR_EVER, *, by: str | None = None) -> None:
        """See ``Store.pause``."""
        check_by(by)
        kept = None if 0.0 < until < FOR_EVER else by
        self._paused = PauseRecord(kept, self._clock())
        self._waiting.pause_until(until)
        self._listeners.notify_ready()

    async def change_schedule(
        self,
        old: ScheduleRecord | None,
        new: ScheduleRecord | None,
        *,
        events: Sequence[Record] = (),
        after: Mapping[UUID, After] = NO_PARENTS,
        room: int | None = None,
    ) -> bool:
        """See ``Store.change_schedule``."""
        record = new or old
        assert record is not None, "a change has a record before it or after it"
        present = self._schedules.get(record.name)
        if (present and present.version) != (old and old.version):
            return False
        built = [cast("EventData", each.event()) for each in events]
        entries = [(event, each.priority) for event, each in zip(built, events, strict=True)]
        if entries:
            self._append(entries, room=room, exist_ok=True, after=after)
        if new is None:
            del self._schedules[record.name]
        else:
            self._schedules[new.name] = new
        self._listeners.notify_schedules()
        return True

    def _drop(self, events: Iterable[EventData]) -> None:
        if self._dependencies.by_number:
            for event in events:
                self._dependencies.drop(event.execution.arrival or 0)
        if self._unique:
            for event in events:
                unique, number = event.execution.unique, event.execution.arrival
                if unique is not None and number is not None:
                    numbers = self._unique.get(unique[0], {})
                    numbers.pop(number, None)
                    if not numbers:
                        self._unique.pop(unique[0], None)
        self.states.drop(events)

    def _number(self, event: Named) -> int:
        """Return the number of an event of this store.

        Raises:
            NotFoundError: if it is unknown.
        """
        held = event if isinstance(event, EventData) else self.states.find(as_id(event))
        number = None if held is None else held.execution.arrival
        if number is None or self._all.get(number) is not held:
            raise not_here(event, self.queue)
        return number

    # -- queries -----------------------------------------------------------------------------

    async def counts(self) -> dict[EventStatus, int]:
        """See ``Store.counts``."""
        counts = {status: len(lane) for status, lane in self.states.lanes.items()}
        counts[_PENDING] -= len(self._held)
        counts[_PROCESSING] += len(self._held)
        return counts

    async def schedules(self) -> list[ScheduleRecord]:
        """See ``Store.schedules``."""
        return [self._schedules[name] for name in sorted(self._schedules)]

    async def get(self, ids: Iterable[UUID | str]) -> list[Record | None]:
        """See ``Store.get``."""
        found = [self.states.find(as_id(each)) for each in ids]
        return [None if event is None else self._record(event) for event in found]

    async def find(self, uid: UUID | str) -> EventData | None:
        """See ``Store.find``."""
        return self.states.find(as_id(uid))

    async def parents(self, event: Named, *, first: int = 0, limit: int = 100) -> list[Relative]:
        """See ``Store.parents``."""
        return self._relatives(self._dependencies.parents(self._number(event), first, limit))

    async def parent_events(
        self, event: Named, *, first: int = 0, limit: int = 100
    ) -> list[tuple[int, EventData]]:
        """See ``Store.parent_events``."""
        edges = self._dependencies.parents(self._number(event), first, limit)
        return [(place, self._all[number]) for place, number, *_ in edges]

    async def parent_counts(self, event: Named) -> dict[EventStatus, int]:
        """See ``Store.parent_counts``."""
        counts = dict.fromkeys(EventStatus, 0)
        for _, number, *_ in self._dependencies.parents(self._number(event)):
            counts[self._status(number, self._all[number])] += 1
        return counts

    async def children(self, event: Named, *, first: int = 0, limit: int = 100) -> list[Relative]:
        """See ``Store.children``."""
        return self._relatives(self._dependencies.children_of(self._number(event), first, limit))

    def _relatives(self, edges: Iterable[Edge]) -> list[Relative]:
        return [
            Relative(place, self._record(self._all[number]), when, is_met)
            for place, number, when, is_met in edges
        ]

    async def list_records(
        self, status: EventStatus | None = None, *, after: int | None = None, limit: int = 100
    ) -> list[Record]:
        """See ``Store.list_records``."""
        lower = after or 0
        lane = self._all if status is None or status is _PROCESSING else self.states.lane(status)
        numbers = (
            number
            for number, event in lane.items()
            if number > lower and status in (None, self._status(number, event))
        )
        page = nsmallest(limit, numbers)
        return [self._record(self._all[number]) for number in page]

    async def last_arrival(self) -> int:
        """See ``Store.last_arrival``."""
        return self._all.last

    async def paused_until(self) -> float:
        """See ``Store.paused_until``."""
        return self._waiting.paused_until or 0.0

    @property
    def inspector(self) -> MemoryInspector:
        """See ``Store.inspector``."""
        if self._inspector is None:
            from .inspector import MemoryInspector  # late: running does not need it

            self._inspector = MemoryInspector(
                self.queue, self.states, self._schedules, self._pools, self._given_clock
            )
        return self._inspector

    async def pause_record(self) -> PauseRecord | None:
        """See ``Store.pause_record``."""
        until = self._waiting.paused_until
        return self._paused if until is not None and until >= FOR_EVER else None

    async def resume_record(self) -> PauseRecord | None:
        """See ``Store.resume_record``."""
        last = self._paused
        is_known = last is not None and last.by is not None
        return last if is_known and await self.pause_record() is None else None

    async def explain(self, uid: UUID, limits: Limits | None = None) -> Standing | None:
        """See ``Store.explain``."""
        from ...rules.queue_position import First, Standing  # late: running does not need it
        from .position import count_ahead, live_workers, reported_limits, rooms_of  # late: as above

        event = self.states.find(uid)
        if event is None:
            return None
        number, workers = self._number(event), live_workers(self._about)
        if limits is None:
            limits = reported_limits(workers, self._pools)
        state, status, now = event.execution, self._status(number, event), self._clock()
        waits = status is _PENDING
        is_due = waits and (state.due is None or state.due <= now)
        ahead, first = 0, None
        if is_due:
            position = state.priority or 0.0, number
            ahead, head = await count_ahead(self._pending, self._held, position, now)
            if head is not None:
                rooms = rooms_of(limits, head, self._given_clock, now)
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
            pause=await self.pause_record(),
            actions=event.__dict__.get("_actions", ()),
            rooms=rooms_of(limits, event, self._given_clock, now) if waits else (),
            workers=tuple(workers),
            first=first,
            blockers=self._blockers(number) if self._children else None,
        )

    def _blockers(self, number: int) -> Blockers | None:
        """Return the unfinished parents of a blocked event; None if there are none."""
        from ...rules.queue_position import Blockers  # late: running does not need it

        numbers = self._dependencies.blockers(number)
        after = self._all[number].execution.after
        if not numbers or after is None:
            return None
        first = self._all[numbers[0]]
        kind, status = registry.key_of(type(first)), self._status(numbers[0], first)
        return Blockers(first.id, kind, self.queue, status, after.when, len(numbers))

    async def limit_usage(self, limits: Limits | None = None) -> list[Room]:
        """See ``Store.limit_usage``."""
        from .position import live_workers, reported_limits, usage_of  # late: running does not

        if limits is None:
            limits = reported_limits(live_workers(self._about), self._pools)
        return [] if limits is None else usage_of(limits, self._given_clock, self._clock())

    async def workers(self) -> list[WorkerRecord]:
        """See ``Store.workers``; all claims are listed with the first worker."""
        from platform import node  # late: running does not need it

        from ..inspector import ClaimedEvent, WorkerRecord  # late: as above

        claimed = {**self._held, **self._processing}
        held = tuple(
            ClaimedEvent(
                number, event.id, registry.key_of(type(event)), event.execution.attempt_number, None
            )
            for number, event in sorted(claimed.items(), key=itemgetter(0))
        )
        now, host, pid, records = self._clock(), node(), os.getpid(), []
        for name, since in self._since.items():
            describe = self._about.get(name)
            about = None if describe is None else describe()
            record = WorkerRecord(name, self.queue, host, pid, since, now, 0.0, True, held, about)
            records.append(record)
            held = ()
        return records

    async def stuck(self) -> list[Stuck]:
        """See ``Store.stuck``. All workers of the queue are in this process."""
        missing = self.event_types.still_missing()
        if not missing:
            return []
        waiting = [
            event
            for number, event in self._pending.items()
            if number not in self._held and event.__dict__.get("_due") != inf
        ]
        counts = Counter(registry.key_of(type(event)) for event in waiting)
        if counts.keys() - missing:
            return []
        return [Stuck(kind, count, None) for kind, count in sorted(counts.items())]

    async def published(
        self, event: EventData, attempt: int, first: int
    ) -> tuple[int, list[Any]] | None:
        """See ``Store.published``. No other process runs an event."""
        return None

    def _status(self, number: int, event: EventData) -> EventStatus:
        """Return the status in the store, in which a claimed event is PROCESSING."""
        return _PROCESSING if number in self._held else event.execution.status

    def _record(self, event: EventData) -> Record:
        from ..record import Record  # late: a large dataclass, which running does not need

        record = Record.of(event, self.queue, self._status(self._number(event), event))
        return self.inspector.dated(record, event)

    # -- other -------------------------------------------------------------------------------

    def subscribe(
        self,
        signal: Signal,
        listener: Listener,
        *,
        event: EventData | None = None,
        once: bool = False,
    ) -> Unsubscribe:
        """See ``Store.subscribe``."""
        number = None if event is None else self._number(event)
        return self._listeners.subscribe(signal, listener, number=number, once=once)

    def time(self) -> float:
        """See ``Store.time``."""
        return self._clock()

    async def close(self) -> None:
        """See ``Store.close``."""
        if self._alarm is not None:
            self._alarm.off()

    def _notify_finished(self, numbers: Iterable[int]) -> None:
        """Resolve the children of events that may have finished, and notify of the changes.

        All endings of events call this, or ``load``. It notifies of these events, of capacity, and
        of idleness if nothing is left.
        """
        if self._children:
            self._notify_cancelled(self._resolve(numbers))
        self._listeners.notify_finished(numbers)
        self._listeners.notify_capacity()
        self._notify_if_idle()

    def _notify_cancelled(self, numbers: Collection[int]) -> None:
        """Notify of events that were cancelled for their parents."""
        self._listeners.notify_finished(numbers)
        for number in numbers:
            event = self._all.get(number)
            if event is not None:
                self._listeners.notify_expired(event, _PENDING)

    def _notify_if_idle(self) -> None:
        """Notify of idleness if no event is left, except for those that this process skips."""
        if not self._processing and (not self._pending or self.event_types.missing):
            self._listeners.notify_idle()


def _resolve(states: States, entries: Sequence[Entry], *, exist_ok: bool) -> dict[UUID, Entry]:
    """Return the event of each id of a batch: the known one, or the new one.

    Raises:
        ExistsError: if an id is known or there twice, unless ``exist_ok``; or if another store has
            the event.
    """
    taken: dict[UUID, Entry] = {}
    for event, priority in entries:
        known = states.find(event.id)
        if known is None and event.execution.arrival is not None:
            raise ExistsError(
                f"{event!r} belongs to another executor: append event.as_fresh_event(), or "
                "load(executor.states.to_dict()) to take over copies of all"
            )
        if known is None and event.id in taken:
            known = taken[event.id][0]
        if known is not None and not exist_ok:
            raise ExistsError(
                f"{event!r} is known here already and was not appended again: append "
                "event.as_fresh_event(), or pass exist_ok=True"
            )
        taken.setdefault(event.id, (known or event, priority))
    return taken


def _write_options(event: EventData, terms: Terms | None, after: After | None) -> None:
    """Write the options of an append into the state of a new event."""
    state = event.execution
    state.after = None  # of an append before its removal
    if terms is not None:
        terms.write(state)
    if after is not None:
        state.after = after._replace(due=state.due)
        state.due = inf


def _parents_of(events: Iterable[EventData]) -> dict[UUID, After]:
    """Return the parents of blocked events."""
    found = {event.id: event.execution.after for event in events if event.execution.is_blocked}
    return {uid: after for uid, after in found.items() if after is not None}


def _number_of(event: EventData) -> int:
    return event.execution.arrival or 0


def _weak(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls a method of the store, and does not keep the store alive.

    So an executor that is not used any more is freed at once, with its observers.
    """
    reference = WeakMethod(method)

    def call(*arguments: Any) -> Any:
        found = reference()
        assert found is not None, "only parts of the store call it"
        return found(*arguments)

    return call
