"""The store in one SQLite file: the rows are the truth, and a commit makes a step safe."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from time import time
from typing import Any, Final
from uuid import UUID

from ...errors import NotFoundError, OperationError
from ...model.execution import TERMINAL, EventStatus
from ...model.work import Work
from ...rules.lifecycle import (
    RELEASED,
    Completion,
    Ending,
    Outcome,
    after_interruption,
    apply,
)
from ..bells import Bells
from ..clock import LoopClock
from ..contract import Cancelled, Claim, Entry, Extended, Named, Record, Settled, Settlement
from ..shown import MOST, Shown
from ..states import States
from . import steps
from .columns import after, entries_of, event_of, event_of_found, place_of, place_of_record
from .file import PATIENCE
from .opened import Opened
from .reader import record_of
from .rows import Leased, State
from .watch import Watch

__all__ = ("LEASE", "SqliteStore")

LEASE: Final = 10.0
"""Seconds that a claim holds without a sign of life from its process."""

_PENDING: Final = EventStatus.PENDING
_PROCESSING: Final = EventStatus.PROCESSING
_COMPLETED: Final = EventStatus.COMPLETED
_SWEEP: Final = 1.0
"""Seconds between two looks for leases that have lapsed."""

logger = logging.getLogger("lionpride")


class SqliteStore:
    """Keeps the events of one queue in a file that many processes of a machine may share.

    Args:
        path: The file; it is made if there is none.
        queue: The queue's name.
        name: The name of the States; the queue's by default.
        synchronous: "FULL": what was committed survives a power cut. "NORMAL": it survives a
            killed process; a power cut may take the last commits, and never half of one.
        lease: Seconds after which a claim lapses, if its process gives no sign of life.
        patience: Seconds to wait for another program that writes the file.
        shown: How many events at rest the ``states`` show: the newest taken in or settled here.
        clock: The time as a Unix timestamp in seconds; by default the event loop's for what
            becomes due, and the machine's for leases.
    """

    def __init__(
        self,
        path: str | Path,
        queue: str = "default",
        *,
        name: str | None = None,
        synchronous: str = "FULL",
        lease: float = LEASE,
        patience: float = PATIENCE,
        shown: int = MOST,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.path = Path(path).absolute()
        self.queue = queue
        self.states = States(name=name or queue)
        self._synchronous = synchronous
        self._lease = lease
        self._patience = patience
        self._clock = clock or LoopClock()
        self._wall = clock or time
        self._shown = Shown(self.states, shown)
        self._workers: dict[str, Callable[[Work], object]] = {}
        self._claims: dict[int, int] = {}  # the attempts that are under way here
        self._missing: set[str] = set()  # kinds that this process has no class for
        self._bells = Bells()
        self._watch = Watch(self._is_watching, self._look)
        self._file: Opened | None = None
        self._swept = 0.0
        self._others = False  # others hold leases
        self._last_ending = 0.0

    # -- the file ----------------------------------------------------------------------------

    @property
    def _open(self) -> Opened:
        """The file, opened at the first use."""
        if self._file is None:
            self._file = Opened(
                self.path,
                self.queue,
                synchronous=self._synchronous,
                patience=self._patience,
                lease=self._lease,
                clock=self._wall,
                after=self._after_commit,
            )
        return self._file

    def _ask(
        self, step: steps.Step, then: Callable[[Any], Any] | None = None
    ) -> asyncio.Future[Any]:
        """Have a step taken; ``then`` notes it here even if nobody waits for it any more."""
        return self._open.commits.ask(step, then)

    def _after_commit(self, idle: bool) -> None:
        if idle:
            self._bells.ring_idle()

    def _ending(self) -> float:
        """The time for an ending: each is later than the one before."""
        self._last_ending = max(self._wall(), self._last_ending + 1e-6)
        return self._last_ending

    async def close(self) -> None:
        file, self._file = self._file, None
        self._watch.stop()
        if file is not None:
            await file.close()

    # -- taking in ---------------------------------------------------------------------------

    async def append(
        self, entries: Sequence[Entry], *, room: int | None = None, exist_ok: bool = False
    ) -> list[Work]:
        if not entries:
            return []
        foreign = [event.id.bytes for event, _ in entries if event.execution.arrival is not None]
        places = [place_of(event, priority) for event, priority in entries]
        step = steps.Append(places, frozenset(foreign), room, exist_ok)
        held: list[Work] = await self._ask(step, lambda answer: self._taken(entries, answer))
        return held

    def _taken(self, entries: Sequence[Entry], answer: list[tuple[int, bool]]) -> list[Work]:
        """Hold what has been appended; what was known is found again."""
        held: list[Work] = []
        for (event, priority), (number, is_new) in zip(entries, answer, strict=True):
            mine = self._shown.find(number)
            if is_new and mine is None:
                own = event.__dict__
                own["_status"], own["_arrival"], own["_priority"] = "pending", number, priority
                self._shown.rest(number, event)
                mine = event
            held.append(mine or self._find_again(number))
        self._bells.ring_ready()
        return held

    def _find_again(self, number: int) -> Work:
        """An event that this process does not have, built from its rows."""
        (found,) = self._open.reader.of([number])
        if found is None:
            raise NotFoundError(f"event {number} is no longer in queue {self.queue!r}")
        event = event_of_found(found)
        self._shown.rest(number, event)
        return event

    async def load(self, events: Sequence[Work]) -> int:
        places = [self._place_of_any(event) for event in events]
        held = [event.id.bytes for event in events if event.execution.arrival is not None]
        step = steps.Append(places, frozenset(held))
        await self._ask(step, lambda answer: self._loaded(events, answer))
        return len(events)

    def _place_of_any(self, event: Work) -> Any:
        """Where an event goes that is in whatever status; it is written when that is safe."""
        state = event.execution
        priority = event.created_timestamp if state.priority is None else state.priority
        place = place_of(event, priority, self._ending())
        if state.status is _PROCESSING:
            ending = after_interruption(state.interruptions)
            new = after(ending, event.__dict__)
            place = place._replace(status=ending.status.value, state=new)
        return place

    def _loaded(self, events: Sequence[Work], answer: list[tuple[int, bool]]) -> None:
        for event, (number, _) in zip(events, answer, strict=True):
            state = event.execution
            if state.status is _PROCESSING:
                apply(state, after_interruption(state.interruptions))
            if state.priority is None:
                state.priority = event.created_timestamp
            state.arrival = number
            self._shown.rest(number, event)
        self._bells.ring_ready()

    async def restore(self, records: Sequence[Record]) -> int:
        step = steps.Append([place_of_record(record, self._ending()) for record in records])
        await self._ask(step, lambda _: self._bells.ring_ready())
        return len(records)

    # -- claiming ----------------------------------------------------------------------------

    async def claim(
        self,
        worker: str,
        n: int = 1,
        *,
        lease: float | None = None,
        until: int | None = None,
        skip: Collection[int] = (),
        denied: bool = False,
        start: bool = False,
    ) -> tuple[list[Claim], float | None]:
        now = self._wall()
        if now - self._swept >= _SWEEP:
            self._swept = now
            self._ask(self._sweep_step(1000), self._swept_up)
        lapse = now + (self._lease if lease is None else lease)
        step = steps.Claim(
            worker, n, until, skip, denied, self._shown.has, self._missing, self._clock(), lapse
        )
        taken = _Taken()
        try:
            wait = await self._ask(step, lambda answer: self._claimed(answer, start, taken))
        except asyncio.CancelledError:
            taken.wanted = False  # nobody waits for them any more
            self._release(taken)
            raise
        if self._others and (wait is None or wait > _SWEEP):
            wait = _SWEEP  # another process may die
        return taken.claims, wait

    def _claimed(
        self, answer: tuple[list[Leased], float | None], start: bool, taken: _Taken
    ) -> float | None:
        for one in answer[0]:
            event = self._event_of(one)
            if event is not None:
                self._claims[one.number] = one.state[0]
                self._shown.take(one.number, event)
                if start:
                    self.start(event)
                taken.claims.append((event, one.state[0]))
        self._release(taken)
        return answer[1]

    def _release(self, taken: _Taken) -> None:
        """Give back what nobody waits for."""
        if taken.claims and not taken.wanted:
            self._settle([(*claim, RELEASED) for claim in taken.claims])
            taken.claims = []

    def _event_of(self, one: Leased) -> Work | None:
        """The event of a claim: the one that user code has, or one built of its rows."""
        event = self._shown.find(one.number)
        if event is not None:
            own = event.__dict__
            if own.get("_attempt", 0) != one.state[0] - 1 or own.get("_status", "pending") != "pending":
                self._write(event, "pending", one.due, one.state)
            own["_attempt"] = one.state[0]
            return event
        kept = one.kept or self._kept(one.number)
        try:
            entries = entries_of("pending", one.state)
            return event_of(one.number, kept, one.priority, one.due, entries)
        except Exception as error:
            self._refuse(one, error)
            return None
    
    def _kept(self, number: int) -> Any:
        (found,) = self._open.reader.of([number])
        assert found is not None, "what is claimed is an event"
        return found.id, found.kind, found.created, found.payload

    def _refuse(self, one: Leased, error: Exception) -> None:
        """A record that no longer fits its class has FAILED, and says with which field."""
        logger.warning("event %d of queue %r cannot be read: %s", one.number, self.queue, error)
        ending = Ending(EventStatus.FAILED, error=error, retryable=False, tries=1)
        state = after(ending, entries_of("pending", one.state))
        failed = (one.number, one.state[0], "failed", 0.0, self._ending(), one.priority, state)
        self._ask(steps.Settle([failed]))

    def _write(self, event: Work, status: str, due: float, state: State) -> None:
        """Write on an event what its rows say, and show it where it stands."""
        before = event.execution.status
        own = event.__dict__
        number, priority = own["_arrival"], own["_priority"]
        for key in event.execution.entries():
            del own[key]
        own.update(entries_of(status, state), _arrival=number, _priority=priority)
        event.execution.due = due or None
        if before is not event.execution.status and self._shown.shows(number):
            self._shown.move(number, event, before, event.execution.status)

    def start(self, event: Work) -> None:
        own = event.__dict__
        number: int = own.get("_arrival", 0)
        if number not in self._claims or own["_status"] != "pending":
            raise OperationError(f"{event!r} is not claimed: only a claimed event can start")
        own["_status"] = "processing"
        own.pop("_denials", None)
        own.pop("_due", None)
        self._shown.move(number, event, _PENDING, _PROCESSING)

    # -- settling ----------------------------------------------------------------------------

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        answers: list[Settled] = await self._settle(settlements)
        return answers

    def _settle(self, settlements: Sequence[Settlement]) -> asyncio.Future[Any]:
        step = steps.Settle([self._settling(*settlement) for settlement in settlements])
        return self._ask(step, lambda answers: self._settled(settlements, answers))

    def _settling(self, event: Work, attempt: int, outcome: Outcome) -> steps.Settling:
        own = event.__dict__
        number, status = own.get("_arrival", 0), outcome.status.value
        if self._shown.find(number) is not event:
            number = 0  # nobody's: it is another store's event
        if self._claims.get(number) != attempt:
            return number, attempt, status, 0.0, 0.0, 0.0, None
        due = own.get("_due", 0.0)
        if isinstance(outcome, Ending) and outcome.delay:
            due = self._clock() + outcome.delay
        state, ending = after(outcome, own), self._ending()
        return number, attempt, status, due, ending, own["_priority"], state

    def _settled(self, settlements: Sequence[Settlement], answers: list[Settled]) -> list[Settled]:
        for (event, attempt, outcome), answer in zip(settlements, answers, strict=True):
            number = event.__dict__.get("_arrival", 0)
            if self._claims.get(number) == attempt and self._shown.find(number) is event:
                del self._claims[number]
                if answer is Settled.APPLIED:
                    self._applied(number, event, outcome)
                else:
                    self._refresh([number])  # somebody else has it, or had
        return answers

    def _applied(self, number: int, event: Work, outcome: Outcome) -> None:
        """An outcome is on record: write it on the event, and show that."""
        own = event.__dict__
        if isinstance(outcome, Completion) and own["_status"] == "processing":
            own["_status"] = "completed"
            own["_response"] = outcome.response
            own["_duration"] = outcome.duration
            self._shown.move(number, event, _PROCESSING, _COMPLETED)
        else:
            state, before = event.execution, event.execution.status
            apply(state, outcome)
            if isinstance(outcome, Ending) and outcome.delay:
                state.due = self._clock() + outcome.delay
            if before is not state.status:
                self._shown.move(number, event, before, state.status)
            if state.status is _PENDING:
                self._bells.ring_ready()
        self._shown.rest(number, event)
        if self._bells.ended:
            self._bells.ring_ended((number,))

    def _refresh(self, numbers: Sequence[int]) -> None:
        """Show what others have made of events."""
        for number, found in zip(numbers, self._open.reader.of(numbers), strict=True):
            mine = self._claims.get(number)
            if found is not None and (found.status, found.state[0]) == ("processing", mine):
                continue  # claimed here in the same commit
            self._claims.pop(number, None)
            event = self._shown.find(number)
            if found is None:
                self._shown.drop([number])
            elif event is not None:
                stands = event.execution.status.value, event.execution.attempt
                if stands != (found.status, found.state[0]):  # else its own errors stay
                    self._write(event, found.status, found.due, found.state)
                self._shown.rest(number, event)
        self._bells.ring_ended(numbers)

    async def extend(
        self, worker: str, claims: Sequence[Claim], *, lease: float | None = None
    ) -> list[Extended]:
        until = self._wall() + (self._lease if lease is None else lease)
        pairs = [(self._number(event), attempt) for event, attempt in claims]
        answers: list[Extended] = await self._ask(steps.Extend(pairs, until))
        return answers

    async def sweep(self, limit: int = 1000) -> int:
        count: int = await self._ask(self._sweep_step(limit), self._swept_up)
        return count

    def _sweep_step(self, limit: int) -> steps.Sweep:
        return steps.Sweep(frozenset(self._workers), self._wall(), self._ending, _pack, limit)

    def _swept_up(self, answer: tuple[list[int], bool]) -> int:
        numbers, self._others = answer
        self._refresh(numbers)
        if numbers:
            self._bells.ring_ready()
        return len(numbers)

    # -- by hand -----------------------------------------------------------------------------

    async def cancel(self, events: Sequence[Named]) -> list[Cancelled]:
        numbers = self._numbers(events)
        step = steps.Cancel(numbers, self._ending, _pack)
        answers: list[Cancelled] = await self._ask(
            step, lambda answers: self._cancelled(numbers, answers)
        )
        return answers

    def _cancelled(self, numbers: Sequence[int], answers: list[Cancelled]) -> list[Cancelled]:
        done = [n for n, it in zip(numbers, answers, strict=True) if it is Cancelled.DONE]
        self._refresh(done)
        self._ask_holders([n for n in numbers if n in self._claims])
        return answers

    def _ask_holders(self, numbers: Iterable[int]) -> None:
        """Ask the workers here to cancel the attempts of events."""
        for number in numbers:
            event = self._shown.find(number)
            if event is not None:
                for cancel in tuple(self._workers.values()):
                    cancel(event)

    async def requeue(self, events: Sequence[Named]) -> None:
        numbers = list(dict.fromkeys(self._numbers(events)))
        await self._ask(steps.Requeue(numbers), lambda _: self._requeued(numbers))

    def _requeued(self, numbers: Sequence[int]) -> None:
        self._refresh(numbers)
        self._bells.ring_ready()

    async def prune(
        self, statuses: Collection[EventStatus], *, limit: int | None = None
    ) -> list[Work]:
        wanted = [each.value for each in EventStatus if each in TERMINAL and each in statuses]
        gone: list[Work] = []
        left = _EVERYTHING if limit is None else limit
        while left > 0:
            step = steps.Prune(wanted, min(left, _CHUNK))
            numbers = await self._ask(step, lambda numbers: self._pruned(numbers, gone))
            left -= len(numbers)
            if len(numbers) < _CHUNK:
                break
        return gone

    def _pruned(self, numbers: list[int], gone: list[Work]) -> list[int]:
        gone += self._dropped(numbers)
        return numbers

    async def remove(self, events: Sequence[Named]) -> None:
        numbers = self._numbers(events)
        await self._ask(steps.Remove(numbers), lambda _: self._dropped(numbers))

    def _dropped(self, numbers: Sequence[int]) -> list[Work]:
        gone = self._shown.drop(numbers)
        self._bells.ring_ended(numbers)
        return gone

    def _numbers(self, events: Sequence[Named]) -> list[int]:
        """The numbers of events that this process has, or that are given by id.

        Raises:
            NotFoundError: if one is not here.
        """
        ids = [event for event in events if isinstance(event, UUID)]
        found = dict(zip(ids, self._open.reader.find(ids), strict=True)) if ids else {}
        numbers = []
        for event in events:
            one = found[event] if isinstance(event, UUID) else None
            number = self._number(event) if isinstance(event, Work) else one and one.number
            if not number:
                raise NotFoundError(f"{event!r} is not in queue {self.queue!r}: append it first")
            numbers.append(number)
        return numbers

    def _number(self, event: Work) -> int:
        """The number of an event that this store has; 0 for any other."""
        number = event.execution.arrival or 0
        return number if self._shown.find(number) is event else 0

    # -- asking ------------------------------------------------------------------------------

    async def counts(self) -> dict[EventStatus, int]:
        return self._open.reader.counts()

    async def events(
        self, status: EventStatus | None = None, *, after: int | None = None, limit: int = 100
    ) -> list[Record]:
        found: list[Record] = []
        last = after or 0
        while len(found) < limit:
            size = min(_CHUNK, limit - len(found))
            page = self._open.reader.page(status, last, size)
            found += map(self._as_known, page)
            if len(page) < size:
                break
            last = page[-1].number
            await asyncio.sleep(0)  # a large page is no reason to hold up the loop
        return found

    async def get(self, ids: Iterable[UUID]) -> list[Record | None]:
        found = self._open.reader.find(ids)
        return [one and self._as_known(record_of(one)) for one in found]

    def _as_known(self, record: Record) -> Record:
        """A record, with what only this process knows: whether what it claimed has started."""
        event = self._shown.find(record.number) if record.number in self._claims else None
        return record if event is None else Record.of(event, self.queue, record.status)

    async def find(self, uid: UUID) -> Work | None:
        event = self.states.find(uid)
        if event is None:
            (found,) = self._open.reader.find([uid])
            if found is not None:
                event = self._shown.find(found.number) or self._find_again(found.number)
        return event

    async def queues(self) -> list[str]:
        """The names of all queues in the file."""
        return self._open.reader.queues()

    def last_arrival(self) -> int:
        return self._open.reader.last()

    # -- workers -----------------------------------------------------------------------------

    def enlist(self, worker: str, cancel: Callable[[Work], object]) -> None:
        self._workers[worker] = cancel
        self._ask(steps.Enlist(worker, self._wall())).add_done_callback(_heard)
        self._keep_alive()

    def discharge(self, worker: str) -> None:
        if self._workers.pop(worker, None) is not None:
            self._ask(steps.Discharge(worker)).add_done_callback(_heard)
            self._keep_alive()

    def _keep_alive(self) -> None:
        self._open.pulse.beat_for(frozenset(self._workers))
        self._watch.look()

    async def attended(self) -> bool:
        alive = self._wall() - self._lease
        return bool(self._workers) or self._open.reader.is_attended(alive)

    # -- bells -------------------------------------------------------------------------------

    def on_ready(self, bell: Callable[[], None]) -> None:
        self._bells.ready.append(bell)
        self._watch.look()

    def on_idle(self, bell: Callable[[], None]) -> None:
        self._bells.idle.append(bell)
        self._watch.look()

    def on_ended(self, event: Work, bell: Callable[[], None]) -> None:
        (number,) = self._numbers((event,))
        self._bells.on_ended(number, bell)
        self._watch.look()

    def ring_idle(self) -> None:
        self._bells.ring_idle()

    def off(self, bell: Callable[[], None]) -> None:
        self._bells.off(bell)

    # -- other processes ---------------------------------------------------------------------

    def _is_watching(self) -> bool:
        """Whether anybody here wants to know what others do with the file."""
        return self._file is not None and (self._bells.any() or bool(self._workers))

    def _look(self) -> None:
        """See whether others have written, and pass on what that means."""
        if not self._open.has_changed():
            return
        self._refresh([number for number in self._bells.ended if number not in self._claims])
        self._ask_holders([n for n in self._open.reader.unwanted() if n in self._claims])
        self._bells.ring_ready()
        self._bells.ring_idle()


def _heard(asked: asyncio.Future[Any]) -> None:
    """Nobody awaits this step: what hinders it, hinders the claims too, and is raised there."""
    if not asked.cancelled():
        asked.exception()


class _Taken:
    """What a claim took, and whether anybody waits for it still."""

    __slots__ = ("claims", "wanted")

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.wanted = True


_CHUNK: Final = 500
"""Events that one step prunes, or one look reads."""

_EVERYTHING: Final = 2**62


def _pack(ending: Ending, state: State) -> State:
    """The state after an ending that no live event had to go through."""
    status = "pending" if ending.interruptions == 0 else "processing"
    own = entries_of(status, state)
    if ending.interruptions:
        own.pop("_denials", None)  # nobody knows whether it had started, which ends their row
    return after(ending, own)
