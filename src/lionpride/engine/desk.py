"""Results, cancellation, retries, removal and observers of an executor's events."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, overload

from ..errors import ExecutionError, NotFoundError, OperationError
from ..model.collections.container import IdLike
from ..model.element import as_id
from ..model.event_data import Work
from ..model.execution import TERMINAL, EventStatus
from ..model.progress import Live
from ..model.unset import Unset
from ..rules.metering import Limits
from ..stores.contract import Cancelled, Named, Store, has_live_workers, not_here
from ..stores.listeners import Signal
from ..stores.record import Record
from ..stores.states import States
from .event import Event
from .observers import AppendWrapper, Listener, Observer, Observers, Picks, Wrapper
from .processor import Processor
from .statuses import Statuses

if TYPE_CHECKING:
    from ..rules.why import Why

__all__ = ("Desk", "Returns", "ReturnsPlainly", "answer")

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_PENDING = EventStatus.PENDING
_DOUBT: Final = 5.0
"""Seconds that result() waits before it asks whether anything runs the event."""

_PAGE: Final = 500
"""Events that are retried in one transaction of a durable store."""

logger = logging.getLogger("lionpride")

_CLEANED = (EventStatus.COMPLETED, EventStatus.FAILED, EventStatus.ABORTED)


class Returns(Protocol[R_co]):
    """An event whose ``_invoke`` is async, for the type of its result."""

    def _invoke(self) -> Coroutine[Any, Any, R_co]: ...


class ReturnsPlainly(Protocol[R_co]):
    """An event whose ``_invoke`` is a plain function, for the type of its result."""

    def _invoke(self) -> R_co: ...


class Desk(Statuses):
    """The part of an Executor that queries and changes single events.

    Args:
        store: The store of the events.
    """

    _limits: Limits

    def __init__(self, store: Store) -> None:
        self.processor: Processor | None = None
        self._has_doubted = False
        self._store = store
        self._observers = Observers.of(store)

    @property
    def store(self) -> Store:
        """The store of the executor's events."""
        return self._store

    @property
    def states(self) -> States:
        """The events in this process, as a live Flow with one progression per status."""
        return self._store.states

    @overload
    async def result(self, event: Returns[R]) -> R: ...
    @overload
    async def result(self, event: ReturnsPlainly[R]) -> R: ...
    @overload
    async def result(self, event: IdLike) -> Any: ...
    async def result(self, event: Any) -> Any:
        """Wait until an event has finished, and return its response.

        If nothing runs the executor, the call does not return. For a store in memory, which no
        other process can run, a warning is logged after some seconds.

        Raises:
            Exception: the event's own error, if it FAILED; Skip, if it was SKIPPED;
                LionTimeoutError or EventCancelledError, if it was CANCELLED; AccessError, if
                it was ABORTED.
            ExecutionError: in place of an error that would end this process too.
            NotFoundError: if the event is unknown, or was removed.
        """
        held = await self._find(event)
        state = held.execution
        while state.arrival is not None and state.status not in TERMINAL:
            await self._next_ending(held)
        return answer(held)

    async def get(self, event: Event | IdLike) -> Event | Record:
        """Return an event as it is now, whichever process has it.

        Returns:
            The event that this process holds, if it is up to date; else one that is made from the
            record, with the status, the progress and the response that another process has
            recorded. If this process has not defined the class, or cannot read the event, the
            Record itself.

        Raises:
            NotFoundError: if the event is unknown, or was removed.
            ValidationError: if the argument is not an id.
        """
        uid = as_id(event)
        held = self.states.find(uid)
        if isinstance(held, Event) and not self._store.is_shared:
            return held
        (record,) = await self._store.get((uid,))
        if record is None:
            raise not_here(event, self._store.queue)
        held = self.states.find(uid)  # it may have moved meanwhile
        if isinstance(held, Event):
            state, shows = held.execution, held.execution.progress is not None
            same = (state.status, state.attempt_number) == (record.status, record.attempt)
            if same and (shows or record.progress is None):
                return held
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

    async def _next_ending(self, event: Event) -> None:
        """Return when an event may have ended; it may have been retried since."""
        ended = asyncio.Event()
        unsubscribe = self._store.subscribe(Signal.FINISHED, ended.set, event=event, once=True)
        try:
            if not (self.processor is not None and self.processor.working):
                await self._doubt(ended, event)
            await ended.wait()
        finally:
            unsubscribe()

    async def _doubt(self, ended: asyncio.Event, event: Event) -> None:
        """Warn, once, if nothing can run an event after some seconds of waiting for it."""
        if self._has_doubted or self._store.is_shared:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_DOUBT):
                await ended.wait()
                return
        if not await has_live_workers(self._store) and self._begins_to_doubt():
            logger.warning(
                "result() waits for %r, and nothing is running it: use `async with executor:`, run "
                "processor.execute() in a task, or call forward()",
                event,
            )

    def _begins_to_doubt(self) -> bool:
        before, self._has_doubted = self._has_doubted, True
        return not before

    async def cancel(self, event: Event | IdLike) -> bool:
        """Cancel an event: a pending one at once, a running one at its next ``await``.

        Returns:
            True if the event had not finished. It finishes then: no further attempt follows, unless
            ``retry`` is called.

        Raises:
            NotFoundError: if the event is unknown.
        """
        held = await self._find(event)
        (answer,) = await self._store.cancel((held,))
        if answer is Cancelled.DONE:
            self._tell(held, _PENDING, EventStatus.CANCELLED)
        return answer is not Cancelled.SETTLED

    async def retry(self, event: Event | IdLike) -> Event:
        """Return a FAILED, CANCELLED or ABORTED event to pending.

        It keeps its id, its priority and its arrival. Its failures are counted from 0 again.

        Raises:
            NotFoundError: if the event is unknown.
            OperationError: if it has not finished, or has another final status.
        """
        held = await self._find(event)
        before = held.execution.status
        await self._store.retry((held,))
        self._tell(held, before, _PENDING)
        return held

    async def retry_failed(self) -> int:
        """Return all FAILED events of the queue to pending, as ``retry`` does for one.

        In a durable store, these include events that other processes appended.

        Returns:
            The number of events.
        """
        last, count = await self._store.last_arrival(), 0
        if not self._store.is_shared:
            return await self._send_back(self.states.of(EventStatus.FAILED))
        after = 0
        while page := await self._store.list_records(EventStatus.FAILED, after=after, limit=_PAGE):
            after = page[-1].number
            count += await self._send_back([each.id for each in page if each.number <= last])
        return count

    async def _send_back(self, events: Sequence[Named]) -> int:
        """Return finished events to pending, and count them; other callers may do the same."""
        if not events:
            return 0
        try:
            await self._store.retry(events)
        except (OperationError, NotFoundError):
            if len(events) == 1:
                return 0
            middle = len(events) // 2
            return await self._send_back(events[:middle]) + await self._send_back(events[middle:])
        for event in events if self._observers.active else ():
            held = event if isinstance(event, Work) else self.states.find(as_id(event))
            if held is not None:
                self._observers.tell(held, EventStatus.FAILED, _PENDING)
        return len(events)

    async def remove(self, event: Event | IdLike) -> Event:
        """Remove an event that is not running. The caller may append it again.

        Raises:
            NotFoundError: if the event is unknown.
            OperationError: if it is running.
        """
        held = await self._find(event)
        await self._store.remove((held,))
        self._tell(held, held.execution.status, None)  # it may have ended meanwhile
        return held

    async def cleanup_events(
        self, statuses: Collection[EventStatus | str] | EventStatus | str | None = None
    ) -> int:
        """Remove finished events.

        Args:
            statuses: One status or several; by default COMPLETED, FAILED and ABORTED.

        Returns:
            The number of removed events.

        Raises:
            ValueError: for a name that is not a status.
            OperationError: for PENDING or PROCESSING, which are not final.
        """
        given = _CLEANED if statuses is None else statuses
        wanted = [EventStatus(each) for each in ([given] if isinstance(given, str) else given)]
        for status in wanted:
            if status in (_PENDING, EventStatus.PROCESSING):
                raise OperationError(
                    f"cleanup_events: {status.value} events have not finished: cancel() or "
                    "remove() them"
                )
        pruned = await self._store.prune(wanted)
        for event in pruned if self._observers.active else ():
            self._observers.tell(event, event.execution.status, None)
        return len(pruned)

    async def why(self, event: Event | IdLike) -> Why:
        """Explain why an event waits: its queue position, what blocks it, and its earliest start.

        ``print(await executor.why(event))`` prints the explanation in a few lines.

        Raises:
            NotFoundError: if the event is unknown.
        """
        uid = event.id if isinstance(event, Event) else as_id(event)
        await asyncio.sleep(0)  # a task just made for execute() may not have begun
        from ..rules.why import explain  # late: who asks nothing needs it not

        standing = await self._store.explain(uid, self._claims_under())
        if standing is None:
            raise not_here(event, self._store.queue)
        near = None if self.processor is None else self.processor.near(standing)
        return explain(standing, near)

    @abstractmethod
    def _claims_under(self) -> Limits | None:
        """Return the limits that its claims respect; None for no limits of its own."""

    async def _find(self, event: Event | IdLike) -> Event:
        if isinstance(event, Event) and self.states.by_number.get(_number(event)) is event:
            return event
        found = await self._store.find(as_id(event))
        if not isinstance(found, Event):
            raise not_here(event, self._store.queue)
        return found

    def _tell(self, event: Event, before: EventStatus, after: EventStatus | None) -> None:
        if self._observers.active:
            self._observers.tell(event, before, after)

    @property
    def observers(self) -> Observers:
        """The observers of this executor, with counts of their errors and slow calls."""
        return self._observers

    def observe(self, observer: Observer, *, light: bool = False) -> Callable[[], None]:
        """Call ``observer(transition)`` at each transition of each event.

        The call is made in the event loop, between two steps of the run, so it has to be fast. An
        error of the observer is logged once, and has no other effect.

        Args:
            observer: A plain function.
            light: True to leave plain events on the fast path, which does not call the observer
                and takes a tenth of the time. ``executor.observers.quick`` counts these events by
                class. The observer is called for a sample of them, up to about 200 a second, from
                the start of the event on. It is called for every event that fails, streams, is
                denied, or otherwise leaves the fast path.

        Returns:
            A function that removes the observer.
        """
        return self._observers.add(observer, light=light)

    def observe_appends(
        self, wrapper: AppendWrapper, *, picks: Picks | None = None
    ) -> Callable[[], None]:
        """Open the context manager ``wrapper(event)`` around each append.

        Values that it sets in ``event.metadata`` on entry are stored with the event, so the worker
        can read them. On exit it receives the error that ``append`` raises, if any.

        Args:
            wrapper: A plain function of the event.
            picks: See ``observe_attempts``.

        Returns:
            A function that removes the wrapper.
        """
        return self._observers.wrap_appends(wrapper, picks)

    def observe_attempts(
        self, wrapper: Wrapper, *, picks: Picks | None = None
    ) -> Callable[[], None]:
        """Open the context manager ``wrapper(start)`` around each attempt.

        ``start`` is the transition to PROCESSING. The attempt's code runs inside, with all that it
        awaits or runs in a thread; context variables that the manager sets are visible there. On
        exit the manager receives the error that is recorded, if any. It can neither change nor
        suppress that error. It has to be fast, like an observer.

        Args:
            wrapper: A plain function of the Transition.
            picks: ``picks(event, starting)`` selects events. It is called when an event is
                appended, and again when it starts. Other events may use the fast path, as with a
                light observer. None selects all events.

        Returns:
            A function that removes the wrapper.
        """
        return self._observers.wrap(wrapper, picks)

    def observe_progress(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, progress)`` at each progress report of an event that runs here.

        See ``observe``. ``progress`` has the attributes ``fraction`` and ``note``.

        Returns:
            A function that removes the listener.
        """
        return self._observers.listen(listener)


def answer(held: Event) -> Any:
    """Return the response of a finished or removed event, or raise its error, for ``result``."""
    state = held.execution
    if state.status is EventStatus.COMPLETED:
        return None if state.response is Unset else state.response
    if state.status not in TERMINAL:
        raise NotFoundError(f"{held!r} was removed before it finished")
    if isinstance(state.error, Exception):
        raise state.error.with_traceback(_recorded(held, state.error))
    cause = state.error if isinstance(state.error, BaseException) else None
    raise ExecutionError(f"{held!r} ended {state.status.value}: {cause!r}", cause=cause)


def _number(event: Work) -> int:
    return event.execution.arrival or 0


def _recorded(held: Event, error: Exception) -> TracebackType | None:
    """Return the traceback of an event's error, without the frames of earlier ``result`` calls.

    Otherwise those frames would pile up, and their objects would live as long as the event. The
    frame of another event's ``result`` stays: the error reached this event through it.
    """
    trace = own = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        if frame.f_code is answer.__code__ and frame.f_locals.get("held") is held:
            own = trace
    return own
