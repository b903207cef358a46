"""Submission of events: one by one, as a batch, with append options, or as a Flow."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, TypeVar, cast

from ..errors import ExistsError, OperationError, ValidationError
from ..model.collections.flow import Flow
from ..model.event_data import Work
from ..model.execution import EventStatus
from ..model.retry_policy import Retry
from ..rules.metering import Limits
from ..stores.contract import Entry, ImmediatePath
from ..stores.terms import Terms
from .append_options import terms_of
from .backpressure import CapacityWaiters
from .config import checked_priority
from .event import Event
from .results import Results

__all__ = ("Intake",)

E = TypeVar("E", bound=Event)

_PENDING = EventStatus.PENDING

logger = logging.getLogger("lionpride")


class Intake(Results):
    """The part of an Executor that accepts events, except for the fast paths."""

    _event_type: type[Event]
    _event_types: tuple[type[Event], ...]
    _usual_type: type[Event] | None  # what need not be looked at any closer: there are no limits
    _limits: Limits
    _fitting: set[type]  # classes whose events are taken
    _now: ImmediatePath | None  # None also if there is only so much room
    _strict: bool
    _room: int | None
    _loop: asyncio.AbstractEventLoop | None = None  # set when made, at an append or at start()
    _waiters: CapacityWaiters

    @abstractmethod
    def _check_door(self) -> None:
        """Refuse an append while the executor is draining, and after."""

    async def append_many(
        self,
        events: Iterable[E],
        priorities: Iterable[float | None] | None = None,
        *,
        exist_ok: bool = False,
        wait: bool = False,
        delay: float | None = None,
        at: datetime | float | None = None,
        ttl: float | None = None,
        retry: Retry | None = None,
        connection: Any = None,
    ) -> list[E]:
        """Append events as one batch: all of them or none, in this order of arrival.

        Args:
            events: The events; see ``append``.
            priorities: One for each event; None for the default.
            exist_ok: See ``append``.
            wait: True to wait until there is space for the whole batch; see ``append``.
            delay: See ``append``. It applies to all events, as do the next three.
            at: See ``append``.
            ttl: See ``append``.
            retry: See ``append``.
            connection: See ``append``. All events are appended in the connection's transaction.

        Returns:
            The events. With ``exist_ok``, some can be events that were already there.

        Raises:
            ValidationError: if ``priorities`` and ``events`` differ in length; also see ``append``.
            QueueFullError: with ``wait``, if the batch is larger than ``max_queue_size``.
        """
        events, given = _several(events, priorities)
        if not events:
            return []
        usual, checked = self._usual_type, list[float]()
        for event, priority in zip(events, given, strict=True):
            if type(event) is not usual:
                self._check(event)
            if type(priority) is float and isfinite(priority):
                checked.append(priority)
            else:
                checked.append(checked_priority(event, priority))
        quiet = not self._observers.active or self._observers.pass_all(events)
        terms = None
        if not (delay is None and at is None and ttl is None and retry is None):
            terms = terms_of(self._store.time(), delay=delay, at=at, ttl=ttl, retry=retry)
        if connection is not None:
            entries = list(zip(events, checked, strict=True))
            await self._append_within(connection, entries, terms, exist_ok)
            return events
        if (
            terms is None
            and self._now is not None
            and quiet
            and self._now.append_all_now(events, checked)
        ):
            return events
        for event in events:
            if "_status" in event.__dict__ and not (exist_ok and event in self):
                _check_pending(event)
        fresh = self._fresh(events)
        entries = list(zip(events, checked, strict=True))
        held = await self._take_in(entries, exist_ok, wait, terms)
        self._tell_taken(fresh, _PENDING)
        return cast("list[E]", held)

    async def load(self, state: Flow[Any, Any] | Mapping[str, Any]) -> int:
        """Append the events of a Flow, or of its ``to_dict`` form, and keep their statuses.

        An event that was running becomes pending, as interrupted. Progressions that the user added
        to the Flow are added to ``states``.

        Returns:
            The number of events.

        Raises:
            ExistsError: if an id or a progression's name is already in use; nothing is added then.
            TypeError: if an event is not of the event type; nothing is added then.
            ValidationError: if a priority is not a finite number; nothing is added then.
            OperationError: if the executor is draining or was drained; nothing is added then.
        """
        self._check_door()
        flow = state if isinstance(state, Flow) else Flow.from_dict(state)
        events = list(flow.items)
        for event in events:
            self._check_type(event)
            checked_priority(event, None)
        own = [each for each in flow.progressions if each.name not in set(EventStatus)]
        for progression in own:
            if any(each.name == progression.name for each in self.states.progressions):
                raise ExistsError(
                    f"a progression is named {progression.name!r} already: names are "
                    "unique, so rename one of them"
                )
        fresh = self._fresh(events)
        count = await self._store.load(events)
        for progression in own:
            self.states.add_progression(progression)
        self._tell_taken(fresh)
        return count

    def _fresh(self, events: Iterable[Work]) -> list[Work]:
        """Return the events that no executor has yet; an empty list if there are no observers."""
        observers = self._observers
        if not observers.active:
            return []
        fresh = {
            id(event): event
            for event in events
            if observers.hears_of(event) and event.execution.arrival is None
        }
        return list(fresh.values())

    def _tell_taken(self, fresh: Iterable[Work], after: EventStatus | None = None) -> None:
        """Notify observers of events that have been appended.

        Args:
            fresh: Events that no executor had before; of two with one id, the store kept the first.
            after: The status that each was appended with; None for its present status.
        """
        for event in fresh:
            if event.execution.arrival is not None:
                self._observers.tell(event, None, after or event.status)

    async def _append_on(
        self, terms: Terms | None, event: E, priority: float, exist_ok: bool, wait: bool
    ) -> E:
        """Append an event outside the fast path, with or without terms."""
        if not (exist_ok and event in self):
            _check_pending(event)
        fresh = self._fresh((event,))
        held = await self._take_in(((event, priority),), exist_ok, wait, terms)
        self._tell_taken(fresh, _PENDING)
        return cast("E", held[0])

    async def _append_seen(self, now: ImmediatePath, event: E, priority: float) -> E:
        """Append a new event inside the context managers of its observers."""
        with self._observers.appending((event,)):
            if not now.append_now(event, priority):  # who was put around it has asked for its id
                await self._store.append(((event, priority),))
        self._observers.tell(event, None, _PENDING)
        return event

    async def _append_within(
        self, connection: Any, entries: Sequence[Entry], terms: Terms | None, exist_ok: bool
    ) -> None:
        """Append events in a transaction of the caller."""
        if exist_ok:
            raise OperationError(
                "exist_ok= cannot be combined with connection=, since other transactions "
                "may be open: leave one of them out"
            )
        for event, _ in entries:
            _check_pending(event)
        self._check_door()
        with self._observers.appending(event for event, _ in entries):
            await self._store.append(entries, terms=terms, connection=connection)

    async def _take_in(
        self, entries: Sequence[Entry], exist_ok: bool, wait: bool, terms: Terms | None
    ) -> list[Work]:
        store, room = self._store, self._room

        async def append() -> list[Work]:
            self._check_door()
            if self._now is not None and room is None and terms is None:
                events, priorities = zip(*entries, strict=True)
                if self._now.append_all_now(events, priorities):
                    return list(events)
            return await store.append(entries, room=room, exist_ok=exist_ok, terms=terms)

        with self._observers.appending(event for event, _ in entries):
            if not wait or self._room is None:
                return await append()
            return await self._waiters.enter(append, alone=len(entries) > 1)

    def _check(self, event: Event) -> None:
        """Refuse an event of another type, or one that costs more than a limit's amount."""
        if type(event) not in self._fitting:
            self._check_type(event)
            if self._loop is None or not self._loop.is_running():
                self._loop = asyncio.get_running_loop()
            if self._limits:
                self._check_names(event)
            self._fitting.add(type(event))
        if self._limits:
            pair = self._limits.pair  # a frame shorter, for the usual case
            if pair is None or not pair.allows(event):
                self._limits.check(event)
        else:
            self._usual_type = type(event)  # the next will mostly be of the same

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
        kinds = self._event_types
        fits = type(event) in kinds if self._strict else isinstance(event, kinds)
        if not fits:
            names = " or ".join(kind.__name__ for kind in kinds)
            only = " itself, no subclass (strict_event_type)" if self._strict else ""
            raise TypeError(f"{type(self).__name__} takes events of {names}{only}, not {event!r}")


def _several(
    events: Iterable[E], priorities: Iterable[float | None] | None
) -> tuple[list[E], list[float | None]]:
    """Return the events of a batch, and a priority for each."""
    if isinstance(events, Work):  # a model can be iterated over: its fields would come
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


def _check_pending(event: Work) -> None:
    """Refuse an event that ran outside an executor; the store checks those that it has."""
    state = event.execution
    if state.status is not _PENDING and state.arrival is None:
        raise OperationError(
            f"{event!r} is {state.status.value} and cannot be appended: append "
            "event.as_fresh_event() to run it again, or load() a Flow to keep its status"
        )
