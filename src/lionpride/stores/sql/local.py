"""Base of the stores over a database: the part that concerns this process only.

The methods here are the same for all databases; each store supplies the steps on its rows.
"""

from __future__ import annotations

import asyncio
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial
from platform import node
from typing import Any, Final, TypeVar
from uuid import UUID

from ...errors import NotFoundError, ValidationError
from ...model import registry
from ...model.execution import TERMINAL, EventStatus
from ...model.work import Work
from ...rules.lifecycle import Ending, after_unstorable
from ...rules.metering import Limits
from ...rules.standing import About, Unreadable, Worker
from ...rules.texts import check_text
from ..alarm import Alarm
from ..contract import Claim, Named, Settlement, Stuck, not_here
from ..event_cache import EventCache
from ..inspector import WorkerRecord
from ..listeners import Listeners
from ..record import Record
from ..states import States
from .codec import check_outcome_size, check_response_size, description_json
from .heartbeat import Heartbeat
from .limits import PauseRequest, Reservation, Reservations, UsageChange, put_reservations
from .local_events import LocalEvents
from .process import this_process
from .progress import ProgressPublisher
from .rows import FixedColumns, ProgressRow, ReadyRow, SettlementRow, StoredEvent
from .unreadable import PAUSE, UnreadableEvents, reason_of

__all__ = ("CHUNK", "Local", "by_and_by", "heard", "until_done")

T = TypeVar("T")
R = TypeVar("R")

CHUNK: Final = 500
"""Number of events that one step prunes, or one query reads."""

RETRY: Final = 1.0
"""Seconds until a step that no caller awaits is tried again."""

_EVERYTHING: Final = 2**62

logger = logging.getLogger("lionpride")


