"""What can be asked and done about events that an executor holds."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, overload

from pydantic import ValidationError as PydanticError

from ..errors import ExecutionError, LionprideError, NotFoundError, OperationError, StoreError
from ..model.container import IdLike
from ..model.element import as_id
from ..model.execution import TERMINAL, EventStatus
from ..model.unset import Unset
from ..model.work import Work
from ..rules.metering import Limits
from ..stores.absent import not_here
from ..stores.contract import Cancelled, Immediate, Named, Store
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
"""Events that are sent back in one step over a durable store."""

logger = logging.getLogger("lionpride")

_CLEANED = (EventStatus.COMPLETED, EventStatus.FAILED, EventStatus.ABORTED)


class Returns(Protocol[R_co]):
    """An event whose ``_invoke`` is async, for the type of its result."""

    def _invoke(self) -> Coroutine[Any, Any, R_co]: ...


class ReturnsPlainly(Protocol[R_co]):
    """An event whose ``_invoke`` is a plain function, for the type of its result."""

    def _invoke(self) -> R_co: ...


class Desk(Statuses):
    """Results, cancelling, retrying, removing, observing: over a store and a processor.

    Args:
        store: Where the events are.
    """

    _limits: Limits

    def __init__(self, store: Store) -> None:
        self.processor: Processor | None = None
        self._has_doubted = False
        self._store = store
        self._observers = Observers.of(store)

    @property
    def store(self) -> Store:
        """Where its events are kept."""
        return self._store

    @property
    def states(self) -> States:
        """The events that this process holds, as a live Flow with a progression a status."""
        return self._store.states

    @overload
    async def result(self, event: Returns[R]) -> R: ...
    @overload
    async def result(self, event: ReturnsPlainly[R]) -> R: ...
    @overload
    async def result(self, event: IdLike) -> Any: ...
    async def result(self, event: Any) -> Any:
        """Wait until an event has ended, and return its response.

        It waits for ever if nothing runs the executor; in memory, where nobody else can run it,
        a warning says so after some seconds.

        Raises:
            Exception: the event's own error, if it FAILED; Skip, if it was SKIPPED;
                LionTimeoutError or EventCancelledError, if it was CANCELLED; AccessError, if
                it was ABORTED.
            ExecutionError: in place of an error that would end this process too.
            NotFoundError: if it is not here, or was removed.
        """
        held = await self._find(event)
        state = held.execution
        while state.arrival is not None and state.status not in TERMINAL:
            await self._next_ending(held)
        return answer(held)

    async def get(self, event: Event | IdLike) -> Event | Record:
        """Return an event, whichever process has it.

        Returns:
            The event; or its Record, if this process has not defined its class or cannot read it.

        Raises:
            NotFoundError: if it is not here, or was removed.
            ValidationError: if it is no id.
        """
        uid = as_id(event)
        try:
            found = await self._store.find(uid)
        except LionprideError as error:
            if isinstance(error, StoreError):
                raise
            found = None  # its class is not defined here, or refuses its data
        except PydanticError:
            found = None
        if isinstance(found, Event):
            return found
        (record,) = await self._store.get((uid,))
        if record is None:
            raise not_here(event, self._store.queue)
        return record

    async def _next_ending(self, event: Event) -> None:
        """Return when an event may have ended; it may have been retried since."""
        ended = asyncio.Event()
        self._store.on_ended(event, ended.set)
        try:
            if not (self.processor is not None and self.processor.working):
                await self._doubt(ended, event)
            await ended.wait()
        finally:
            if not ended.is_set():
                self._store.off(ended.set)

    async def _doubt(self, ended: asyncio.Event, event: Event) -> None:
        """Warn, once, if nothing can run an event after some seconds of waiting for it."""
        if self._has_doubted or not isinstance(self._store, Immediate):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_DOUBT):
                await ended.wait()
                return
        if not await self._store.attended() and self._begins_to_doubt():
            logger.warning(
                "result() waits for %r, and nothing is running it: use `async with executor:`, run "
                "processor.execute() in a task, or call forward()",
                event,
            )

    def _begins_to_doubt(self) -> bool:
        before, self._has_doubted = self._has_doubted, True
        return not before

    async def cancel(self, event: Event | IdLike) -> bool:
        """Cancel an event: one that waits at once, one that runs at its next ``await``.

        Returns:
            Whether it was still to be cancelled; False if it had ended. After True the event
            finishes: it does not wait for another attempt, unless ``retry`` sends it back.

        Raises:
            NotFoundError: if it is not here.
        """
        held = await self._find(event)
        (answer,) = await self._store.cancel((held,))
        if answer is Cancelled.DONE:
            self._tell(held, _PENDING, EventStatus.CANCELLED)
        return answer is not Cancelled.SETTLED

    async def retry(self, event: Event | IdLike) -> Event:
        """Send a FAILED, CANCELLED or ABORTED event back to pending, to be tried again.

        It keeps its id, its priority and its arrival, and counts its tries anew.

        Raises:
            NotFoundError: if it is not here.
            OperationError: if it has not ended, or ended otherwise.
        """
        held = await self._find(event)
        before = held.execution.status
        await self._store.requeue((held,))
        self._tell(held, before, _PENDING)
        return held

    async def retry_failed(self) -> int:
        """Send all events of the queue that are FAILED now back to pending; how many.

        Over a file, those that other processes appended too. Each is sent back as by ``retry``.
        """
        last, count = await self._store.last_arrival(), 0
        if isinstance(self._store, Immediate):
            return await self._send_back(self.states.of(EventStatus.FAILED))
        after = 0
        while page := await self._store.events(EventStatus.FAILED, after=after, limit=_PAGE):
            after = page[-1].number
            count += await self._send_back([each.id for each in page if each.number <= last])
        return count

    async def _send_back(self, events: Sequence[Named]) -> int:
        """Send ended events back; how many of them still could be: others may be at it too."""
        if not events:
            return 0
        try:
            await self._store.requeue(events)
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
        """Let go of an event that does not run; the caller has it, and may append it again.

        Raises:
            NotFoundError: if it is not here.
            OperationError: if it runs.
        """
        held = await self._find(event)
        await self._store.remove((held,))
        self._tell(held, held.execution.status, None)  # it may have ended meanwhile
        return held

    async def cleanup_events(
        self, statuses: Collection[EventStatus | str] | EventStatus | str | None = None
    ) -> int:
        """Let go of ended events; how many.

        Args:
            statuses: One or several; by default COMPLETED, FAILED and ABORTED.

        Raises:
            ValueError: for a name that is no status.
            OperationError: for PENDING or PROCESSING, which have not ended.
        """
        given = _CLEANED if statuses is None else statuses
        wanted = [EventStatus(each) for each in ([given] if isinstance(given, str) else given)]
        for status in wanted:
            if status in (_PENDING, EventStatus.PROCESSING):
                raise OperationError(
                    f"cleanup_events: {status.value} events have not ended: "
                    "cancel() or remove() them"
                )
        pruned = await self._store.prune(wanted)
        for event in pruned if self._observers.active else ():
            self._observers.tell(event, event.execution.status, None)
        return len(pruned)

    async def why(self, event: Event | IdLike) -> Why:
        """Why an event waits: its place in the order, what holds it, and when it may start.

        ``print(await executor.why(event))`` says it in a few lines.

        Raises:
            NotFoundError: if it is not here.
        """
        uid = event.id if isinstance(event, Event) else as_id(event)
        await asyncio.sleep(0)  # a task just made for execute() may not have begun
        from ..rules.why import explain  # late: who asks nothing needs it not

        standing = await self._store.standing(uid, self._claims_under())
        if standing is None:
            raise not_here(event, self._store.queue)
        near = None if self.processor is None else self.processor.near(standing)
        return explain(standing, near)

    @abstractmethod
    def _claims_under(self) -> Limits | None:
        """The limits under which its events are claimed; None for none of its own."""

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
        """Who is told of what, and how often one of them failed or was slow."""
        return self._observers

    def observe(self, observer: Observer, *, light: bool = False) -> Callable[[], None]:
        """Call ``observer(transition)`` at each step of each event; returns how to stop it.

        It is called in the event loop, between two steps of the run, so it has to be quick.
        What it raises is logged once, and harms nothing.

        Args:
            observer: A plain function.
            light: Whether plain events may go by the quick way, which tells nobody and takes a
                tenth of the time. Those that complete so are counted by their class in
                ``executor.observers.quick``; up to about 200 a second of them are told of from
                their start on all the same. Whatever fails, streams, is denied, … is told of.
        """
        return self._observers.add(observer, light=light)

    def observe_appends(
        self, wrapper: AppendWrapper, *, picks: Picks | None = None
    ) -> Callable[[], None]:
        """Put the context manager ``wrapper(event)`` around each append; returns how to stop it.

        What it sets in ``event.metadata`` before is kept with the event, for whoever runs it.
        It is as for ``observe_attempts``, and is left with the error that ``append`` raises.
        """
        return self._observers.wrap_appends(wrapper, picks)

    def observe_attempts(
        self, wrapper: Wrapper, *, picks: Picks | None = None
    ) -> Callable[[], None]:
        """Put the context manager ``wrapper(start)`` around each attempt; returns how to stop it.

        ``start`` is the step to PROCESSING. The attempt's code, and all that it awaits or runs in
        a thread, runs inside; what the context manager sets in context variables is seen there.
        It is left with the error that goes on record, as a ``with`` block is, or with none, and
        can neither change nor swallow it. It has to be quick, as for ``observe``.

        Args:
            wrapper: A plain function of the Transition.
            picks: ``picks(event, starting)`` says of which events it is to be; asked when one is
                appended, and again when one starts. Those that it does not pick may go by the
                quick way, as for a light observer. None: it is of all.
        """
        return self._observers.wrap(wrapper, picks)

    def observe_progress(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, progress)`` at each ``event.progress(…)`` of what runs here.

        As for ``observe``; returns how to stop it. ``progress`` has ``fraction`` and ``note``.
        """
        return self._observers.listen(listener)


def answer(held: Event) -> Any:
    """What ``result`` gives, or raises, for an event that has ended or was removed."""
    state = held.execution
    if state.status is EventStatus.COMPLETED:
        return None if state.response is Unset else state.response
    if state.status not in TERMINAL:
        raise NotFoundError(f"{held!r} was removed before it ended")
    if isinstance(state.error, Exception):
        raise state.error.with_traceback(_recorded(held, state.error))
    cause = state.error if isinstance(state.error, BaseException) else None
    raise ExecutionError(f"{held!r} ended {state.status.value}: {cause!r}", cause=cause)


def _number(event: Work) -> int:
    return event.execution.arrival or 0


def _recorded(held: Event, error: Exception) -> TracebackType | None:
    """The traceback of an event's error, without those who asked for it before.

    They would pile up, and what they hold would live as long as the event. The frame of another
    event's ``result`` stays: this event has waited there, and that is where its error came from.
    """
    trace = own = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        if frame.f_code is answer.__code__ and frame.f_locals.get("held") is held:
            own = trace
    return own
