"""Submission: checks events, and appends them to the store."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, TypeVar, cast
from uuid import UUID

from ..errors import ExistsError, OperationError, ValidationError
from ..model.after import After, When
from ..model.collections.flow import Flow
from ..model.continuation import Then
from ..model.event_data import EventData
from ..model.execution import EventStatus
from ..model.retry_policy import Retry
from ..rules.limits.limit_set import Limits
from ..rules.state_machine import Continued
from ..stores.append_checks import are_new
from ..stores.contract import NO_PARENTS, BufferedPath, Entry, ImmediatePath, Store
from ..stores.terms import Terms
from .append_options import AppendOptions, Parents, after_each, after_of, terms_of
from .backpressure import CapacityWaiters
from .batch_end import BatchEnd
from .bound_loop import BoundLoop
from .config import checked_priority
from .event import Event
from .event_lookup import is_known
from .observers import Observers

__all__ = ("Submission",)

E = TypeVar("E", bound=Event)

_PENDING = EventStatus.PENDING

logger = logging.getLogger("lionpride")


class Submission:
    """Accepts the events of an executor.

    Args:
        store: The store.
        observers: The observers of the store.
        loop: The event loop of the executor.
        event_types: The classes that are accepted, with their subclasses.
        strict: True to refuse subclasses.
        limits: The limits on the costs of events.
        max_pending: Number of events that may be pending; None for no limit.
        owner: Name of the executor's class, for error messages.
    """

    def __init__(
        self,
        store: Store,
        observers: Observers,
        loop: BoundLoop,
        *,
        event_types: tuple[type[Event], ...],
        strict: bool,
        limits: Limits,
        max_pending: int | None,
        owner: str,
    ) -> None:
        self._store = store
        self._observers = observers
        self._loop = loop
        self._event_types = event_types
        self._strict = strict
        self._limits = limits
        self._max_pending = max_pending
        self._owner = owner
        self._waiters = CapacityWaiters(store)
        self._accepted: set[type] = set()  # classes that passed the check
        # The class of the last event, if its next event needs no check: there are no limits.
        self._unchecked: type | None = None
        # While the executor drains, only events that running events append are accepted.
        self._is_exempt: Callable[[], bool] | None = None
        self._immediate: ImmediatePath | None = None
        self._append_now: Callable[[Event, float], bool] | None = None
        self._buffered: BufferedPath | None = None
        self.open()

    # -- whether events are accepted ---------------------------------------------------------

    def configure(self, limits: Limits, max_pending: int | None) -> None:
        """Use the settings of the processor, which may differ from those of its config."""
        self._limits = limits
        self._max_pending = max_pending
        self._unchecked = None

    @property
    def max_pending(self) -> int | None:
        """The number of events that may be pending; None for no limit."""
        return self._max_pending

    @property
    def is_open(self) -> bool:
        """True if all callers may append."""
        return self._is_exempt is None

    def open(self) -> None:
        """Accept events."""
        store = self._store
        has_space = self._max_pending is None
        self._immediate = store if isinstance(store, ImmediatePath) and has_space else None
        self._append_now = None if self._immediate is None else self._immediate.append_now
        self._buffered = store if isinstance(store, BufferedPath) else None
        self._is_exempt = None

    def close(self, is_exempt: Callable[[], bool]) -> None:
        """Refuse events, and wake the callers that wait for space.

        Args:
            is_exempt: Returns True if the caller may append nevertheless.
        """
        # The fast paths do not check whether it is closed.
        self._immediate = self._append_now = self._buffered = None
        self._is_exempt = is_exempt
        self._waiters.ask_again()

    def _check_open(self) -> None:
        if self._is_exempt is not None and not self._is_exempt():
            raise OperationError(
                f"{self._store.states.name!r} accepts no more events: it is draining, or was "
                "drained; await executor.start() to accept events again"
            )

    # -- one event ---------------------------------------------------------------------------

    def append_now(self, event: Event, priority: float | None) -> bool:
        """Append a new event to a store in memory at once, if there are no options and observers.

        This is the one shortcut of ``append``. Without it, an append takes 17 % longer, and an
        append together with the making of the event 6 %.

        Returns:
            False if the event was not appended: call ``append``.
        """
        append_now = self._append_now
        if append_now is None or self._observers.level:
            return False
        if type(event) is not self._unchecked:
            self.check(event)
        if type(priority) is not float or priority - priority != 0.0:  # infinite, or not a number
            priority = checked_priority(event, priority)
        return append_now(event, priority)

    async def append(
        self,
        event: E,
        priority: float | None,
        exist_ok: bool,
        wait: bool,
        connection: Any,
        options: AppendOptions,
    ) -> E:
        """Append an event; see ``Executor.append``."""
        if type(event) is not self._unchecked:
            self.check(event)
        priority = checked_priority(event, priority)
        unobserved = not self._observers.level or self._observers.passes(event)
        if options or connection is not None:
            return await self._append_with(event, priority, exist_ok, wait, connection, options)
        if self._immediate is not None:
            if unobserved and self._immediate.append_now(event, priority):
                return event
            if not unobserved and are_new((event,)):
                return await self._append_observed(event, priority)
        is_new = "_status" not in event.__dict__
        waits = wait and self._max_pending is not None
        if self._buffered is not None and is_new and unobserved and not (exist_ok or waits):
            await self._buffered.append_soon(event, priority, self._max_pending)
            return event
        return await self._append_one(event, priority, exist_ok, wait, None, NO_PARENTS)

    async def _append_with(
        self,
        event: E,
        priority: float,
        exist_ok: bool,
        wait: bool,
        connection: Any,
        options: AppendOptions,
    ) -> E:
        """Append an event with options, or in a transaction of the caller."""
        terms, after = terms_of(self._store.time(), **options), after_of(event, options)
        if connection is None:
            return await self._append_one(event, priority, exist_ok, wait, terms, after)
        await self._append_within(connection, ((event, priority),), terms, after, exist_ok)
        return event

    async def _append_observed(self, event: E, priority: float) -> E:
        """Append a new event to a store in memory, inside the wrappers of its observers."""
        with self._observers.appending((event,)):
            immediate = self._immediate
            if immediate is None or not immediate.append_now(event, priority):  # it has an id now
                await self._store.append(((event, priority),))
        self._observers.notify(event, None, _PENDING)
        return event

    async def _append_one(
        self,
        event: E,
        priority: float,
        exist_ok: bool,
        wait: bool,
        terms: Terms | None,
        after: Mapping[UUID, After],
    ) -> E:
        """Append an event that may be known, may wait, or has options."""
        if not (exist_ok and is_known(self._store, event)):
            _check_pending(event)
        unseen = self._unseen((event,))
        held = await self._append_entries(((event, priority),), exist_ok, wait, terms, after)
        self._notify(unseen, _PENDING)
        return cast("E", held[0])

    # -- many events -------------------------------------------------------------------------

    async def append_many(
        self,
        events: Iterable[E],
        priorities: Iterable[float | None] | None,
        *,
        exist_ok: bool,
        wait: bool,
        delay: float | None,
        at: datetime | float | None,
        ttl: float | None,
        retry: Retry | None,
        after: Mapping[Any, Parents] | None,
        when: When | None,
        connection: Any,
    ) -> list[E]:
        """Append events as one batch; see ``Executor.append_many``."""
        events, given = _batch(events, priorities)
        if not events:
            return []
        checked = self._checked(events, given)
        unobserved = not self._observers.level or self._observers.pass_all(events)
        terms = None
        if not (delay is None and at is None and ttl is None and retry is None):
            terms = terms_of(self._store.time(), delay=delay, at=at, ttl=ttl, retry=retry)
        parents = after_each(events, after, when)
        if connection is not None:
            entries = list(zip(events, checked, strict=True))
            await self._append_within(connection, entries, terms, parents, exist_ok)
            return events
        immediate = self._immediate if terms is None and unobserved and not parents else None
        if immediate is not None and immediate.append_all_now(events, checked):
            return events
        entries = list(zip(events, checked, strict=True))
        held = await self._append_batch(entries, exist_ok, wait, terms, parents)
        return cast("list[E]", held)

    async def append_with_end(
        self,
        events: Iterable[Event],
        priorities: Iterable[float | None] | None,
        *,
        wait: bool,
        after: Mapping[Any, Parents] | None,
        when: When | None,
    ) -> BatchEnd:
        """Append events as one batch, and the end of the batch after them; see ``Executor.batch``.

        Returns:
            The end of the batch.
        """
        events, given = _batch(events, priorities)
        checked = self._checked(events, given)
        ids = tuple(event.id for event in events)
        if len(set(ids)) < len(ids):
            raise ValidationError(
                f"batch: the event {Counter(ids).most_common(1)[0][0]} occurs twice: give it once"
            )
        end = BatchEnd(events=ids)
        parents = dict(after_each(events, after, when))
        if ids:
            parents[end.id] = After(ids, "finished")
        last = end, checked_priority(end, None)
        entries = [*zip(events, checked, strict=True), last]
        await self._append_batch(entries, True, wait, None, parents)
        return end

    async def _append_batch(
        self,
        entries: Sequence[Entry],
        exist_ok: bool,
        wait: bool,
        terms: Terms | None,
        after: Mapping[UUID, After],
    ) -> list[EventData]:
        """Append events that may be known, may wait, or have options."""
        events = [event for event, _ in entries]
        for event in events:
            if "_status" in event.__dict__ and not (exist_ok and is_known(self._store, event)):
                _check_pending(event)
        unseen = self._unseen(events)
        held = await self._append_entries(entries, exist_ok, wait, terms, after)
        self._notify(unseen, _PENDING)
        return held

    def _checked(self, events: Sequence[E], priorities: Sequence[float | None]) -> list[float]:
        """Check the events of a batch, and return their priorities."""
        unchecked, checked = self._unchecked, list[float]()
        for event, priority in zip(events, priorities, strict=True):
            if type(event) is not unchecked:
                self.check(event)
            if type(priority) is float and isfinite(priority):
                checked.append(priority)
            else:
                checked.append(checked_priority(event, priority))
        return checked

    def continue_with(self, then: Then[Any]) -> Continued:
        """Return the outcome of an attempt that another event continues.

        Raises:
            OperationError: if the executor is draining, or an event has run or is stored already.
            TypeError: if the executor does not take an event of this type.
            ValidationError: if a value is invalid, or events wait for each other.
        """
        event, given = then.event, then.after
        if isinstance(given, EventData | UUID | str):
            given = (given,)
        parents = list(given)
        after = after_each([event], {event: parents}, then.when) if parents else NO_PARENTS
        new = [each for each in parents if _is_new(each)]
        events = [*dict.fromkeys(cast("list[Any]", new)), event]
        for each in events:
            _check_pending(each)
        self._check_open()
        priorities = self._checked(events, [then.priority] * len(events))
        return Continued(list(zip(events, priorities, strict=True)), after, 0.0)

    async def load(self, state: Flow[Any, Any] | Mapping[str, Any]) -> int:
        """Append the events of a Flow with their statuses; see ``Executor.load``."""
        self._check_open()
        states = self._store.states
        flow = state if isinstance(state, Flow) else Flow.from_dict(state)
        events = list(flow.items)
        for event in events:
            self._check_type(event)
            checked_priority(event, None)
        own = [each for each in flow.progressions if each.name not in set(EventStatus)]
        for progression in own:
            if any(each.name == progression.name for each in states.progressions):
                raise ExistsError(
                    f"a progression is named {progression.name!r} already: names are "
                    "unique, so rename one of them"
                )
        unseen = self._unseen(events)
        count = await self._store.load(events)
        for progression in own:
            states.add_progression(progression)
        self._notify(unseen)
        return count

    # -- the store ---------------------------------------------------------------------------

    async def _append_within(
        self,
        connection: Any,
        entries: Sequence[Entry],
        terms: Terms | None,
        after: Mapping[UUID, After],
        exist_ok: bool,
    ) -> None:
        """Append events in a transaction of the caller."""
        if exist_ok:
            raise OperationError(
                "exist_ok= cannot be combined with connection=, since other transactions "
                "may be open: leave one of them out"
            )
        for event, _ in entries:
            _check_pending(event)
        self._check_open()
        with self._observers.appending(event for event, _ in entries):
            await self._store.append(entries, terms=terms, after=after, connection=connection)

    async def _append_entries(
        self,
        entries: Sequence[Entry],
        exist_ok: bool,
        wait: bool,
        terms: Terms | None,
        after: Mapping[UUID, After],
    ) -> list[EventData]:
        """Append events with their priorities, and return the events of the store."""
        store, max_pending = self._store, self._max_pending

        async def append() -> list[EventData]:
            self._check_open()
            if self._immediate is not None and terms is None and not after:
                events, priorities = zip(*entries, strict=True)
                if self._immediate.append_all_now(events, priorities):
                    return list(events)
            return await store.append(
                entries, room=max_pending, exist_ok=exist_ok, terms=terms, after=after
            )

        with self._observers.appending(event for event, _ in entries):
            if not wait or max_pending is None:
                return await append()
            return await self._waiters.enter(append, alone=len(entries) > 1)

    # -- observers ---------------------------------------------------------------------------

    def _unseen(self, events: Iterable[EventData]) -> list[EventData]:
        """Return the events that are new and observed; an empty list if there are no observers."""
        observers = self._observers
        if not observers.level:
            return []
        unseen = {
            id(event): event
            for event in events
            if observers.sees_append(event) and event.execution.arrival is None
        }
        return list(unseen.values())

    def _notify(self, unseen: Iterable[EventData], after: EventStatus | None = None) -> None:
        """Notify observers of events that have been appended.

        Args:
            unseen: Events that were new; of two with one id, the store has the first.
            after: The status that each was appended with; None for its present status.
        """
        for event in unseen:
            if event.execution.arrival is not None:
                self._observers.notify(event, None, after or event.status)

    # -- checks ------------------------------------------------------------------------------

    def check(self, event: Event) -> None:
        """Refuse an event of another type, or one that costs more than a limit's amount."""
        if type(event) not in self._accepted:
            self._check_type(event)
            self._loop.bind_if_lost()
            if self._limits:
                self._check_names(event)
            self._accepted.add(type(event))
        if self._limits:
            pair = self._limits.pair  # the usual case, with one call less
            if pair is None or not pair.allows(event):
                self._limits.check(event)
        else:
            self._unchecked = type(event)

    def _check_names(self, event: Event) -> None:
        """Warn of costs that no limit counts, at the first event of a class."""
        self._limits.check(event)
        kind = type(event)
        fixed = kind.has_own_costs() or kind.has_usual_costs()  # a `request` may name more later
        if fixed and self._limits.are_strange(costs := event.costs):
            logger.warning(
                "%s costs %s, and no limit has such a name: %r never delay its events; use "
                "the name of a limit in its `costs`, or return {}",
                *(kind.__name__, ", ".join(map(repr, costs)), self._limits),
            )

    def _check_type(self, event: object) -> None:
        if type(event) is BatchEnd:
            return
        kinds = self._event_types
        fits = type(event) in kinds if self._strict else isinstance(event, kinds)
        if not fits:
            names = " or ".join(kind.__name__ for kind in kinds)
            only = " itself, no subclass (strict_event_type)" if self._strict else ""
            raise TypeError(f"{self._owner} takes events of {names}{only}, not {event!r}")


def _batch(
    events: Iterable[E], priorities: Iterable[float | None] | None
) -> tuple[list[E], list[float | None]]:
    """Return the events of a batch, and a priority for each."""
    if isinstance(events, EventData):  # a model can be iterated over: its fields would come
        raise TypeError(f"append_many takes several events, not {events!r}: append() takes one")
    events = list(events)
    given: list[float | None]
    given = [None] * len(events) if priorities is None else list(priorities)
    if len(given) != len(events):
        raise ValidationError(
            f"priorities: there are {len(given)} for {len(events)} events: give one for each, "
            "None for the default"
        )
    return events, given


def _is_new(parent: object) -> bool:
    """Return True for an event that no store has."""
    return isinstance(parent, EventData) and parent.execution.arrival is None


def _check_pending(event: EventData) -> None:
    """Refuse an event that ran outside an executor; the store checks those that it has."""
    state = event.execution
    if state.status is not _PENDING and state.arrival is None:
        raise OperationError(
            f"{event!r} is {state.status.value} and cannot be appended: append "
            "event.as_fresh_event() to run it again, or load() a Flow to keep its status"
        )
