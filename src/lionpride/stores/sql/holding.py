"""What this process holds of the file: its events as objects, and the claims that are its own.

An event object is written here alone, and only once the step is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from ...errors import NotFoundError, OperationError
from ...model.execution import FIXED, TERMINAL, EventStatus
from ...model.work import Work
from ...rules.lifecycle import (
    Completion,
    Ending,
    Outcome,
    after_cancel,
    after_interruption,
    apply,
)
from ..contract import Claim, Entry, Settled, Settlement
from ..listeners import Listeners
from ..shown import Shown
from ..terms import Terms
from .columns import after, agrees, entries_of, event_of, event_of_found, is_untried, kept_of
from .forms import Entered, Exit, Found, Gathered, Kept, Settling, State, Untried, Waits
from .forms import Entry as Arriving
from .reviving import Revive, start_all
from .unreadable import reason_of

__all__ = ("Holding", "Taken")

_PENDING: Final = EventStatus.PENDING
_PROCESSING: Final = EventStatus.PROCESSING
_COMPLETED: Final = EventStatus.COMPLETED


class Taken:
    """What a claim took, and whether anybody waits for it still."""

    __slots__ = ("claims", "until", "wanted")

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.until = 0.0
        self.wanted = True

    def note_lease(self) -> None:
        """Write on each event until when its lease holds, if it is not renewed."""
        for event, _ in self.claims:
            event.__dict__["_leased"] = self.until


_UNTRIED: Final = (0, 0, 0, 0)


def _order(claim: Claim) -> tuple[float, int]:
    own = claim[0].__dict__
    return own["_priority"], own["_arrival"]


def _built(found: Found) -> Work:
    """Build an event of all that is known of it.

    Raises:
        NotFoundError: if its class is not in this process.
        OperationError: if it cannot be read in this process.
    """
    try:
        return event_of_found(found)
    except NotFoundError:
        raise
    except Exception as error:
        uid = UUID(bytes=found.id)
        raise OperationError(
            f"event {uid} of {found.kind} is known here and cannot be read in this process: "
            f"{reason_of(error)}; nothing was changed: use a version of the class that can read "
            f"it, or end the event with `lionpride cancel {uid}`"
        ) from None  # a pydantic error shows the values of fields, which may be secret


class Holding:
    """The events that a process has, and how each stands as far as it knows.

    Args:
        shown: What of them can be looked at.
        listeners: Notified of changes.
        clock: The time for what becomes due.
        look_up: Reads what the file says of events, by number.
        postpone: Called with a claim of an event of which this process has an older attempt.
            Returns True if that attempt runs, and the claim is given back.
        refuse: Called with a claim, what never changes of its event, and why that event cannot
            be built.
    """

    def __init__(
        self,
        shown: Shown,
        listeners: Listeners,
        *,
        clock: Callable[[], float],
        look_up: Callable[[Sequence[int]], list[Found | None]],
        postpone: Callable[[Waits], bool],
        refuse: Callable[[Waits, Kept, Exception], None],
    ) -> None:
        self.shown = shown
        self.claims: dict[int, int] = {}  # the attempts that are under way here, by number
        self.events = shown.events
        self._arriving: dict[int, Work] = {}  # between ``entered`` and ``claimed``
        self._listeners = listeners
        self._clock = clock
        self._look_up = look_up
        self._postpone = postpone
        self._refuse = refuse

    # -- taking in ---------------------------------------------------------------------------

    def entered(self, entries: Sequence[Arriving], answers: Entered) -> None:
        """Events were taken in that nobody had before, or were not."""
        numbers, started = answers.numbers, answers.started
        # ``claimed`` is called next, and finds here what was started.
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

    def entered_all(self, entries: Sequence[Entry], numbers: Sequence[int]) -> None:
        """Events were taken in that nobody had before."""
        self._enter(entries, numbers)
        self._listeners.notify_ready()

    def _enter(self, entries: Sequence[Entry], numbers: Sequence[int]) -> None:
        for (event, priority), number in zip(entries, numbers, strict=True):
            own = event.__dict__
            own["_status"] = "pending"
            own["_arrival"] = number
            own["_priority"] = priority
        self.shown.enter(numbers, [event for event, _ in entries])

    def appended(
        self,
        entries: Sequence[Entry],
        answer: list[tuple[int, bool]],
        terms: Terms | None = None,
    ) -> list[Work]:
        """Events were appended, or were here already: all of them as they are held."""
        held: list[Work] = []
        for (event, priority), (number, is_new) in zip(entries, answer, strict=True):
            mine = self.shown.find(number)
            if is_new and mine is None:
                if terms is not None:
                    terms.write(event.execution)
                self._enter([(event, priority)], [number])
                mine = event
            held.append(self.find(number) if mine is None else mine)
        self._listeners.notify_ready()
        return held

    def loaded(self, events: Sequence[Work], answer: list[tuple[int, bool]]) -> None:
        """Events were taken in, in whatever status they have."""
        for event, (number, _) in zip(events, answer, strict=True):
            state = event.execution
            if state.status is _PROCESSING:
                apply(state, after_interruption(state.interruptions))
            if state.priority is None:
                state.priority = event.created_timestamp
            state.arrival = number
            self.shown.rest(number, event)
        self._listeners.notify_ready()

    def find(self, number: int) -> Work:
        """The event of a number, built from its rows if this process has it not.

        Raises:
            NotFoundError: if it is not in the file, or its class is not in this process.
            OperationError: if it cannot be read in this process.
        """
        event = self.find_known(number)
        if event is None:
            raise NotFoundError(f"event {number} has been removed")
        return event

    def find_known(self, number: int) -> Work | None:
        """As ``find``, but None if it is not in the file."""
        event = self.shown.find(number)
        if event is None:
            (found,) = self._look_up([number])
            if found is None:
                return None
            event = _built(found)
            self.shown.rest(number, event)
        return event

    # -- claims ------------------------------------------------------------------------------

    def claimed(self, answer: Gathered, start: bool, taken: Taken) -> float | None:
        """Events were claimed: gather them, and say in how many seconds there may be more."""
        claims, shown, is_more = self.claims, self.shown, bool(taken.claims)
        shows, begin, take = shown.shows, shown.begin, taken.claims.append
        kept, revive, begun = answer.kept, Revive(), dict[int, Work]()
        rows = self._not_running(answer.rows)
        found = shown.find_all([one[0] for one in rows])
        for one, known in zip(rows, found, strict=True):
            number, attempt, event = one[0], one[3] + 1, known
            if event is None:
                event = revive(one, kept.get(number))
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
                is_untried(own) if one[3:7] == _UNTRIED else agrees(own, one[3:])
            )
            if not is_known:
                self._write(event, "pending", one[1], one[3:])
            own["_attempt"] = claims[number] = attempt
            if start and is_known and "_due" not in own and shows(number):
                own["_status"] = "processing"
                own.pop("_denials", None)
                begin(number, event)
            else:
                shown.take(number, event)
                if start:
                    self.start(event)
            take((event, attempt))
        if begun:
            shown.start(begun)
        if answer.new:
            self._started(answer.new, taken)
            is_more = True
        if is_more and answer.rows:
            taken.claims.sort(key=_order)
        if answer.rows and self._listeners.capacity:
            self._listeners.notify_capacity()
        return answer.wait

    def _not_running(self, rows: Sequence[Waits]) -> Sequence[Waits]:
        """Postpone claims of events of which this process still runs an attempt; the others."""
        running = [one for one in rows if one[3] and one[0] in self.claims and self._postpone(one)]
        return [one for one in rows if one not in running] if running else rows

    def revived(self, rows: Sequence[Untried], taken: Taken) -> Sequence[Untried]:
        """Events were claimed, and start: gather those that this process did not have.

        Returns:
            The others, and those that take more to build than ``Revival`` does: they are gathered
            with what else the claim took, after this.
        """
        begun, rest = start_all(rows, self.shown.find_all([one[0] for one in rows]))
        self.claims.update(dict.fromkeys(begun, 1))
        self.shown.start(begun)
        taken.claims.extend([(event, 1) for event in begun.values()])
        if begun and self._listeners.capacity:
            self._listeners.notify_capacity()
        return rest

    def _started(self, new: Sequence[tuple[float, int]], taken: Taken) -> None:
        """Events have arrived and were claimed at once, and start."""
        arriving, events = self._arriving.pop, dict[int, Work]()
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
        self.shown.start(events)

    def _built(self, one: Waits, kept: Mapping[int, Kept]) -> Work | None:
        """The event of a claim that this process did not have; None if it cannot be built."""
        number, due, priority, *state = one
        fixed = kept.get(number) or self._kept(number)
        try:
            entries = entries_of("pending", tuple(state))  # type: ignore[arg-type]
            return event_of(number, fixed, priority, due, entries)
        except Exception as error:
            self._refuse(one, fixed, error)
            return None

    def _kept(self, number: int) -> Kept:
        """Of an event that user code let go of since the claim was asked for."""
        (found,) = self._look_up([number])
        assert found is not None, "what is claimed is an event"
        return kept_of(found)

    def start(self, event: Work) -> None:
        """Show a claimed event as PROCESSING."""
        own = event.__dict__
        number: int = own.get("_arrival", 0)
        if number not in self.claims or own["_status"] != "pending":
            raise OperationError(f"{event!r} is not claimed: only a claimed event can start")
        own["_status"] = "processing"
        own.pop("_denials", None)
        own.pop("_due", None)
        self.shown.move(number, event, _PENDING, _PROCESSING)

    def has(self, number: int, event: Work, attempt: int) -> bool:
        """Whether an attempt is this process's, as far as it knows."""
        return self.claims.get(number) == attempt and self.events.get(number) is event

    # -- endings -----------------------------------------------------------------------------

    def exited(self, exits: Sequence[Exit], applied: Sequence[bool]) -> None:
        """Attempts completed, or their claims had been lost."""
        claims, ended, completed = self.claims, self._listeners.finished, dict[int, Work]()
        for (event, response, columns), is_on_record in zip(exits, applied, strict=True):
            number = columns[0]
            if claims.get(number) != columns[1]:
                continue  # another process has it, or had, and this one knows
            del claims[number]
            if is_on_record:
                own = event.__dict__
                own["_status"] = "completed"
                own["_response"] = response
                own["_duration"] = columns[3]
                completed[number] = event
            else:
                self._lost(number)
        self.shown.complete(completed)
        if ended:
            self._listeners.notify_finished(completed)

    def _complete(self, number: int, event: Work, response: Any, duration: float) -> None:
        own = event.__dict__
        own["_status"] = "completed"
        own["_response"] = response
        own["_duration"] = duration
        self.shown.complete({number: event})
        if self._listeners.finished:
            self._listeners.notify_finished((number,))

    def settling(self, settlement: Settlement, ending: float) -> Settling:
        """What is to be written of a settlement.

        Args:
            settlement: What came of a claim.
            ending: When it ended, if it has.

        Raises:
            OperationError: if there is no such arrow.
        """
        event, attempt, outcome = settlement
        own = event.__dict__
        number, status = own.get("_arrival", 0), outcome.status.value
        if not self.has(number, event, attempt):
            known = number if self.shown.find(number) is event else 0
            return known, attempt, status, 0.0, 0.0, 0.0, None
        due = own.get("_due", 0.0)
        if isinstance(outcome, Ending) and outcome.delay:
            due = self._clock() + outcome.delay
        return number, attempt, status, due, ending, own["_priority"], after(outcome, own, event)

    def settled(self, settlements: Sequence[Settlement], answers: list[Settled]) -> list[Settled]:
        """Settlements were answered: write on each event what came of it."""
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
        """Show what has become of an event whose claim was lost; this process may claim it now."""
        self.refresh([number])  # another process has it, or had
        self._listeners.notify_ready()

    def _apply(self, number: int, event: Work, outcome: Outcome, cancelled: bool) -> None:
        """An outcome is on record: write it on the event, and show that."""
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
            self.shown.move(number, event, before, state.status)
        self.shown.rest(number, event)
        if state.status is _PENDING:
            self._listeners.notify_ready()
        self._listeners.notify_finished((number,))

    # -- what others do ----------------------------------------------------------------------

    def other_than(
        self, stands: Mapping[int, tuple[str, int]], numbers: Iterable[int]
    ) -> list[int]:
        """Those of the events that are shown otherwise than they stand, or have ended."""
        other = []
        for number in numbers:
            event = self.shown.find(number)
            state = None if event is None else event.execution
            shown = None if state is None else (state.status.value, state.attempt_number)
            if state is None or state.status in TERMINAL or shown != stands.get(number):
                other.append(number)
        return other

    def refresh(self, numbers: Iterable[int]) -> None:
        """Show what has become of events in the file; nobody here has them any more."""
        numbers = list(numbers)
        for number, found in zip(numbers, self._look_up(numbers), strict=True):
            mine = self.claims.get(number)
            if found is not None and (found.status, found.state[0]) == ("processing", mine):
                continue  # claimed here in the same commit
            self.claims.pop(number, None)
            event = self.shown.find(number)
            if found is None:
                self.shown.drop([number])
            elif event is not None:
                stands = event.execution.status.value == found.status
                if not (stands and agrees(event.__dict__, found.state)):  # else its errors stay
                    self._write(event, found.status, found.due, found.state)
                self.shown.rest(number, event)
        self._listeners.notify_finished(numbers)
        self._listeners.notify_capacity()

    def _write(self, event: Work, status: str, due: float, state: State) -> None:
        """Write on an event what its rows say, and show it where it stands."""
        execution, before = event.execution, event.execution.status
        own = event.__dict__
        number, priority = own["_arrival"], own["_priority"]
        for key in execution.entries().keys() - FIXED:
            del own[key]
        own.update(entries_of(status, state), _arrival=number, _priority=priority)
        execution.due = due or None
        if before is not execution.status and self.shown.shows(number):
            self.shown.move(number, event, before, execution.status)

    def drop(self, numbers: Sequence[int]) -> list[Work]:
        """Events are no longer in the file; those that this process had."""
        gone = self.shown.drop(numbers)
        self._listeners.notify_finished(numbers)
        self._listeners.notify_capacity()
        return gone
