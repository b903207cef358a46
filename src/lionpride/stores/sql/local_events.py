"""Events of this process as objects, and the attempts that it owns.

State is written on an event object in this module only, and after the commit of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, Final
from uuid import UUID

from ...errors import NotFoundError, OperationError
from ...model.after import After
from ...model.event_data import EventData
from ...model.execution import FIXED, KEYS, TERMINAL, EventStatus
from ...rules.state_machine import (
    Completion,
    Ending,
    Outcome,
    after_cancel,
    after_interruption,
    apply,
)
from ..contract import NO_PARENTS, Claim, Entry, Settled, Settlement
from ..event_cache import EventCache
from ..listeners import Listeners
from ..terms import Terms
from .appending import Appended
from .claiming import ClaimResult
from .codec import (
    EventReader,
    build_event,
    build_stored_event,
    fixed_columns,
    is_untried,
    matches_state,
    read_started,
    state_after,
    state_entries,
)
from .rows import (
    AppendAnswer,
    FirstClaimRow,
    FixedColumns,
    QueuedAppend,
    QueuedCompletion,
    ReadyColumns,
    SettlementRow,
    StateColumns,
    StoredEvent,
)
from .unreadable import reason_of

__all__ = ("ClaimedEvents", "LocalEvents")

_PENDING: Final = EventStatus.PENDING
_PROCESSING: Final = EventStatus.PROCESSING
_COMPLETED: Final = EventStatus.COMPLETED
_CHANGING: Final = KEYS - FIXED
"""The entries of an event's ``__dict__`` that may change after its append."""


class ClaimedEvents:
    """The events of a claim, and whether its caller still waits for them."""

    __slots__ = ("claims", "until", "wanted")

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.until = 0.0
        self.wanted = True

    def note_lease(self) -> None:
        """Write on each event the end of its lease, if the lease is not renewed."""
        for event, _ in self.claims:
            event.__dict__["_leased"] = self.until


_UNTRIED: Final = (0, 0, 0, 0)


def _order(claim: Claim) -> tuple[float, int]:
    own = claim[0].__dict__
    return own["_priority"], own["_arrival"]


def _built(found: StoredEvent) -> EventData:
    """Build an event of its columns.

    Raises:
        NotFoundError: if its class is not in this process.
        OperationError: if it cannot be read in this process.
    """
    try:
        return build_stored_event(found)
    except NotFoundError:
        raise
    except Exception as error:
        uid = UUID(bytes=found.id)
        raise OperationError(
            f"event {uid} of {found.event_type} is stored already and cannot be read in this "
            f"process: {reason_of(error)}; nothing was changed: use a version of the class that "
            f"can read it, or end the event with `lionpride cancel {uid}`"
        ) from None  # a pydantic error contains the values of fields, which may be secret


