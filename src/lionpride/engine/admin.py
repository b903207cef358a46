"""Administration: lists and counts of events, and their cancellation, retry and removal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from itertools import chain, islice
from time import time
from typing import TYPE_CHECKING, Final
from uuid import UUID

from ..errors import OperationError
from ..model.collections.container import IdLike
from ..model.element import as_id
from ..model.event_data import EventData
from ..model.execution import EventStatus
from ..model.progress import Live
from ..stores.bulk import PIECE, retry_known
from ..stores.continuations import cancel_continuation, cancel_known
from ..stores.contract import Cancelled, Named, Relative, Store, not_here
from ..stores.record import Record
from ..stores.states import Events
from .event import Event
from .event_lookup import find_event, relatives
from .observers import Observers
from .run_control import RunControl

if TYPE_CHECKING:
    from ..drawing.notebook import Picture
    from ..rules.action import Action
    from ..rules.explain import Why

__all__ = ("Admin",)

_PENDING = EventStatus.PENDING

_CLEANED: Final = (EventStatus.COMPLETED, EventStatus.FAILED, EventStatus.ABORTED)


class Admin:
    """Queries and changes the events of an executor.

    Args:
        store: The store of the events.
        observers: The observers of the store.
        control: What is known of the executor's worker, for ``why``.
        owner: Name of the executor's class, for titles.
        name: Name of the executor, for titles; None if it has none of its own.
    """

    def __init__(
        self,
        store: Store,
        observers: Observers,
        control: RunControl,
        *,
        owner: str,
        name: str | None,
    ) -> None:
        self._store = store
        self._observers = observers
        self._control = control
        self._owner = owner
        self._name = name

    # -- one event ---------------------------------------------------------------------------

    async def get(self, event: Event | IdLike) -> Event | Record:
        """Return an event as it is now; see ``Executor.get``."""
        uid, states = as_id(event), self._store.states
        held = states.find(uid)
        if isinstance(held, Event) and not self._store.is_shared:
            return held
        (record,) = await self._store.get((uid,))
        if record is None:
            raise not_here(event, self._store.queue)
        held = states.find(uid)  # it may have changed since
        if isinstance(held, Event) and _is_current(held, record):
            return held
        return _event_of(record)

    async def cancel(self, event: Event | IdLike, by: str | None) -> bool:
        """Cancel an event; see ``Executor.cancel``."""
        held = await find_event(self._store, event)
        (answer,) = await self._store.cancel((held,), by=by)
        if answer is Cancelled.DONE:
            self._notify(held, _PENDING, EventStatus.CANCELLED)
        elif answer is Cancelled.SETTLED:
            answer = await cancel_continuation(self._store, held.id, by=by)
        return answer is not Cancelled.SETTLED

    async def retry(self, event: Event | IdLike, by: str | None) -> Event:
        """Return a finished event to pending; see ``Executor.retry``."""
        held = await find_event(self._store, event)
        before = held.execution.status
        await self._store.retry((held,), by=by)
        self._notify(held, before, _PENDING)
        return held

    async def remove(self, event: Event | IdLike) -> Event:
        """Remove an event that is not running; see ``Executor.remove``."""
        held = await find_event(self._store, event)
        await self._store.remove((held,))
        self._notify(held, held.execution.status, None)  # it may have finished since
        return held

    async def why(self, event: Event | IdLike) -> Why:
        """Explain why an event waits; see ``Executor.why``."""
        uid = event.id if isinstance(event, Event) else as_id(event)
        await asyncio.sleep(0)  # a task just made for execute() may not have begun
        from ..rules.explain import explain  # late: needed for explanations alone

        standing = await self._store.explain(uid, self._control.claims_under())
        if standing is None:
            raise not_here(event, self._store.queue)
        return explain(standing, self._control.near(standing))

    async def actions(self, event: Event | IdLike) -> tuple[Action, ...]:
        """Return who has cancelled or retried an event; see ``Executor.actions``."""
        (record,) = await self._store.get((as_id(event),))
        if record is None:
            raise not_here(event, self._store.queue)
        return record.actions

    def parents(self, event: Event | IdLike) -> AsyncGenerator[Relative, None]:
        """Yield the parents of an event; see ``Executor.parents``."""
        return relatives(self._store.parents, as_id(event))

    def children(self, event: Event | IdLike) -> AsyncGenerator[Relative, None]:
        """Yield the children of an event; see ``Executor.children``."""
        return relatives(self._store.children, as_id(event))

    # -- many events -------------------------------------------------------------------------

    async def cancel_all(self, ids: Sequence[UUID], by: str | None) -> int:
        """Cancel events, and what continues them; return the number that had not finished."""
        count = 0
        # The first ones may be running. If they were cancelled first, others would start.
        for first in reversed(range(0, len(ids), PIECE)):
            answers = await cancel_known(self._store, ids[first : first + PIECE], by=by)
            for uid, answer in answers.items():
                held = self._store.states.find(uid)
                if answer is Cancelled.DONE and isinstance(held, Event):
                    self._notify(held, _PENDING, EventStatus.CANCELLED)
            settled = [uid for uid, answer in answers.items() if answer is Cancelled.SETTLED]
            count += len(answers) - len(settled)
            for record in await self._store.get(settled):
                if record is not None and record.continued_by is not None:
                    answer = await cancel_continuation(self._store, record.id, by=by)
                    count += answer is not Cancelled.SETTLED
            await asyncio.sleep(0)  # other events run between two pages
        return count

    async def retry_failed(self, by: str | None) -> int:
        """Return all FAILED events to pending; see ``Executor.retry_failed``."""
        last, count = await self._store.last_arrival(), 0
        if not self._store.is_shared:
            return await self._retry_all(self._store.states.of(EventStatus.FAILED), by)
        after = 0
        while page := await self._store.list_records(EventStatus.FAILED, after=after, limit=PIECE):
            after = page[-1].number
            ids = [each.id for each in page if each.number <= last]
            count += await self._retry_all(ids, by)
        return count

    async def _retry_all(self, events: Sequence[Named], by: str | None) -> int:
        """Return failed events to pending, and count them; other callers may do the same."""
        retried = await retry_known(self._store, events, by=by)
        for event in retried if self._observers.level else ():
            held = event if isinstance(event, EventData) else self._store.states.find(as_id(event))
            if held is not None:
                self._observers.notify(held, EventStatus.FAILED, _PENDING)
        return len(retried)

    async def cleanup_events(
        self, statuses: Collection[EventStatus | str] | EventStatus | str | None
    ) -> int:
        """Remove finished events; see ``Executor.cleanup_events``."""
        given = _CLEANED if statuses is None else statuses
        wanted = [EventStatus(each) for each in ([given] if isinstance(given, str) else given)]
        for status in wanted:
            if status in (_PENDING, EventStatus.PROCESSING):
                raise OperationError(
                    f"cleanup_events: {status.value} events have not finished: cancel() or "
                    "remove() them"
                )
        pruned = await self._store.prune(wanted)
        for event in pruned if self._observers.level else ():
            self._observers.notify(event, event.execution.status, None)
        return len(pruned)

    def _notify(self, event: Event, before: EventStatus, after: EventStatus | None) -> None:
        if self._observers.level:
            self._observers.notify(event, before, after)

    # -- lists and counts --------------------------------------------------------------------

    def events(self, status: EventStatus | str) -> Events:
        """Return the events of a status; see ``Executor.get_events_by_status``."""
        return Events(self._store.states, EventStatus(status))

    async def counts(self) -> dict[str, int]:
        """Return the number of events in each status; see ``Executor.counts``."""
        return {status.value: count for status, count in (await self._store.counts()).items()}

    def status_counts(self) -> dict[str, int]:
        """Return the number of events in each status."""
        return {status.value: len(lane) for status, lane in self._store.states.lanes.items()}

    def summary(self) -> str:
        """Return the counts in one line."""
        counts = self.status_counts()
        each = ", ".join(f"{status}={count}" for status, count in counts.items())
        return f"total={sum(counts.values())}, {each}"

    def table(self) -> str:
        """Return the counts, one line per status."""
        lines = [f"Executor State ({self._store.states.name}):"]
        lines += [f"  {status}: {count} events" for status, count in self.status_counts().items()]
        return "\n".join(lines)

    # -- pictures ----------------------------------------------------------------------------

    def timeline(self, title: str | None) -> Picture:
        """Return a chart of the events in this process; see ``Executor.timeline``."""
        from ..drawing.notebook import picture_of, title_of  # late: for charts alone
        from ..model.spans import MAX_EVENTS, spans_of  # late: for charts alone

        title = title or title_of(self._owner, self._name)
        lanes = self._store.states.lanes.values()
        newest = chain.from_iterable(islice(reversed(lane.values()), MAX_EVENTS) for lane in lanes)
        events = sorted(newest, key=lambda event: event.execution.arrival or 0)
        return picture_of(spans_of(events, _unix_time_of_zero()), title)

    def html(self) -> str:
        """Return the HTML that a notebook displays: the counts, and a chart of the attempts."""
        from ..drawing.notebook import html_of, title_of  # late: for charts alone

        title = title_of(self._owner, self._name)
        picture = self.timeline(title) if len(self._store.states.items) else None
        return html_of(title, self.status_counts(), picture)


def _is_current(held: Event, record: Record) -> bool:
    """Return True if the event of this process shows what its record has."""
    state = held.execution
    is_same = (state.status, state.attempt_number) == (record.status, record.attempt)
    return is_same and (state.progress is not None or record.progress is None)


def _event_of(record: Record) -> Event | Record:
    """Return a new event from a record; the record itself if this process cannot make one."""
    try:
        made = record.event()
    except Exception:  # validators are the user's code
        return record
    if not isinstance(made, Event):
        return record
    if record.progress is not None:
        live = Live.of(made.__dict__)
        live.begin(record.attempt)
        live.progress = record.progress
    return made


def _unix_time_of_zero() -> float | None:
    """Return the Unix time at which the event loop's clock was 0; None if no loop runs."""
    try:
        return time() - asyncio.get_running_loop().time()
    except RuntimeError:
        return None