class Local(ABC):
    """Base of a store over a database: its state in this process.

    Args:
        place: The database, as error messages name it.
        queue: The queue's name.
        name: The name of the States; the queue's by default.
        shown: The maximum number of events in ``states`` that are not running.
        clock: Returns the time for due events.
        look_up: Reads the columns of events by number.

    Raises:
        ValidationError: if a database cannot store the name of the queue.
    """

    is_shared = True

    def __init__(
        self,
        place: object,
        queue: str,
        name: str | None,
        shown: int,
        clock: Callable[[], float],
        look_up: Callable[[Sequence[int]], list[StoredEvent | None]],
    ) -> None:
        check_text("queue", queue)
        this_process()  # cached now: later there may be no free file descriptor to read it
        self.queue = queue
        self.states = States(name=name or queue)
        self.missing: set[str] = set()  # kinds that this process does not run
        self._types: tuple[type[Work], ...] = ()  # what it runs; empty: all that it has defined
        self._fails_unreadable = False
        self.failed_unreadable = 0
        self._unreadable = UnreadableEvents()
        self._postponed: set[int] = set()  # not claimed while an older attempt runs here
        self._unrunnable: list[ReadyRow] = []  # claims that are to be given back
        self._to_be_told = False  # what cannot be built, to other processes
        self._where = place
        self._clock = clock
        self._listeners = Listeners()
        self._local_events = LocalEvents(
            EventCache(self.states, shown),
            self._listeners,
            clock=clock,
            look_up=look_up,
            postpone=self._postpone,
            refuse=self._refuse,
        )
        self._alarm = Alarm(clock, self._expire)
        self._progress = ProgressPublisher(
            self._local_events.claims, self._publish, lambda: self._largest
        )
        self._workers: dict[str, Callable[[Work], object]] = {}
        self._about: dict[str, Callable[[], About] | None] = {}
        self._since: dict[str, float] = {}  # when each of them began
        self._leaving: set[str] = set()  # workers that are discharged, but for their row
        self._warned: set[str] = set()

    # -- what each store does in its own way -------------------------------------------------

    @abstractmethod
    def _ask(self, step: Any, then: Callable[[Any], Any] | None = None) -> asyncio.Future[Any]:
        """Run a step; ``then`` receives its result even if the caller no longer waits."""

    @abstractmethod
    def _is_open(self) -> bool:
        """Return True if the database is open in this process."""

    @property
    @abstractmethod
    def _largest(self) -> int:
        """The maximum size of the texts of a row in bytes."""

    @abstractmethod
    def _settle(self, settlements: Sequence[Settlement]) -> asyncio.Future[Any]:
        """Record outcomes.

        Raises:
            ValidationError: if one of them is too large.
        """

    @abstractmethod
    def _fail(self, one: ReadyRow, error: Exception) -> None:
        """Record that a claimed event, which could not be built, has FAILED with this error."""

    @abstractmethod
    def _return(self, rows: list[SettlementRow]) -> None:
        """Release claims whose events could not be built."""

    @abstractmethod
    async def _waiting_kinds(
        self, kinds: Collection[str], numbers: Collection[int]
    ) -> dict[str, int] | None:
        """Count the ready events by type; None if there are any besides these types and numbers."""

    @abstractmethod
    async def _other_workers(self) -> list[Worker]:
        """Return the live workers of the queue in other processes."""

    @abstractmethod
    def _expiring(self) -> Any:
        """A step: end what waits and was not started in time, ``EXPIRE`` events at most."""

    @abstractmethod
    def _expired(self, expired: Any) -> Any:
        """Show expired events, and return their number; set the timer for the next expiry."""

    @abstractmethod
    def _pruning(self, statuses: list[str], limit: int) -> Any:
        """A step: remove so many ended events; their numbers."""

    @abstractmethod
    async def _page(self, status: EventStatus | None, after: int, limit: int) -> list[Record]:
        """Return the records after a number, in order."""

    @abstractmethod
    def _enlist(self, worker: str) -> None:
        """Write a worker with its description to the table."""

    @abstractmethod
    def _discharging(self, worker: str) -> Any:
        """Return a step that deletes a worker from the table."""

    @abstractmethod
    def _keep_alive(self) -> None:
        """Renew the leases of the current workers from now on."""

    @abstractmethod
    def _heartbeat(self) -> Heartbeat:
        """Return what renews the leases of this process."""

    @abstractmethod
    def _change_usage(self, change: UsageChange) -> None:
        """Apply what a running attempt changes of its limits, before it is settled."""

    @abstractmethod
    def _publish(
        self, news: Sequence[ProgressRow], over: Sequence[tuple[int, int]]
    ) -> asyncio.Future[Any]:
        """Write the progress of attempts, and delete that of ended attempts."""

    @abstractmethod
    async def _chunks(self, number: int, attempt: int, first: int) -> tuple[int, list[Any]] | None:
        """Return the chunks that another process has written of an attempt."""

    # -- what is not started in time ---------------------------------------------------------

    def _expire(self) -> None:
        if self._is_open():
            self._ask(self._expiring(), self._expired).add_done_callback(heard)

    def _held(self, numbers: Iterable[int]) -> dict[int, Work]:
        """Return the events that this process has, by number."""
        held = {number: self._local_events.cache.find(number) for number in numbers}
        return {number: event for number, event in held.items() if event is not None}

    def _tell_expired(self, numbers: Iterable[int], mine: Mapping[int, Work]) -> None:
        """Notify the listeners of events that have expired."""
        self._listeners.notify_finished(numbers)
        self._tell_ended(mine.values(), EventStatus.PENDING)

    def _tell_ended(self, events: Iterable[Work], before: EventStatus) -> None:
        """Notify the observers of events that no worker has finished."""
        for event in events:
            self._listeners.notify_expired(event, before)

    def _tell_swept(self, numbers: Iterable[int]) -> None:
        """Notify the observers of events of this process that were reaped and are finished."""
        swept = self._held(numbers).values()
        ended = [event for event in swept if event.execution.status in TERMINAL]
        self._tell_ended(ended, EventStatus.PROCESSING)

    # -- by hand -----------------------------------------------------------------------------

    def _ask_holders(self, numbers: Iterable[int]) -> None:
        """Ask the workers here to cancel the attempts of events."""
        for number in numbers:
            event = self._local_events.cache.find(number)
            if event is not None:
                for cancel in tuple(self._workers.values()):
                    cancel(event)

    async def prune(
        self, statuses: Collection[EventStatus], *, limit: int | None = None
    ) -> list[Work]:
        """As ``Store.prune``."""
        wanted = [each.value for each in EventStatus if each in TERMINAL and each in statuses]
        gone: list[Work] = []

        def pruned(numbers: list[int]) -> list[int]:
            gone.extend(self._drop(numbers))
            return numbers

        left = _EVERYTHING if limit is None else limit
        while left > 0:
            numbers = await self._ask(self._pruning(wanted, min(left, CHUNK)), pruned)
            left -= len(numbers)
            if len(numbers) < CHUNK:
                break
        return gone

    def _drop(self, numbers: Sequence[int]) -> list[Work]:
        """Forget removed events; return those that this process had."""
        return self._local_events.drop(numbers)

    def _number(self, event: Work) -> int:
        """Return the number of an event of this store; 0 for any other event."""
        number = event.execution.arrival or 0
        return number if self._local_events.cache.find(number) is event else 0

    def _not_here(self, event: Named) -> NotFoundError:
        return not_here(event, self.queue)

    # -- asking ------------------------------------------------------------------------------

    def time(self) -> float:
        """As ``Store.time``."""
        return self._clock()

    async def list_records(
        self, status: EventStatus | None = None, *, after: int | None = None, limit: int = 100
    ) -> list[Record]:
        """As ``Store.events``."""
        found: list[Record] = []
        last = after or 0
        while len(found) < limit:
            size = min(CHUNK, limit - len(found))
            page = await self._page(status, last, size)
            found += map(self._as_known, page)
            if len(page) < size:
                break
            last = page[-1].number
            await asyncio.sleep(0)  # a large page is no reason to hold up the loop
        return found

    def _as_known(self, record: Record) -> Record:
        """Return a record in the state that this process knows, if it has claimed the event."""
        local_events = self._local_events
        is_mine = (
            record.status is EventStatus.PROCESSING
            and local_events.claims.get(record.number) == record.attempt
        )
        event = local_events.cache.find(record.number) if is_mine else None
        return record if event is None else Record.of(event, self.queue, record.status)

    def _left_to_others(self) -> list[int]:
        """Return the numbers of unfinished events that this process shows and has not claimed."""
        lanes = (self.states.lane(EventStatus.PENDING), self.states.lane(EventStatus.PROCESSING))
        claims = self._local_events.claims
        return [number for lane in lanes for number in lane if number not in claims]

    # -- workers -----------------------------------------------------------------------------

    def register_worker(
        self,
        worker: str,
        cancel: Callable[[Work], object],
        about: Callable[[], About] | None = None,
    ) -> None:
        """As ``Store.register_worker``."""
        self._workers[worker] = cancel
        self._about[worker] = None if about is None else partial(self._tell, about)
        self._since.setdefault(worker, self._clock())
        self._enlist(worker)
        self._keep_alive()

    def unregister_worker(self, worker: str) -> None:
        """As ``Store.unregister_worker``."""
        self._about.pop(worker, None)
        self._since.pop(worker, None)
        if self._workers.pop(worker, None) is not None:
            self._leaving.add(worker)
            step = self._discharging(worker)
            asked = self._ask(step, lambda _: self._leaving.discard(worker))
            asked.add_done_callback(heard)
            self._keep_alive()
        self._listeners.notify_idle()

    def _description_sources(self) -> dict[str, Callable[[], str | None]]:
        """Return functions that describe each worker as JSON; called in other threads too."""
        return {worker: partial(description_json, about) for worker, about in self._about.items()}

    def _with_own(self, gone: AbstractSet[str], found: Iterable[Worker]) -> list[Worker]:
        """Return the workers in the table, with the current state of this process's workers.

        The table may be older than that: no caller waits for the commit that writes their state.

        Args:
            gone: Workers of this process that were leaving when the table was read.
            found: The workers in the table.
        """
        known = {worker.name: worker for worker in found if worker.name not in gone}
        for name, say in self._about.items():
            worker = known.get(name) or Worker(name, True, 0, None)
            known[name] = worker._replace(is_live=True, about=say() if say else worker.about)
        return list(known.values())

    def _records_with_own(
        self, gone: AbstractSet[str], found: Iterable[WorkerRecord]
    ) -> list[WorkerRecord]:
        """Do the same for worker records."""
        known = {worker.name: worker for worker in found if worker.name not in gone}
        for name, say in self._about.items():
            record = known.get(name) or self._record_of_own(name)
            known[name] = replace(record, alive=True, about=say() if say else record.about)
        return list(known.values())

    def _record_of_own(self, worker: str) -> WorkerRecord:
        """Return the record of a worker of this process that is not in the table yet."""
        since = self._since[worker]
        return WorkerRecord(
            worker, self.queue, node(), os.getpid(), since, self._clock(), 0.0, True, ()
        )

    # -- claims ------------------------------------------------------------------------------

    def start(self, event: Work) -> None:
        """As ``Store.start``."""
        self._local_events.start(event)
        if "_meter" in event.__dict__:
            event.__dict__["_meter"].begin()

    def holds(self, event: Work, attempt: int) -> bool:
        """See ``Store.holds``."""
        own = event.__dict__
        if self._local_events.claims.get(own.get("_arrival", 0)) != attempt:
            return False
        if "_expires" in own and own["_expires"] <= self._clock():
            return False
        return self._heartbeat().holds(own.get("_leased", 0.0))

    def _settling(self, settlements: Sequence[Settlement], ended: Callable[[], float]) -> Any:
        """Return what is to be recorded of outcomes.

        Raises:
            ValidationError: if one of them is too large; nothing was asked for.
        """
        rows = [self._local_events.settling(each, ended()) for each in settlements]
        for (event, _, _), row in zip(settlements, rows, strict=True):
            check_outcome_size(event.id, row, self._largest)
        return rows

    def _is_too_large(self, event: Work, attempt: int, result: str | None, duration: float) -> bool:
        """Return True if a response is too large to be stored: then the event fails."""
        try:
            check_response_size(event.id, result, self._largest)
        except ValidationError as error:
            self._refuse_response(event, attempt, error, duration)
            return True
        return False

    def _refuse_response(
        self, event: Work, attempt: int, refusal: ValidationError, duration: float
    ) -> None:
        """Record that an event has FAILED, and tell the observers, as no worker does that."""
        failed = [(event, attempt, after_unstorable(refusal, duration))]

        def ask() -> asyncio.Future[Any] | None:
            if not self._is_open():
                return None
            asked = self._settle(failed)
            asked.add_done_callback(tell)
            return asked

        def tell(asked: asyncio.Future[Any]) -> None:
            if (
                not asked.cancelled()
                and asked.exception() is None
                and asked.result()[0].is_recorded
            ):
                self._tell_ended([event], EventStatus.PROCESSING)

        until_done(ask)

    def _keep_reservations(
        self, claims: Sequence[Claim], limits: Limits, reservations: Reservations
    ) -> None:
        """Keep with each event what it reserved of the limits under which it was claimed."""
        if reservations.is_blocked:  # a limit may be set to allow more
            for limit in limits.values():
                limit.account(None).on_change(self._listeners.notify_ready)
        put_reservations(claims, limits, reservations, self._change_usage, self._clock)

    def _pause(self, settlements: Iterable[Settlement]) -> None:
        """Pause the limits of which a service has too many requests, before the settlement."""
        for event, attempt, outcome in settlements:
            if isinstance(outcome, Ending) and (pause := outcome.pause) is not None:
                kept: Reservation | None = event.__dict__.get("_meter")
                account = None if kept is None else kept.pool(pause)
                number, until = self._number(event), self._clock() + pause.seconds
                self._change_usage(PauseRequest(number, attempt, account, until))

    # -- events that are claimed and given back ----------------------------------------------

    def _postpone(self, one: ReadyRow) -> bool:
        """Give back a claim of an event of which an older, reaped attempt still runs here.

        Returns:
            False if no worker is registered: then a caller uses the store directly, and no code
            of the event runs here.
        """
        if not self._workers:
            return False
        self._postponed.add(one[0])
        self._unrunnable.append(one)
        return True

    def _refuse(self, one: ReadyRow, kept: FixedColumns, error: Exception) -> None:
        """Release a claimed event that cannot be built, or mark it as FAILED."""
        number, uid, kind = one[0], UUID(bytes=kept[0]), kept[1]
        if not self.runs(kind):
            self.missing.add(kind)
        elif self._fails_unreadable:
            logger.warning("event %s cannot be read, and has FAILED: %s", uid, reason_of(error))
            self.failed_unreadable += 1
            self._fail(one, error)
            return
        elif self._unreadable.note(number, uid, kind, error, self._clock()):
            self._warn_of_unreadable(uid, kind, error)
            self._to_be_told = True
        self._unrunnable.append(one)

    def _warn_of_unreadable(self, uid: UUID, kind: str, error: Exception) -> None:
        text = "stays pending for a process that can read it"
        if kind in self._unreadable.kinds(self._clock()):
            text += f", and events of this class are not claimed here for {PAUSE:g} s"
        logger.warning("%s: event %s of %s cannot be read in this process and %s: %s",
                       self._where, uid, kind, text, reason_of(error))  # fmt: skip

    def _give_back_unrunnable(self, limits: Limits | None, rationed: Reservations | None) -> None:
        """Release claims that this process cannot run now, with all that they took of limits."""
        if self._to_be_told:
            self._to_be_told = False
            for worker in self._workers:
                self._enlist(worker)  # once more, so that others see it at once
        if not self._unrunnable:
            return
        unrunnable, self._unrunnable = self._unrunnable, []
        if limits is not None and rationed is not None:
            for one in unrunnable:
                claim, parts = (one[0], one[3] + 1, rationed.keys[one[0]]), rationed.parts[one[0]]
                kept = Reservation(self._change_usage, self._clock, limits, claim, parts)
                kept.give_back()
        self._return([_as_it_waited(one) for one in unrunnable])

    def _not_claimed(self, skip: Collection[int]) -> tuple[Collection[int], frozenset[str]]:
        """Return the numbers (``skip`` included) and the classes that a claim skips."""
        self._postponed &= self._local_events.claims.keys()
        if self._postponed:
            skip = {*skip, *self._postponed}
        if not self._unreadable:
            return skip, frozenset()
        now = self._clock()
        self._unreadable.refresh(now)
        numbers = self._unreadable.numbers
        return {*skip, *numbers} if skip else numbers, self._unreadable.kinds(now)

    def _wait_for(self, wait: float | None) -> float | None:
        """Return the seconds until another claim may find an event, also an unreadable one."""
        if not self._unreadable:
            return wait
        look = self._unreadable.next_look(self._clock())
        return min((each for each in (wait, look) if each is not None), default=None)

    def _lacks(self) -> bool:
        """Return True if this process has claimed events that it cannot run."""
        return bool(self.missing or self._unreadable)

    def _tell(self, about: Callable[[], About]) -> About:
        """Return the description of a worker, with the types that its process cannot run."""
        missing, unreadable = tuple(sorted(self.missing)), self._unreadable.report()
        return about()._replace(missing=missing, unreadable=unreadable)

    def run_only(self, types: Iterable[type[Work]]) -> None:
        """See ``Foreign``."""
        self._types = tuple({*self._types, *types})

    def runs(self, kind: str) -> bool:
        """See ``Foreign``. A claim may ask in another thread."""
        try:
            found = registry.find(kind)
        except NotFoundError:
            return False
        return not self._types or issubclass(found, self._types)

    def fail_unreadable(self) -> None:
        """See ``Foreign``."""
        self._fails_unreadable = True

    def unreadable(self) -> tuple[Unreadable, ...]:
        """See ``Foreign``."""
        return self._unreadable.report()

    def why_unreadable(self, uid: UUID, kind: str) -> str | None:
        """See ``Foreign``."""
        return self._unreadable.why(uid, kind, self._clock())

    async def stuck(self) -> list[Stuck]:
        """See ``Foreign``."""
        now, missing = self._clock(), frozenset(self._still_missing())
        self._unreadable.refresh(now)
        if not self._lacks():
            return []
        others = [one.about for one in await self._other_workers()]
        if not all(about is not None and about.may_be_stuck for about in others):
            return []  # known without a look at the events
        kinds = missing | self._unreadable.kinds(now)
        counts = await self._waiting_kinds(kinds, self._unreadable.numbers)
        if not counts:
            return []
        if not all(about is not None and about.can_run_none_of(counts) for about in others):
            return []
        description_json = {one.kind: one for one in self._unreadable.report()}
        return [
            Stuck(kind, count, description_json.get(kind)) for kind, count in sorted(counts.items())
        ]

    # -- classes that are not here -----------------------------------------------------------

    def _still_missing(self) -> set[str]:
        """Return the event types without a class here; a class may have been defined since."""
        for kind in tuple(self.missing):
            if self.runs(kind):
                self.missing.discard(kind)
                self._warned.discard(kind)
        return self.missing

    def _warn_of_missing(self) -> None:
        for kind in sorted(self.missing - self._warned):
            self._warned.add(kind)
            self._to_be_told = True
            if registry.is_defined(kind):
                problem = "this executor does not run it", "name it in Executor.of(...)"
            else:
                problem = "it is not defined in this process", "import the module that defines it"
            logger.warning(
                "%s: events of class %r stay pending for another worker, since %s: to run them "
                "here, %s",
                *(self._where, kind, *problem),
            )

    # -- what runs ---------------------------------------------------------------------------

    def publish(self, event: Work, attempt: int) -> None:
        """See ``Store``."""
        number = self._number(event)
        if number and self._local_events.has(number, event, attempt):
            self._progress.publish(number, event, attempt)

    async def published(
        self, event: Work, attempt: int, first: int
    ) -> tuple[int, list[Any]] | None:
        """See ``Store``."""
        number = self._number(event)
        if not number or number in self._local_events.claims:
            return None  # it runs here, if at all
        return await self._chunks(number, attempt, first)


