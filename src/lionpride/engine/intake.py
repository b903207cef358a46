"""Taking events in: one by one or as a batch, on terms, or a whole Flow of them."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, TypeVar, cast

from ..errors import ExistsError, OperationError, ValidationError
from ..model.execution import EventStatus
from ..model.flow import Flow
from ..model.policy import Retry
from ..model.work import Work
from ..rules.metering import Limits
from ..stores.contract import Entry, Immediate
from ..stores.joining import Joining
from ..stores.terms import Terms
from .event import Event
from .line import Line
from .results import Results
from .settings import checked_priority
from .terms import terms_of

__all__ = ("Intake",)

E = TypeVar("E", bound=Event)

_PENDING = EventStatus.PENDING

logger = logging.getLogger("lionpride")


class Intake(Results):
    """The part of an Executor that takes events in, but for the quickest ways."""

    _event_type: type[Event]
    _event_types: tuple[type[Event], ...]
    _usual_type: type[Event] | None  # what need not be looked at any closer: there are no limits
    _limits: Limits
    _fitting: set[type]  # classes whose events are taken
    _now: Immediate | None  # None also if there is only so much room
    _strict: bool
    _room: int | None
    _loop: asyncio.AbstractEventLoop | None = None  # set when made, at an append or at start()
    _line: Line

    @abstractmethod
    def _check_door(self) -> None:
        """Refuse what is appended while the executor drains, and after."""

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
        """Take events in as one batch: all of them or none, in this order of arrival.

        Args:
            events: As for ``append``.
            priorities: One for each event; None for the default.
            exist_ok: As for ``append``.
            wait: As for ``append``: until there is room for all of them.
            delay, at, ttl, retry: As for ``append``, and for all of them.
            connection: As for ``append``: all are appended in the transaction that it is in.

        Raises:
            ValidationError: if there are more or fewer priorities than events; and as ``append``.
            QueueFullError: with ``wait``, if there are more than ``max_queue_size`` of them.
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
        """Take in the events of a Flow, or of one's ``to_dict``, in the status each has.

        One that was running goes back to pending as interrupted. Progressions of the user's own
        come along.

        Returns:
            How many events.

        Raises:
            ExistsError: if an id or a progression's name is known here; nothing is taken in then.
            TypeError: if an event is not of the event type; nothing is taken in then.
            ValidationError: if a priority is no finite number; likewise.
            OperationError: if the executor drains, or was drained; likewise.
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
                    f"a progression is named {progression.name!r} here: names are unique"
                )
        fresh = self._fresh(events)
        count = await self._store.load(events)
        for progression in own:
            self.states.add_progression(progression)
        self._tell_taken(fresh)
        return count

    def _fresh(self, events: Iterable[Work]) -> list[Work]:
        """Those of the events that nobody holds yet, if anybody is to be told of them."""
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
        """Tell observers of the events that have been taken in.

        Args:
            fresh: Those that nobody held before; of two with one id, the store took the first.
            after: The status that each was taken in with; None for the one that it has.
        """
        for event in fresh:
            if event.execution.arrival is not None:
                self._observers.tell(event, None, after or event.status)

    async def _append_on(
        self, terms: Terms | None, event: E, priority: float, exist_ok: bool, wait: bool
    ) -> E:
        """Take an event in, not in the quickest way, and perhaps on terms."""
        if not (exist_ok and event in self):
            _check_pending(event)
        fresh = self._fresh((event,))
        held = await self._take_in(((event, priority),), exist_ok, wait, terms)
        self._tell_taken(fresh, _PENDING)
        return cast("E", held[0])

    async def _append_seen(self, now: Immediate, event: E, priority: float) -> E:
        """Take in an event that is new, with what observers put around it."""
        with self._observers.appending((event,)):
            if not now.append_now(event, priority):  # who was put around it has asked for its id
                await self._store.append(((event, priority),))
        self._observers.tell(event, None, _PENDING)
        return event

    async def _append_within(
        self, connection: Any, entries: Sequence[Entry], terms: Terms | None, exist_ok: bool
    ) -> None:
        """Take events in within a transaction of the caller's own."""
        store = self._store
        if not isinstance(store, Joining):
            raise OperationError(
                "connection= appends in a transaction of yours, which only a store in PostgreSQL "
                "can: leave it out, or give the executor store='postgresql://...'"
            )
        if exist_ok:
            raise OperationError(
                "exist_ok= cannot be kept in a transaction of yours, where nobody can tell what is "
                "there in the end: leave it out, or leave connection= out"
            )
        for event, _ in entries:
            _check_pending(event)
        self._check_door()
        with self._observers.appending(event for event, _ in entries):
            await store.append_within(connection, entries, terms)

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
            return await self._line.enter(append, alone=len(entries) > 1)

    def _check(self, event: Event) -> None:
        """Refuse what is of another type, or costs more than there can be."""
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
        """Warn of costs that count for nothing, at the first event of a class."""
        self._limits.check(event)
        kind = type(event)
        fixed = kind.has_own_costs() or kind.has_usual_costs()  # a `request` may name more later
        if fixed and self._limits.are_strange(costs := event.costs):
            logger.warning(
                "%s costs %s, and no limit has such a name: %r never hold its events up; name one "
                "of them in its `costs`, or let that be {}",
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
    """The events of a batch, and a priority for each."""
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
    """Refuse what has run by itself; what an executor holds is for the store to judge."""
    state = event.execution
    if state.status is not _PENDING and state.arrival is None:
        raise OperationError(
            f"{event!r} is {state.status.value} and cannot be appended: append "
            "event.as_fresh_event() to do it again, or load() a Flow to keep its status"
        )
