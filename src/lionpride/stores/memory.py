"""Store in memory: the States are the data, and a heap gives their order.

No method suspends, so each is one atomic step of the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from ..errors import ExistsError, OperationError
from ..model.depth import fields_that_may_be_deep, refuse_deep_values
from ..model.execution import EventStatus
from ..model.work import Work
from ..rules.lifecycle import (
    Completion,
    Ending,
    Outcome,
    after_cancel,
    after_interruption,
    apply,
)
from ..rules.metering import Limits
from ..rules.meters import Meter, end_meter, refusal_of
from .append_checks import are_new, check_room, refuse_connection
from .by_hand import ByHand
from .contract import Claim, Entry, Settled, Settlement, Started, Within
from .states import States
from .terms import Terms
from .ways import ways

if TYPE_CHECKING:
    from ..rules.standing import About
    from .record import Record

__all__ = ("MemoryStore",)

_PENDING, _PROCESSING = EventStatus.PENDING, EventStatus.PROCESSING
_APPLIED = Settled.APPLIED


class MemoryStore(ByHand):
    """Keeps the events of one queue in this process.

    Args:
        queue: Name of the queue.
        name: Name of the ``states``; by default that of the queue.
        clock: Returns the time as a Unix timestamp in seconds, for scheduled events. By default it
            is the machine's clock, or the event loop's if its time is virtual.
    """

    # -- taking in ---------------------------------------------------------------------------

    async def append(
        self,
        entries: Sequence[Entry],
        *,
        room: int | None = None,
        exist_ok: bool = False,
        terms: Terms | None = None,
        connection: Any = None,
    ) -> list[Work]:
        refuse_connection(connection)
        if terms is not None and (there := self._standing_for(terms)) is not None:
            return [there]
        events = [event for event, _ in entries]
        if are_new(events):
            fresh, held = entries, events  # no id need be made
        else:
            taken = _resolve(self.states, entries, exist_ok=exist_ok)
            fresh = [entry for entry in taken.values() if entry[0].execution.arrival is None]
            held = [taken[event.id][0] for event, _ in entries]
        for event, _ in fresh:
            self._check(event)
        check_room(len(self._pending), len(fresh), room)
        for event, priority in fresh:
            self._place(event, priority, terms)
        self._listeners.notify_ready()
        return held

    def append_now(self, event: Work, priority: float) -> bool:
        own = event.__dict__
        if "id" in own or "_status" in own:
            return False  # it may be known
        if type(event) is not self._flat or "_metadata" in own:
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

    def append_all_now(self, events: Sequence[Work], priorities: Sequence[float]) -> bool:
        if not are_new(events):
            return False
        for event in events:
            if type(event) is not self._flat or "_metadata" in event.__dict__:
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

    _flat: type[Work] | None = None  # the last class none of whose fields may be nested too deep

    def _check(self, event: Work) -> None:
        """Refuse an event that is nested too deep to be written."""
        refuse_deep_values(event)
        kind = type(event)
        if not fields_that_may_be_deep(kind) and kind.model_config.get("extra") != "allow":
            self._flat = kind

    def _place(self, event: Work, priority: float, terms: Terms | None = None) -> None:
        """Make an event wait, under the next number."""
        state = event.execution
        self._all.last = number = self._all.last + 1
        state.become(_PENDING)
        state.arrival = number
        state.priority = priority
        if terms is not None:
            terms.write(state)
        self._pending[number] = event
        self._note_unique(event, number)
        self._waiting.add(number)
        if state.expires is not None:
            self._set_alarm()

    def _note_unique(self, event: Work, number: int) -> None:
        unique = event.execution.unique
        if unique is not None:
            self._unique[unique[0]] = number

    def _standing_for(self, terms: Terms) -> Work | None:
        """The event that stands for the one to append; None if there is none."""
        number = None if terms.unique is None else self._unique.get(terms.unique[0])
        event = None if number is None else self._all.get(number)
        unique = None if event is None else event.execution.unique
        if event is None or unique is None:
            return None
        waits = event.execution.status in (_PENDING, _PROCESSING)
        return event if terms.are_met_by(unique, waits) else None

    async def load(self, events: Sequence[Work]) -> int:
        _resolve(self.states, [(event, 0.0) for event in events], exist_ok=False)
        for event in events:
            self._check(event)
        for event in events:
            state = event.execution
            if state.status is _PROCESSING:
                apply(state, after_interruption(state.interruptions))
            if state.priority is None:
                state.priority = event.created_timestamp
            if state.status is _PENDING:
                self._place(event, state.priority)
            else:
                self._all.last = state.arrival = self._all.last + 1
                self.states.lane(state.status)[state.arrival] = event
                self._note_unique(event, state.arrival)
        self._listeners.notify_ready()
        return len(events)

    async def import_records(self, records: Sequence[Record]) -> int:
        events = [cast("Work", record.event()) for record in records]
        for event, record in zip(events, records, strict=True):
            event.execution.status = record.status  # what is claimed may not show it yet
        return await self.load(events)

    def register_worker(
        self,
        worker: str,
        cancel: Callable[[Work], object],
        about: Callable[[], About] | None = None,
    ) -> None:
        self._workers[worker] = cancel
        self._since.setdefault(worker, self._clock())
        self._about[worker] = about

    def unregister_worker(self, worker: str) -> None:
        self._workers.pop(worker, None)
        self._since.pop(worker, None)
        self._about.pop(worker, None)
        if not self._workers:
            self._disband()
        self._listeners.notify_idle()

    # -- claiming ----------------------------------------------------------------------------

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
        waiting = self._waiting
        if waiting.mixed:
            self._lapse()
        if limits is not None:
            allowed, wait = self._ration(limits).some(n, until, skip, denied, start)
            return [self._hold_metered(number, start) for number in allowed], wait
        self._disband()
        newer = until is not None and until < self._all.last
        if newer or skip or (denied and waiting.has_denied()):
            numbers = waiting.some(n, until, skip, denied)
        else:
            numbers = list(islice(iter(waiting.next, None), n))
        claims = [self._hold(number) for number in numbers]
        if start:
            for event, _ in claims:
                self.start(event)
        return claims, waiting.seconds()

    def claim_now(self) -> Started | None:
        new, ready = self._new, self._ready
        number: int | None
        if self._waiting.mixed:
            self._lapse()
            number = self._waiting.next()
        elif ready.heap or (new and (ready.run or ready.far or len(new) > 1)):
            number = self._waiting.next()
        elif new:  # it alone waits: `Order.pop`, two calls shorter
            self._new_at.clear()
            number = new.pop()
        elif ready.run:
            number = ready.run.popleft()
        else:
            number = ready.pop() if ready.far else None
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

    def _next(self) -> int | None:
        """The next where something is due later, or expires, or was cancelled."""
        if self._waiting.next_expiry() is not None:
            self._lapse()
        return self._waiting.next()

    def within(self, limits: Limits) -> Within:
        return ways(
            self._ration(limits),
            self._waiting,
            self._listeners,
            lanes=(self._pending, self._processing, self._completed, self._unwanted),
            complete_now=self.complete_now,
            lapse=self._lapse,
        )

    def holds(self, event: Work, attempt: int) -> bool:
        own = event.__dict__
        number = own.get("_arrival", 0)
        claimed = self._held.get(number) is event or self._processing.get(number) is event
        if not claimed or own["_attempt"] != attempt:
            return False
        return "_expires" not in own or own["_expires"] > self._clock()

    def publish(self, event: Work, attempt: int) -> None:
        pass  # the events are in this process, with their chunks and progress

    async def published(
        self, event: Work, attempt: int, first: int
    ) -> tuple[int, list[Any]] | None:
        return None  # no other process runs an event

    def _hold_metered(self, number: int, start: bool) -> Claim:
        claim = self._hold(number)
        if start and refusal_of(claim[0]) is None:
            self.start(claim[0])
        return claim

    def _hold(self, number: int) -> Claim:
        """Claim an event without starting it; its ``due`` stays, in case it is released."""
        event = self._held[number] = self._pending[number]
        event.execution.attempt_number += 1
        return event, event.execution.attempt_number

    def start(self, event: Work) -> None:
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

    # -- settling ----------------------------------------------------------------------------

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        return [self.settle_now(*settlement) for settlement in settlements]

    def settle_now(self, event: Work, attempt: int, outcome: Outcome) -> Settled:
        own = event.__dict__
        if isinstance(outcome, Completion):
            answer = self.complete_now(event, attempt, outcome.response, outcome.duration)
            if "_meter" in own and answer is _APPLIED:
                end_meter(event)
            return answer
        number: int = own.get("_arrival", 0)
        if self._processing.get(number) is not event or own["_attempt"] != attempt:
            return self._settle_unstarted(event, attempt, outcome)
        answer = self._apply(number, event, outcome)
        del self._processing[number]
        status = event.execution.status
        if status is _PENDING:
            self._pending[number] = event
            self._let_wait(number, outcome.delay)
        else:
            self.states.lane(status)[number] = event
        if self._listeners.idle or self._listeners.finished:
            self._notify_finished((number,))
        return answer

    def _apply(self, number: int, event: Work, outcome: Outcome) -> Settled:
        """Write on an event what came of its claim, or that a cancel of the claim was answered."""
        state, unwanted = event.execution, number in self._unwanted
        apply(state, outcome)
        self._end_meter(event, outcome)
        self._unwanted.discard(number)
        if not unwanted or state.status is not _PENDING:
            return _APPLIED
        apply(state, after_cancel(state.error, state.duration))
        return Settled.CANCELLED

    def complete_now(self, event: Work, attempt: int, response: Any, duration: float) -> Settled:
        own = event.__dict__
        number: int = own.get("_arrival", 0)
        if self._processing.get(number) is not event or own["_attempt"] != attempt:
            return self._settle_unstarted(event, attempt, Completion(response, duration))
        del self._processing[number]
        if self._unwanted:
            self._unwanted.discard(number)
        own["_status"] = "completed"  # PROCESSING to COMPLETED: always an arrow
        own["_response"] = response
        own["_duration"] = duration
        self._completed[number] = event
        listeners = self._listeners
        if listeners.finished:
            listeners.notify_finished((number,))
        if listeners.idle and not self._pending and not self._processing:
            listeners.notify_idle()
        return _APPLIED

    def next_now(self, done: Started, response: Any, duration: float) -> Started | None:
        # Both steps written out for the usual case: they are half of what a run costs.
        event, attempt, own = done
        ready, listeners = self._ready, self._listeners
        usual = own["_status"] == "processing" and own["_attempt"] == attempt
        usual = usual and not listeners.finished and not self._unwanted
        if not usual or ready.new or ready.heap or not ready.run or self._waiting.mixed:
            self.complete_now(event, attempt, response, duration)
            return self.claim_now()
        number = own["_arrival"]
        del self._processing[number]
        own["_status"] = "completed"
        own["_response"] = response
        own["_duration"] = duration
        self._completed[number] = event
        number = ready.run.popleft()
        event = self._processing[number] = self._pending.pop(number)
        own = event.__dict__
        own["_status"], attempt = "processing", 1
        if "_attempt" in own:
            attempt += own["_attempt"]
            own.pop("_denials", None)
        own["_attempt"] = attempt
        if listeners.capacity:
            listeners.notify_capacity()
        return event, attempt, own

    def _settle_unstarted(self, event: Work, attempt: int, outcome: Outcome) -> Settled:
        """Settle what was claimed and never started; or answer why it cannot be."""
        state = event.execution
        number = state.arrival
        if number is None or self._all.get(number) is not event or state.attempt_number != attempt:
            return Settled.FENCED
        if number not in self._held:
            cancelled = outcome.status is _PENDING and state.status is EventStatus.CANCELLED
            same = cancelled or state.status is outcome.status
            return Settled.REPLAYED if same else Settled.FENCED
        answer = self._apply(number, event, outcome)
        del self._held[number]
        if isinstance(outcome, Ending) and state.status is _PENDING:
            self._let_wait(number, outcome.delay)
        else:
            del self._pending[number]
            self.states.lane(state.status)[number] = event
            self._notify_finished((number,))
        return answer

    def _end_meter(self, event: Work, outcome: Outcome) -> None:
        """Let go of what the claim of an event holds, and pause what it says is exhausted."""
        pause = outcome.pause if isinstance(outcome, Ending) else None
        if pause is not None:
            meter: Meter | None = event.__dict__.get("_meter")
            if meter is None or not meter.pause(pause):
                self._waiting.pause(pause.seconds)
        end_meter(event)

    async def reap(self, limit: int = 1000) -> int:
        return 0  # a claim ends with this process, and so does the store


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