class LocalEvents:
    """The event objects of a process, and their state as far as this process knows it.

    Args:
        cache: The events that are shown.
        listeners: Called after changes.
        clock: Returns the time for delays.
        look_up: Reads the columns of events by number.
        postpone: Called with a claimed event of which this process has an older attempt. Returns
            True if that attempt still runs; then the claim is released.
        refuse: Called with a claimed event that cannot be built, its fixed columns, and the error.
    """

    def __init__(
        self,
        cache: EventCache,
        listeners: Listeners,
        *,
        clock: Callable[[], float],
        look_up: Callable[[Sequence[int]], list[StoredEvent | None]],
        postpone: Callable[[ReadyColumns], bool],
        refuse: Callable[[ReadyColumns, FixedColumns, Exception], None],
    ) -> None:
        self.cache = cache
        self.claims: dict[int, int] = {}  # the running attempts of this process, by number
        self.events = cache.events
        self._arriving: dict[int, EventData] = {}  # between ``appended_new`` and ``claimed``
        self._listeners = listeners
        self._clock = clock
        self._look_up = look_up
        self._postpone = postpone
        self._refuse = refuse

    # -- taking in ---------------------------------------------------------------------------

    def appended_new(self, entries: Sequence[QueuedAppend], answers: AppendAnswer) -> None:
        """Note the result of an append of new events."""
        numbers, started = answers.numbers, answers.started
        # ``claimed`` is called next, and takes the started events from here.
        if len(started) == len(entries):
            self._arriving = dict(zip(started, [one[0] for one in entries], strict=True))
        elif started:
            pairs = zip(numbers, entries, strict=True)
            self._arriving = {n: one[0] for n, one in pairs if n in started}  # type: ignore[misc]
        if len(started) < len(entries):
            pairs = zip(numbers, entries, strict=True)
            rest = [(n, one) for n, one in pairs if isinstance(n, int) and n not in started]
            self._enter([(one[0], one[1][4]) for _, one in rest], [n for n, _ in rest])
        if entries and answers.left:
            self._listeners.notify_ready()

    def appended_all_new(
        self,
        entries: Sequence[Entry],
        numbers: Sequence[int],
        after: Mapping[UUID, After] = NO_PARENTS,
    ) -> None:
        """Note that all events of an append were new and are stored."""
        if after:
            for event, _ in entries:
                _note_parents(event, after)
        self._enter(entries, numbers)
        self._listeners.notify_ready()

    def _enter(self, entries: Sequence[Entry], numbers: Sequence[int]) -> None:
        for (event, priority), number in zip(entries, numbers, strict=True):
            own = event.__dict__
            own["_status"] = "pending"
            own["_arrival"] = number
            own["_priority"] = priority
        self.cache.enter(numbers, [event for event, _ in entries])

    def appended(
        self,
        entries: Sequence[Entry],
        appended: Appended,
        terms: Terms | None = None,
        after: Mapping[UUID, After] = NO_PARENTS,
    ) -> list[EventData]:
        """Note the result of an append; return the objects, also of events stored before."""
        held: list[EventData] = []
        known = set(appended.known)
        for (event, priority), number in zip(entries, appended.numbers, strict=True):
            mine = self.cache.find(number)
            if mine is None and number not in known:
                if terms is not None:
                    terms.write(event.execution)
                _note_parents(event, after)
                self._enter([(event, priority)], [number])
                mine = event
            held.append(self.find(number) if mine is None else mine)
        self._listeners.notify_ready()
        return held

    def released(self, children: Iterable[tuple[int, float]]) -> list[int]:
        """Note that blocked events were released; each has its earliest start, or 0.0.

        Returns:
            The numbers of events to refresh: another process has retried them.
        """
        retried = []
        for number, due in children:
            event = self.cache.find(number)
            if event is None:
                continue
            if event.status in TERMINAL:
                retried.append(number)
            elif event.__dict__.get("_due") == inf:
                event.execution.due = due or None
        return retried

    def loaded(self, events: Sequence[EventData], numbers: Sequence[int]) -> None:
        """Note that events were loaded, in any status."""
        for event, number in zip(events, numbers, strict=True):
            state = event.execution
            if state.status is _PROCESSING:
                apply(state, after_interruption(state.interruptions))
            if state.priority is None:
                state.priority = event.created_timestamp
            state.arrival = number
            self.cache.rest(number, event)
        self._listeners.notify_ready()

    def find(self, number: int) -> EventData:
        """Return the event of a number; build it from its rows if this process does not have it.

        Raises:
            NotFoundError: if it is not stored, or its class is not in this process.
            OperationError: if it cannot be read in this process.
        """
        event = self.find_known(number)
        if event is None:
            raise NotFoundError(f"event {number} has been removed")
        return event

    def find_known(self, number: int) -> EventData | None:
        """Do the same as ``find``, but return None if the event is not stored."""
        event = self.cache.find(number)
        if event is None:
            (found,) = self._look_up([number])
            if found is None:
                return None
            event = _built(found)
            self.cache.rest(number, event)
        return event

    # -- claims ------------------------------------------------------------------------------

    def claimed(self, answer: ClaimResult, start: bool, taken: ClaimedEvents) -> float | None:
        """Collect claimed events; return the seconds until another claim may find more."""
        claims, cache, is_more = self.claims, self.cache, bool(taken.claims)
        shows, take = cache.shows, taken.claims.append
        kept, read, begun = answer.kept, EventReader(), dict[int, EventData]()
        rows = self._not_running(answer.rows)
        found = cache.find_all([one[0] for one in rows])
        for one, known in zip(rows, found, strict=True):
            number, attempt, event = one[0], one[3] + 1, known
            if event is None:
                event = read(one, kept.get(number))
                if event is not None and start:
                    event.__dict__.update(_status="processing", _attempt=1)
                    begun[number] = event
                    claims[number] = 1
                    take((event, 1))
                    continue
                if event is None and (event := self._built(one, kept)) is None:
                    continue
            own = event.__dict__
            is_known = own.get("_status") == "pending" and (
                is_untried(own) if one[3:7] == _UNTRIED else matches_state(own, one[3:])
            )
            if not is_known:
                self._write(event, "pending", one[1], one[3:])
            own["_attempt"] = claims[number] = attempt
            if start and is_known and "_due" not in own and shows(number):
                own["_status"] = "processing"
                own.pop("_denials", None)
                cache.begin({number: event})
            else:
                self._hold(number, event)
                if start:
                    self.start(event)
            take((event, attempt))
        if begun:
            cache.start(begun)
        if answer.new:
            self._started(answer.new, taken)
            is_more = True
        if is_more and answer.rows:
            taken.claims.sort(key=_order)
        if answer.rows and self._listeners.capacity:
            self._listeners.notify_capacity()
        return answer.wait

    def _hold(self, number: int, event: EventData) -> None:
        """Note that this process has claimed an event."""
        if event.__dict__.get("_due") == inf:  # another process has released it
            del event.__dict__["_due"]
        self.cache.take(number, event)

    def _not_running(self, rows: Sequence[ReadyColumns]) -> Sequence[ReadyColumns]:
        """Postpone events of which this process still runs an attempt; return the other rows."""
        running = [one for one in rows if one[3] and one[0] in self.claims and self._postpone(one)]
        return [one for one in rows if one not in running] if running else rows

    def start_untried(
        self, rows: Sequence[FirstClaimRow], taken: ClaimedEvents
    ) -> Sequence[FirstClaimRow]:
        """Collect claimed and started events that were never tried.

        Returns:
            The rows of events that need more: those that this process shows in another state, and
            those that ``build_event`` has to build. ``claimed`` collects them afterwards.
        """
        found, shown = self.cache.find_all([row[0] for row in rows]), self.events
        known, rest = dict[int, EventData](), list[FirstClaimRow]()
        for row, event in zip(rows, found, strict=True):
            if event is None:
                continue
            own, number = event.__dict__, row[0]
            if (
                own.get("_status") == "pending"
                and "_due" not in own
                and is_untried(own)
                and number in shown
            ):
                own["_status"] = "processing"
                own["_attempt"] = 1
                known[number] = event
            else:
                rest.append(row)
        self.cache.begin(known)
        started = known
        if len(known) + len(rest) < len(rows):
            made, unread = read_started(rows, found)
            rest = [row for row in unread if row[0] not in known]
            self.cache.start(made)
            started = known | made
        self.claims.update(dict.fromkeys(started, 1))
        numbers = (row[0] for row in rows)
        taken.claims.extend([(started[number], 1) for number in numbers if number in started])
        if started and self._listeners.capacity:
            self._listeners.notify_capacity()
        return rest

    def _started(self, new: Sequence[tuple[float, int]], taken: ClaimedEvents) -> None:
        """Collect events that were appended, claimed and started in one step."""
        arriving, events = self._arriving.pop, dict[int, EventData]()
        take = taken.claims.append
        for priority, number in new:
            event = events[number] = arriving(number)
            own = event.__dict__
            own["_status"] = "processing"
            own["_arrival"] = number
            own["_priority"] = priority
            own["_attempt"] = 1
            take((event, 1))
        self.claims.update(dict.fromkeys(events, 1))
        self.cache.start(events)

    def _built(self, one: ReadyColumns, kept: Mapping[int, FixedColumns]) -> EventData | None:
        """Build a claimed event; return None if that is impossible."""
        number, due, priority, *state = one
        fixed = kept.get(number) or self._kept(number)
        try:
            entries = state_entries("pending", tuple(state))  # type: ignore[arg-type]
            return build_event(number, fixed, priority, due, entries)
        except Exception as error:
            self._refuse(one, fixed, error)
            return None

    def _kept(self, number: int) -> FixedColumns:
        """Read the fixed columns of an event that was garbage-collected after the claim began."""
        (found,) = self._look_up([number])
        assert found is not None, "a claimed event has a row"
        return fixed_columns(found)

    def start(self, event: EventData) -> None:
        """Show a claimed event as PROCESSING."""
        own = event.__dict__
        number: int = own.get("_arrival", 0)
        if number not in self.claims or own["_status"] != "pending":
            raise OperationError(f"{event!r} is not claimed: only a claimed event can start")
        own["_status"] = "processing"
        own.pop("_denials", None)
        own.pop("_due", None)
        self.cache.move(number, event, _PENDING, _PROCESSING)

    def has(self, number: int, event: EventData, attempt: int) -> bool:
        """Return True if this process owns an attempt, as far as it knows."""
        return self.claims.get(number) == attempt and self.events.get(number) is event

    # -- endings -----------------------------------------------------------------------------

    def completed(self, completions: Sequence[QueuedCompletion], applied: Sequence[bool]) -> None:
        """Note completions that were recorded, or whose claim had been lost."""
        claims, ended, completed = self.claims, self._listeners.finished, dict[int, EventData]()
        for (event, response, columns), is_on_record in zip(completions, applied, strict=True):
            number = columns[0]
            if claims.get(number) != columns[1]:
                continue  # it is known already that another process has claimed the event
            del claims[number]
            if is_on_record:
                own = event.__dict__
                own["_status"] = "completed"
                own["_response"] = response
                own["_duration"] = columns[3]
                completed[number] = event
            else:
                self._lost(number)
        self.cache.complete(completed)
        if ended:
            self._listeners.notify_finished(completed)

    def _complete(self, number: int, event: EventData, response: Any, duration: float) -> None:
        own = event.__dict__
        own["_status"] = "completed"
        own["_response"] = response
        own["_duration"] = duration
        self.cache.complete({number: event})
        if self._listeners.finished:
            self._listeners.notify_finished((number,))

    def settling(self, settlement: Settlement, ending: float) -> SettlementRow:
        """Return the row of a settlement.

        Args:
            settlement: The event, its attempt and its outcome.
            ending: The time at which the event finishes, if it does.

        Raises:
            OperationError: if the state machine has no such transition.
        """
        event, attempt, outcome = settlement
        own = event.__dict__
        number, status = own.get("_arrival", 0), outcome.status.value
        if not self.has(number, event, attempt):
            known = number if self.cache.find(number) is event else 0
            return known, attempt, status, 0.0, 0.0, 0.0, None
        due = own.get("_due", 0.0)
        if isinstance(outcome, Ending) and outcome.delay:
            due = self._clock() + outcome.delay
        return (
            number,
            attempt,
            status,
            due,
            ending,
            own["_priority"],
            state_after(outcome, own, event),
        )

    def settled(self, settlements: Sequence[Settlement], answers: list[Settled]) -> list[Settled]:
        """Write recorded outcomes on the events; refresh events whose claim was lost."""
        for (event, attempt, outcome), answer in zip(settlements, answers, strict=True):
            number = event.__dict__.get("_arrival", 0)
            if self.has(number, event, attempt):
                del self.claims[number]
                if answer.is_recorded:
                    self._apply(number, event, outcome, answer is Settled.CANCELLED)
                else:
                    self._lost(number)
        return answers

    def _lost(self, number: int) -> None:
        """Refresh an event whose claim was lost; this process may claim it again."""
        self.refresh([number])
        self._listeners.notify_ready()

    def _apply(self, number: int, event: EventData, outcome: Outcome, cancelled: bool) -> None:
        """Write a recorded outcome on its event, and notify."""
        state, before = event.execution, event.execution.status
        if isinstance(outcome, Completion):
            self._complete(number, event, outcome.response, outcome.duration)
            return
        apply(state, outcome)
        if cancelled:
            apply(state, after_cancel(state.error, state.duration))
        elif outcome.delay:
            state.due = self._clock() + outcome.delay
        if before is not state.status:
            self.cache.move(number, event, before, state.status)
        self.cache.rest(number, event)
        if state.status is _PENDING:
            self._listeners.notify_ready()
        self._listeners.notify_finished((number,))

    # -- what others do ----------------------------------------------------------------------

    def outdated(self, stored: Mapping[int, tuple[str, int]], numbers: Iterable[int]) -> list[int]:
        """Return the numbers of events that are shown in another state than stored.

        Args:
            stored: Status and attempt of the events, by number.
            numbers: The events to compare.
        """
        other = []
        for number in numbers:
            event = self.cache.find(number)
            state = None if event is None else event.execution
            shown = None if state is None else (state.status.value, state.attempt_number)
            if state is None or shown != stored.get(number):
                other.append(number)
        return other

    def refresh(self, numbers: Iterable[int]) -> None:
        """Read events again from the database, after another process has changed them."""
        numbers = list(numbers)
        claims, cache = self.claims, self.cache
        for number, found in zip(numbers, self._look_up(numbers), strict=True):
            if found is None:
                claims.pop(number, None)
                cache.drop([number])
                continue
            if number in claims:
                if (found.status, found.state[0]) == ("processing", claims[number]):
                    continue  # this process claimed it in the same commit
                del claims[number]
            event = cache.find(number)
            if event is None:
                continue
            own = event.__dict__
            is_shown = own.get("_status", "pending") == found.status
            is_shown = is_shown and (own.get("_due") == inf) == (found.due == inf)
            if not (is_shown and matches_state(own, found.state)):
                self._write(event, found.status, found.due, found.state)  # else its errors stay
            cache.rest(number, event)
        self._listeners.notify_finished(numbers)
        self._listeners.notify_capacity()

    def _write(self, event: EventData, status: str, due: float, state: StateColumns) -> None:
        """Write the stored state on an event, and show it under its status."""
        own = event.__dict__
        number, priority, before = own["_arrival"], own["_priority"], own.get("_status", "pending")
        for key in own.keys() & _CHANGING:
            del own[key]
        own.update(state_entries(status, state), _arrival=number, _priority=priority)
        if due:
            own["_due"] = due
        if before != status and self.cache.shows(number):
            self.cache.move(number, event, EventStatus(before), EventStatus(status))

    def drop(self, numbers: Sequence[int]) -> list[EventData]:
        """Forget events that were removed; return those that this process had."""
        gone = self.cache.drop(numbers)
        self._listeners.notify_finished(numbers)
        self._listeners.notify_capacity()
        return gone


def _note_parents(event: EventData, after: Mapping[UUID, After]) -> None:
    """Write the parents of a new event on it; without parents it stays as it is."""
    if after and (one := after.get(event.id)) is not None:
        state = event.execution
        state.after, state.due = one._replace(due=state.due), inf