def _as_it_waited(one: ReadyRow) -> SettlementRow:
    """Return the settlement that returns a claimed event unchanged except for its attempt."""
    state: Any = (one[3] + 1, *one[4:])
    return one[0], one[3] + 1, "pending", one[1], 0.0, one[2], state


def heard(asked: asyncio.Future[Any]) -> None:
    """Ignore the error of a step without a caller; the next claim raises the same error."""
    if not asked.cancelled():
        asked.exception()


def until_done(ask: Callable[[], asyncio.Future[Any] | None]) -> None:
    """Run a step, and repeat it every ``RETRY`` seconds while it fails.

    This is for what ends a claim: a live worker renews the lease, so no sweep would end it.

    Args:
        ask: Asks for the step; returns None if the store was closed meanwhile.
    """

    def answered(asked: asyncio.Future[Any]) -> None:
        if not asked.cancelled() and asked.exception() is not None:
            asked.get_loop().call_later(RETRY, until_done, ask)

    asked = ask()
    if asked is not None:
        asked.add_done_callback(answered)


async def by_and_by(items: Sequence[T], make: Callable[[T], R]) -> list[R]:
    """Map items in pieces; other tasks run between them."""
    made: list[R] = []
    for at in range(0, len(items), CHUNK):
        made += map(make, items[at : at + CHUNK])
        if len(made) < len(items):
            await asyncio.sleep(0)
    return made
