"""What a store over a database is in its own process, whichever database that is.

The verbs here are alike for all of them: what they ask of the rows is a step of each store's own.
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
from ..absent import not_here
from ..alarm import Alarm
from ..contract import Claim, Named, Settlement, Stuck
from ..event_cache import EventCache
from ..inspector import WorkerRecord
from ..listeners import Listeners
from ..record import Record
from ..states import States
from .codec import check_outcome_size, check_response_size, description_json
from .heartbeat import Heartbeat
from .limits import PauseRequest, Reservation, Reservations, UsageChange, put_reservations
from .local_events import LocalEvents
from .operations import EXPIRE
from .process import this_process
from .progress import ProgressPublisher
from .rows import FixedColumns, ProgressRow, ReadyRow, SettlementRow, StoredEvent
from .unreadable import PAUSE, UnreadableEvents, reason_of

__all__ = ("CHUNK", "Local", "by_and_by", "heard", "until_done")

T = TypeVar("T")
R = TypeVar("R")

CHUNK: Final = 500
"""Events that one step prunes, or one look reads."""

RETRY: Final = 1.0
"""Seconds until a step that no caller awaits is tried again."""

_EVERYTHING: Final = 2**62

logger = logging.getLogger("lionpride")


class Local(ABC):
    """The part of a store over a database that is about this process.

    Args:
        place: What messages call the database.
        queue: The queue's name.
        name: The name of the States; the queue's by default.
        shown: How many events at rest the ``states`` show.
        clock: The time for what becomes due.
        look_up: Reads what the database says of events, by number.

    Raises:
        ValidationError: if the queue's name is no text that a database can keep.
    """

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
        """Have a step taken; ``then`` notes it here even if nobody waits for it any more."""

    @abstractmethod
    def _is_open(self) -> bool:
        """Whether the database is open here."""

    @property
    @abstractmethod
    def _largest(self) -> int:
        """The most bytes of texts that one row of the database keeps."""

    @abstractmethod
    def _settle(self, settlements: Sequence[Settlement]) -> asyncio.Future[Any]:
        """Have outcomes recorded.

        Raises:
            ValidationError: if one of them is too large.
        """

    @abstractmethod
    def _fail(self, one: ReadyRow, error: Exception) -> None:
        """Record that a claimed event, which could not be built, has FAILED with this error."""

    @abstractmethod
    def _return(self, rows: list[SettlementRow]) -> None:
        """Have claims released whose events could not be built."""

    @abstractmethod
    async def _waiting_kinds(
        self, kinds: Collection[str], numbers: Collection[int]
    ) -> dict[str, int] | None:
        """How many events wait, by class; None if any waits beside these classes and numbers."""

    @abstractmethod
    async def _other_workers(self) -> list[Worker]:
        """The live workers of the queue, but for those of this process."""

    @abstractmethod
    def _expiring(self) -> Any:
        """A step: end what waits and was not started in time, ``EXPIRE`` events at most."""

    @abstractmethod
    def _expired(self, expired: Any) -> Any:
        """Show what was ended, and how many; look again when more may have to be."""

    @abstractmethod
    def _pruning(self, statuses: list[str], limit: int) -> Any:
        """A step: remove so many ended events; their numbers."""

    @abstractmethod
    async def _page(self, status: EventStatus | None, after: int, limit: int) -> list[Record]:
        """The records behind a number, in order."""

    @abstractmethod
    def _enlist(self, worker: str) -> None:
        """Have a worker in the table, with what it says of itself."""

    @abstractmethod
    def _discharging(self, worker: str) -> Any:
        """A step: take a worker out of the table."""

    @abstractmethod
    def _keep_alive(self) -> None:
        """Give signs of life of the workers that there are by now."""

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
        """Write what is new of attempts, and take away what was written of those that ended."""

    @abstractmethod
    async def _chunks(self, number: int, attempt: int, first: int) -> tuple[int, list[Any]] | None:
        """What another process has written of an attempt."""

    # -- what is not started in time ---------------------------------------------------------

    async def expire(self) -> int:
        """As ``Store.expire``."""
        count, some = 0, EXPIRE
        while some == EXPIRE:
            some = await self._ask(self._expiring(), self._expired)
            count += some
        return count

    def _expire(self) -> None:
        if self._is_open():
            self._ask(self._expiring(), self._expired).add_done_callback(heard)

    def _held(self, numbers: Iterable[int]) -> dict[int, Work]:
        """Those of the events that this process has."""
        held = {number: self._local_events.cache.find(number) for number in numbers}
        return {number: event for number, event in held.items() if event is not None}

    def _tell_expired(self, numbers: Iterable[int], mine: Mapping[int, Work]) -> None:
        """Notify the listeners of events that have expired."""
        self._listeners.notify_finished(numbers)
        self._tell_ended(mine.values(), EventStatus.PENDING)

    def _tell_ended(self, events: Iterable[Work], before: EventStatus) -> None:
        """Tell the observers of events that were ended by no worker."""
        for event in events:
            self._listeners.notify_expired(event, before)

    def _tell_swept(self, numbers: Iterable[int]) -> None:
        """Tell the observers of those events of this process that a sweep has ended."""
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
        """Let go of events that are removed; those that this process had."""
        return self._local_events.drop(numbers)

    def _number(self, event: Work) -> int:
        """The number of an event that this store has; 0 for any other."""
        number = event.execution.arrival or 0
        return number if self._local_events.cache.find(number) is event else 0

    def _not_here(self, event: Named) -> NotFoundError:
        return not_here(event, self.queue)

    # -- asking ------------------------------------------------------------------------------

    def time(self) -> float:
        """As ``Store.time``."""
        return self._clock()

    async def events(
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
        """A record, with what only this process knows: whether what it claimed has started."""
        local_events = self._local_events
        is_mine = (
            record.status is EventStatus.PROCESSING
            and local_events.claims.get(record.number) == record.attempt
        )
        event = local_events.cache.find(record.number) if is_mine else None
        return record if event is None else Record.of(event, self.queue, record.status)

    def _left_to_others(self) -> list[int]:
        """What is shown as pending or running, and is not claimed here."""
        lanes = (self.states.lane(EventStatus.PENDING), self.states.lane(EventStatus.PROCESSING))
        claims = self._local_events.claims
        return [number for lane in lanes for number in lane if number not in claims]

    # -- workers -----------------------------------------------------------------------------

    def enlist(
        self,
        worker: str,
        cancel: Callable[[Work], object],
        about: Callable[[], About] | None = None,
    ) -> None:
        """As ``Store.enlist``."""
        self._workers[worker] = cancel
        self._about[worker] = None if about is None else partial(self._tell, about)
        self._since.setdefault(worker, self._clock())
        self._enlist(worker)
        self._keep_alive()

    def discharge(self, worker: str) -> None:
        """As ``Store.discharge``."""
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
        """What each worker here says of itself, as JSON; called in other threads too."""
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
        """What is known of a worker of this process that the table does not have yet."""
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
        """See ``Leased``."""
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
        """An event was claimed that cannot be built: it waits for a process that can, or fails."""
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
        """Seconds until another claim may find something, unreadable events counted."""
        if not self._unreadable:
            return wait
        look = self._unreadable.next_look(self._clock())
        return min((each for each in (wait, look) if each is not None), default=None)

    def _lacks(self) -> bool:
        """Whether this process has met events that it cannot run."""
        return bool(self.missing or self._unreadable)

    def _tell(self, about: Callable[[], About]) -> About:
        """What a worker says of itself, and what its process cannot run."""
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
        """The kinds that this process has no class for; a class may be defined meanwhile."""
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
        """See ``Shared``."""
        number = self._number(event)
        if number and self._local_events.has(number, event, attempt):
            self._progress.publish(number, event, attempt)

    async def published(
        self, event: Work, attempt: int, first: int
    ) -> tuple[int, list[Any]] | None:
        """See ``Shared``."""
        number = self._number(event)
        if not number or number in self._local_events.claims:
            return None  # it runs here, if at all
        return await self._chunks(number, attempt, first)


def _as_it_waited(one: ReadyRow) -> SettlementRow:
    """The settling of a claim that puts its event back as it was, but for the attempt number."""
    state: Any = (one[3] + 1, *one[4:])
    return one[0], one[3] + 1, "pending", one[1], 0.0, one[2], state


def heard(asked: asyncio.Future[Any]) -> None:
    """Nobody awaits this step: what hinders it, hinders the claims too, and is raised there."""
    if not asked.cancelled():
        asked.exception()


def until_done(ask: Callable[[], asyncio.Future[Any] | None]) -> None:
    """Have a step taken, and again ``RETRY`` seconds later as long as it fails.

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
    """Make something of each, with a turn of the loop now and then."""
    made: list[R] = []
    for at in range(0, len(items), CHUNK):
        made += map(make, items[at : at + CHUNK])
        if len(made) < len(items):
            await asyncio.sleep(0)
    return made
